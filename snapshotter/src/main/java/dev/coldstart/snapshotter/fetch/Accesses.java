package dev.coldstart.snapshotter.fetch;

/** Is told which spans of a layer are read, also those that are here. Called by readers: must not wait. */
public interface Accesses {
    /** Spans {@code first} to {@code last}, inclusive, are read. Mostly they were before. */
    void read(int first, int last);
}
