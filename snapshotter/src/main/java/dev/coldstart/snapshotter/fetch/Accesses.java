package dev.coldstart.snapshotter.fetch;

/** Is told which bytes of a layer are read, also those that are here. Called by readers: must not wait. */
public interface Accesses {
    /** Bytes {@code from} to {@code to}, exclusive, of the uncompressed tar are read. Mostly they were before. */
    void read(long from, long to);
}
