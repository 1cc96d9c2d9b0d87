package dev.coldstart.snapshotter.fetch;

import java.util.Arrays;

/** How long a host's last requests took to their first byte. Not thread-safe. */
final class Latencies {
    private static final int KEPT = 64;
    private static final int ENOUGH = 8;
    private static final long UNKNOWN = 1_000_000_000;
    /** Below it a pause of ours is likelier than one of the host's. */
    private static final long LEAST_TAIL = 20_000_000;

    private final long[] last = new long[KEPT];
    private int count;

    void add(long nanos) {
        last[count % KEPT] = nanos;
        count++;
        // Stays in range, and the ring stays where it is.
        if (count == 1 << 30) {
            count = KEPT;
        }
    }

    /** Nanoseconds; 0 if there was no request yet. */
    long median() {
        return quantile(0.5);
    }

    /** After so many nanoseconds without a byte a request is one of the slowest few of a hundred. */
    long tail() {
        return count < ENOUGH ? UNKNOWN : Math.max(LEAST_TAIL, quantile(0.97) * 3 / 2);
    }

    private long quantile(double share) {
        int n = Math.min(count, KEPT);
        if (n == 0) {
            return 0;
        }
        long[] sorted = Arrays.copyOf(last, n);
        Arrays.sort(sorted);
        return sorted[Math.min(n - 1, (int) (share * n))];
    }
}
