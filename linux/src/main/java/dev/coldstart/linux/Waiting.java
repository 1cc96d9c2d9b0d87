package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Reaping children. A program that uses this for every child must start none with {@link ProcessBuilder}: its exit
 * would be stolen and {@link Process#waitFor} would answer 0.
 */
public final class Waiting {
    private static final int P_ALL = 0;
    private static final int P_PID = 1;
    private static final int WNOHANG = 1;
    private static final int WEXITED = 4;
    private static final int WNOWAIT = 0x01000000;
    // siginfo_t of SIGCHLD on 64-bit Linux.
    private static final long SIGINFO_BYTES = 128;
    private static final long SI_CODE = 8;
    private static final long SI_PID = 16;
    private static final long SI_STATUS = 24;
    private static final int CLD_EXITED = 1;
    private static final MethodHandle WAITID = Words.function("waitid");

    private Waiting() {}

    /**
     * How a child ended.
     *
     * @param status the exit code, or 128 + the signal that killed it
     */
    public record Exit(int pid, int status) {}

    /** Sleeps until any child has ended, and leaves it to be reaped; its pid, or empty at once when there are no children. */
    public static OptionalInt any() throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment info = arena.allocate(SIGINFO_BYTES, 8);
            boolean children = waitid(arena, P_ALL, 0, info, WEXITED | WNOWAIT);
            return children ? OptionalInt.of(info.get(JAVA_INT, SI_PID)) : OptionalInt.empty();
        }
    }

    /** Reaps a child that has ended; empty if it is no child, or has not ended. */
    public static Optional<Exit> reap(int pid) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment info = arena.allocate(SIGINFO_BYTES, 8);
            if (!waitid(arena, P_PID, pid, info, WEXITED | WNOHANG) || info.get(JAVA_INT, SI_PID) == 0) {
                return Optional.empty();
            }
            int status = info.get(JAVA_INT, SI_STATUS);
            boolean exited = info.get(JAVA_INT, SI_CODE) == CLD_EXITED;
            return Optional.of(new Exit(pid, exited ? status : 128 + status));
        }
    }

    /** Whether a process is a child of this one: it runs, or has ended and is not reaped. */
    public static boolean isChild(int pid) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            return waitid(arena, P_PID, pid, arena.allocate(SIGINFO_BYTES, 8), WEXITED | WNOHANG | WNOWAIT);
        }
    }

    /** False if there is no such child. */
    private static boolean waitid(Arena arena, int kind, int pid, MemorySegment info, int options)
            throws LinuxException {
        MemorySegment capture = Native.capture(arena);
        while (Words.call(WAITID, capture, kind, pid, info.address(), options, 0, 0) != 0) {
            switch (Native.errno(capture)) {
                case Errno.EINTR -> {}
                case Errno.ECHILD -> {
                    return false;
                }
                default -> throw new LinuxException("wait for children", Native.errno(capture));
            }
        }
        return true;
    }
}
