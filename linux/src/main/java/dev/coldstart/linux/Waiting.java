package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Optional;

/**
 * Reaping children. A program that uses this for every child must start none with {@link ProcessBuilder}: its exit
 * would be stolen and {@link Process#waitFor} would answer 0.
 */
public final class Waiting {
    private static final int P_ALL = 0;
    private static final int WEXITED = 4;
    // siginfo_t of SIGCHLD on 64-bit Linux: si_code at 8, si_pid at 16, si_status at 24.
    private static final long SIGINFO_BYTES = 128;
    private static final int CLD_EXITED = 1;
    private static final MethodHandle WAITID = Words.function("waitid");

    private Waiting() {}

    /**
     * How a child ended.
     *
     * @param status the exit code, or 128 + the signal that killed it
     */
    public record Exit(int pid, int status) {}

    /** Sleeps until any child has ended and reaps it; empty at once when there are no children. */
    public static Optional<Exit> any() throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            MemorySegment info = arena.allocate(SIGINFO_BYTES, 8);
            while (true) {
                int result = (int) Words.call(WAITID, capture, P_ALL, 0, info.address(), WEXITED, 0, 0);
                if (result == 0) {
                    int status = info.get(JAVA_INT, 24);
                    boolean exited = info.get(JAVA_INT, 8) == CLD_EXITED;
                    return Optional.of(new Exit(info.get(JAVA_INT, 16), exited ? status : 128 + status));
                }
                switch (Native.errno(capture)) {
                    case Errno.EINTR -> {}
                    case Errno.ECHILD -> {
                        return Optional.empty();
                    }
                    default -> throw new LinuxException("wait for children", Native.errno(capture));
                }
            }
        }
    }
}
