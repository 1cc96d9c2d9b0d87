package dev.coldstart.integration.shim;

import java.util.Arrays;

/** Milliseconds of the same thing done several times. */
final class Samples {
    private final double[] sorted;

    /** @param values at least one */
    Samples(double[] values) {
        sorted = values.clone();
        Arrays.sort(sorted);
    }

    /** The smallest value that this share of all, in per cent, does not exceed. */
    double percentile(int percent) {
        int rank = (int) Math.ceil(percent / 100.0 * sorted.length);
        return sorted[Math.max(0, rank - 1)];
    }
}
