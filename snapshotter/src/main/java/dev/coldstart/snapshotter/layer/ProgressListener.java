package dev.coldstart.snapshotter.layer;

/** Told how far an index pass has come, every megabyte or so. */
@FunctionalInterface
public interface ProgressListener {
    /** Is told, and does nothing. */
    ProgressListener NONE = (blobBytes, uncompressedBytes) -> {};

    /**
     * Called from the thread that called {@link LayerIndexer#index}.
     *
     * @param blobBytes bytes of the blob read so far
     * @param uncompressedBytes bytes they inflated to
     */
    void progressed(long blobBytes, long uncompressedBytes);
}
