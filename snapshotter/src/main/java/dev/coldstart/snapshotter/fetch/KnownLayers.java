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
    private final LayerOrdinals ordinals;
    /** In the order in which they became known. */
    private volatile KnownLayer[] layers = new KnownLayer[0];

    private volatile @Nullable KnownLayer[] byOrdinal = new @Nullable KnownLayer[0];
    /** Which layer had the object that was looked for last: the next one is likely its neighbour. */
    private volatile @Nullable KnownLayer last;

    public KnownLayers(LayerOrdinals ordinals) {
        this.ordinals = ordinals;
    }

    /** The layer of a digest, if it is known. */
    public @Nullable KnownLayer find(Digest layer) {
        for (KnownLayer known : layers) {
            if (known.digest().equals(layer)) {
                return known;
            }
        }
        return null;
    }

    /** The layer of an ordinal; null if there is none. */
    public @Nullable KnownLayer get(int ordinal) {
        @Nullable KnownLayer[] all = byOrdinal;
        return ordinal < 1 || ordinal >= all.length ? null : all[ordinal];
    }

    /** The layers known now. */
    public List<KnownLayer> all() {
        return List.of(layers);
    }

    /** Opens an index, unless its layer is known. */
    public synchronized KnownLayer add(Digest layer, Path indexFile) throws IOException {
        KnownLayer known = find(layer);
        if (known != null) {
            return known;
        }
        int ordinal = ordinals.of(layer);
        LayerIndex index = LayerIndex.open(indexFile);
        if (!index.layer().equals(layer)) {
            Digest other = index.layer();
            index.close();
            Files.delete(indexFile);
            throw new IOException(indexFile + " is the index of another layer, " + other + ", and was deleted");
        }
        KnownLayer added = new KnownLayer(ordinal, index);
        @Nullable KnownLayer[] more = Arrays.copyOf(byOrdinal, Math.max(ordinal + 1, byOrdinal.length));
        more[ordinal] = added;
        byOrdinal = more;
        KnownLayer[] one = Arrays.copyOf(layers, layers.length + 1);
        one[one.length - 1] = added;
        layers = one;
        return added;
    }

    /** A known layer that has the object; null if none has. */
    public @Nullable KnownLayer having(ObjectName name) {
        KnownLayer recent = last;
        if (recent != null && recent.has(name)) {
            return recent;
        }
        for (KnownLayer layer : layers) {
            if (layer.has(name)) {
                last = layer;
                return layer;
            }
        }
        return null;
    }

    /** Lets go of the memory of indexes that nobody has used since the last call. */
    void rest() {
        for (KnownLayer layer : layers) {
            layer.rest();
        }
    }
}
