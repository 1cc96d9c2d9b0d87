package dev.coldstart.snapshotter.fetch;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The layers whose objects the remote tier can serve. Grows only; readers never wait. */
public final class KnownLayers {
    private volatile KnownLayer[] layers = new KnownLayer[0];

    /** The layer of a digest, if it is known. */
    public @Nullable KnownLayer find(Digest layer) {
        for (KnownLayer known : layers) {
            if (known.index().layer().equals(layer)) {
                return known;
            }
        }
        return null;
    }

    /** The layer of an ordinal; null if there is none. */
    public @Nullable KnownLayer get(int ordinal) {
        KnownLayer[] all = layers;
        return ordinal < 1 || ordinal > all.length ? null : all[ordinal - 1];
    }

    /** The layers known now, in the order of their ordinals. */
    public List<KnownLayer> all() {
        return List.of(layers);
    }

    /** Opens an index, unless its layer is known. */
    public synchronized KnownLayer add(Digest layer, Path indexFile) throws IOException {
        KnownLayer known = find(layer);
        if (known != null) {
            return known;
        }
        LayerIndex index = LayerIndex.open(indexFile);
        if (!index.layer().equals(layer)) {
            Digest other = index.layer();
            index.close();
            Files.delete(indexFile);
            throw new IOException(indexFile + " is the index of another layer, " + other + ", and was deleted");
        }
        KnownLayer[] more = Arrays.copyOf(layers, layers.length + 1);
        more[more.length - 1] = new KnownLayer(more.length, index);
        layers = more;
        return more[more.length - 1];
    }

    /** The first known layer that has the object; null if none has. */
    public @Nullable KnownLayer having(ObjectName name) {
        for (KnownLayer layer : layers) {
            if (layer.index().find(name) >= 0) {
                return layer;
            }
        }
        return null;
    }
}
