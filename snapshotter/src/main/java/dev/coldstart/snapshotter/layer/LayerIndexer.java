package dev.coldstart.snapshotter.layer;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** One pass over a layer's blob: its index, its tree, and if wanted the bytes of its objects. */
public final class LayerIndexer {
    /** About how many uncompressed bytes a span has. */
    public static final int SPAN = 1 << 20;

    /** The most bytes that deflate data may refer back. */
    static final int WINDOW = 32 << 10;

    private LayerIndexer() {}

    /** Not yet there. */
    public static IndexedLayer index(
            InputStream blob,
            Digest layer,
            @Nullable Digest diffId,
            Path indexFile,
            Path treeFile,
            @Nullable ObjectSink sink,
            ProgressListener progress)
            throws IOException {
        if (blob.available() == 0) {
            return new IndexedLayer(layer, layer, 0, 0, 0, 0, 0, indexFile, treeFile);
        }
        throw new LayerException("layer " + layer + " cannot be indexed: the index pass is not written yet");
    }
}
