package dev.coldstart.shim.process;

import java.time.Instant;

/**
 * How a process ended.
 *
 * @param status its exit code, 128 + the signal that killed it, or {@link #UNKNOWN}
 * @param at when the shim saw it
 */
public record Exit(int status, Instant at) {
    /** What containerd's own shim reports for an end it did not see. */
    public static final int UNKNOWN = 255;
}
