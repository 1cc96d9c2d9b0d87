package dev.coldstart.snapshotter.trace;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.io.OutputStream;

/** Makes the prefetch blobs of layers, to be given to other nodes. */
@FunctionalInterface
public interface PrefetchWriter {
    /**
     * Writes a layer's blob, as {@link PrefetchBlob} reads it. What is not here is left out.
     *
     * @return false if there is nothing to write; then nothing was
     * @throws IOException if it cannot be read or written; then some may have been
     */
    boolean write(Digest layer, OutputStream to) throws IOException;
}
