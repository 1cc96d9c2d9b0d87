package dev.coldstart.snapshotter.fetch;

/**
 * How many requests to a host at once are enough: more are tried as long as they bring more bytes per second, and now and
 * then whether fewer would bring as many. Learns only while all that are allowed are in use. Not thread-safe.
 */
final class ConnectionLimit {
    static final int FIRST = 6;
    static final int LEAST = 2;
    static final int MOST = 16;

    private static final long EPOCH_NANOS = 150_000_000;
    /** Epochs between two trials. */
    private static final int REST = 20;

    private static final double MORE = 1.08;
    private static final double AS_MUCH = 0.97;

    private int limit = FIRST;
    /** What it was before the trial that is going on; the same if none is. */
    private int before = FIRST;
    /** Bytes per nanosecond with {@link #before}; 0 if not known. */
    private double rate;

    private int rest;
    private boolean fewerNext;
    private boolean measuring;
    private long epochStart;
    private long epochBytes;

    int get() {
        return limit;
    }

    /**
     * To be called often.
     *
     * @param now by {@link System#nanoTime}
     * @param bytes fetched from the host since ever
     * @param inUse whether as many requests run as are allowed, and more wait
     */
    void look(long now, long bytes, boolean inUse) {
        // A host from which nothing comes says nothing of connections.
        if (!inUse || !measuring || bytes == epochBytes) {
            measuring = inUse;
            epochStart = now;
            epochBytes = bytes;
            return;
        }
        long nanos = now - epochStart;
        if (nanos < EPOCH_NANOS) {
            return;
        }
        learn((bytes - epochBytes) / (double) nanos);
        epochStart = now;
        epochBytes = bytes;
    }

    private void learn(double measured) {
        if (limit == before) {
            rate = measured;
            if (rest > 0) {
                rest--;
            } else if (fewerNext && limit > LEAST) {
                limit = Math.max(LEAST, limit - Math.max(1, limit / 4));
            } else {
                grow();
            }
            return;
        }
        boolean grew = limit > before;
        if (measured < rate * (grew ? MORE : AS_MUCH)) {
            limit = before;
            rest = REST;
            fewerNext = grew;
            return;
        }
        before = limit;
        rate = measured;
        if (grew) {
            grow();
        } else {
            rest = REST;
        }
    }

    private void grow() {
        if (limit < MOST) {
            limit = Math.min(MOST, limit + Math.max(1, limit / 2));
        } else {
            rest = REST;
            fewerNext = true;
        }
    }
}
