package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Where a system call leaves its errno. A thread that makes many calls keeps one, so that a call allocates nothing; two
 * threads must not share one at a time.
 */
public final class CallState {
    private final MemorySegment capture;

    /** Lives as long as the arena. */
    public CallState(Arena arena) {
        this.capture = Native.capture(arena);
    }

    MemorySegment capture() {
        return capture;
    }

    int errno() {
        return Native.errno(capture);
    }
}
