package dev.coldstart.snapshotter.fetch;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.registry.RegistryClient;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;

/** Blobs from the registries that are known to have them: the one that worked last is asked first. */
public final class RegistrySource implements BlobSource {
    private final RegistryClient client;
    private final Function<Digest, Collection<LayerSource>> sources;
    private final ConcurrentHashMap<Digest, LayerSource> good = new ConcurrentHashMap<>();

    public RegistrySource(RegistryClient client, Function<Digest, Collection<LayerSource>> sources) {
        this.client = client;
        this.sources = sources;
    }

    @Override
    public InputStream open(Digest layer, long from, long to) throws IOException {
        return first(layer, source -> client.blob(source.host(), source.repository(), layer, from, to));
    }

    /** The whole blob. */
    public InputStream openWhole(Digest layer) throws IOException {
        return first(layer, source -> client.blob(source.host(), source.repository(), layer));
    }

    private interface Open {
        InputStream from(LayerSource source) throws IOException;
    }

    private InputStream first(Digest layer, Open open) throws IOException {
        List<LayerSource> order = new ArrayList<>();
        LayerSource best = good.get(layer);
        if (best != null) {
            order.add(best);
        }
        sources.apply(layer).stream().filter(source -> !source.equals(best)).forEach(order::add);
        // The likeliest source's failure is the one to tell.
        IOException told = null;
        for (LayerSource source : order) {
            try {
                InputStream in = open.from(source);
                good.put(layer, source);
                return in;
            } catch (IOException e) {
                if (told == null) {
                    told = e;
                } else {
                    told.addSuppressed(e);
                }
            }
        }
        throw told == null ? new IOException("nothing says which registry has layer " + layer) : told;
    }
}
