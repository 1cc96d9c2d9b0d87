package dev.coldstart.snapshotter.fetch;

/**
 * How far to fetch ahead of one reader's misses. Grows while they follow each other in the order of the layer's bytes and
 * falls when they jump.
 */
final class ReadAhead {
    /** Bytes of the blob. */
    static final long SMALLEST = 1 << 20;

    static final long LARGEST = 32 << 20;
    /** A jump of so many spans still counts as going on. */
    private static final int NEAR = 3;

    private final int row;
    private final int end;
    private long window;
    /** The span with which the last new miss began. */
    private int asked;

    private int frontier = -1;
    private volatile int marker = Integer.MAX_VALUE;

    /**
     * @param row of the object that is read; -1 for the small ones of a layer
     * @param end the span behind the last one of interest
     */
    ReadAhead(int row, int end) {
        this.row = row;
        this.end = end;
    }

    int row() {
        return row;
    }

    /** Where fetching ahead ends, exclusive. */
    int end() {
        return end;
    }

    /**
     * A read missed spans.
     *
     * @return bytes of the blob to fetch behind {@code last}; 0 for none
     */
    synchronized long missed(int first, int last) {
        if (first >= asked && last < frontier) {
            // Another reader of what is on its way says nothing new.
            return 0;
        }
        boolean sequential = frontier >= 0 && first <= frontier + NEAR && last + NEAR >= frontier;
        window = sequential
                ? Math.min(LARGEST, Math.max(SMALLEST, 2 * window))
                : window >= 4 * SMALLEST ? window / 4 : 0;
        asked = first;
        frontier = last + 1;
        marker = Integer.MAX_VALUE;
        return window;
    }

    /** Spans up to {@code end}, exclusive, are on their way: a read of the second half of them asks for more. */
    synchronized void planned(int start, int end) {
        frontier = end;
        marker = start + (end - start) / 2;
    }

    /**
     * A read was served from what is here.
     *
     * @return where to go on fetching, or -1
     */
    synchronized int touched(int span) {
        if (span < marker || span > frontier) {
            return -1;
        }
        marker = Integer.MAX_VALUE;
        window = Math.min(LARGEST, Math.max(SMALLEST, 2 * window));
        return frontier;
    }

    /** Whether {@link #touched} could ask for more; without waiting. */
    boolean waits() {
        return marker != Integer.MAX_VALUE;
    }

    synchronized long window() {
        return window;
    }
}
