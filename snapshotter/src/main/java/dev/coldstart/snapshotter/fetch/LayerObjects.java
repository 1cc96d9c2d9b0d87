package dev.coldstart.snapshotter.fetch;

import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.object.Source;
import java.io.IOException;

/** The objects of known layers, fetched anew. */
public final class LayerObjects implements Source {
    private final KnownLayers layers;
    private final SpanFetcher fetcher;

    public LayerObjects(KnownLayers layers, SpanFetcher fetcher) {
        this.layers = layers;
        this.fetcher = fetcher;
    }

    @Override
    public void fetch(ObjectName name, Sink sink) throws IOException {
        KnownLayer layer = layers.having(name);
        if (layer == null) {
            throw new IOException("no known layer has object " + name);
        }
        fetcher.fetch(layer, layer.index().find(name), sink);
    }
}
