package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** Attributes of this process. */
public final class Prctl {
    private static final int PR_SET_CHILD_SUBREAPER = 36;
    private static final MethodHandle PRCTL = Words.function("prctl");

    private Prctl() {}

    /** From now on orphaned descendants become children of this process (all its threads) and are its to reap. */
    public static void becomeSubreaper() throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            Words.check(Words.call(PRCTL, capture, PR_SET_CHILD_SUBREAPER, 1, 0), capture, "become a subreaper");
        }
    }
}
