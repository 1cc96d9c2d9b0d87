package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** A process that keeps its identity when its number is used again. */
public final class PidFd implements AutoCloseable {
    // The same numbers on every architecture (asm-generic/unistd.h).
    private static final int SYS_PIDFD_SEND_SIGNAL = 424;
    private static final int SYS_PIDFD_OPEN = 434;
    private static final MethodHandle SYSCALL = Words.function("syscall");

    private final int pid;
    private final Descriptor descriptor;

    private PidFd(int pid, Descriptor descriptor) {
        this.pid = pid;
        this.descriptor = descriptor;
    }

    /** pidfd_open(2); of a child not yet reaped it always names that child. */
    public static PidFd open(int pid) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            long result = Words.call(SYSCALL, capture, SYS_PIDFD_OPEN, pid, 0);
            return new PidFd(pid, Descriptor.adopt(Words.check(result, capture, "open process " + pid)));
        }
    }

    public int pid() {
        return pid;
    }

    /** pidfd_send_signal(2); ESRCH when the process has ended. */
    public void signal(int signal) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            long result = Words.call(SYSCALL, capture, SYS_PIDFD_SEND_SIGNAL, descriptor.number(), signal, 0, 0, 0);
            Words.check(result, capture, "send signal " + signal + " to process " + pid);
        }
    }

    @Override
    public void close() {
        descriptor.close();
    }
}
