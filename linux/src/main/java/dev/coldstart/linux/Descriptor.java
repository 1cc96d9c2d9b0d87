package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * An open file descriptor. Closing is idempotent; reading and writing belong to one thread at a time, and closing a
 * descriptor that another thread sleeps in does not wake that thread (use {@link Poll}).
 */
public final class Descriptor implements AutoCloseable {
    // include/uapi/asm-generic/fcntl.h; these are the same on x86-64 and arm64.
    public static final int O_RDONLY = 0;
    public static final int O_WRONLY = 1;
    public static final int O_RDWR = 2;
    public static final int O_CREAT = 0x40;
    public static final int O_NOCTTY = 0x100;
    public static final int O_APPEND = 0x400;
    public static final int O_NONBLOCK = 0x800;
    private static final int O_CLOEXEC = 0x80000;
    private static final int F_GETFL = 3;
    private static final int F_SETFL = 4;
    private static final int F_DUPFD_CLOEXEC = 1030;

    /** {@link #read} and {@link #write} answer this when the descriptor does not block and nothing could be moved. */
    public static final int WOULD_BLOCK = -1;

    private static final MethodHandle OPEN = Words.function("open");
    private static final MethodHandle CLOSE = Words.function("close");
    private static final MethodHandle READ = Words.function("read");
    private static final MethodHandle PREAD = Words.function("pread");
    private static final MethodHandle WRITE = Words.function("write");
    private static final MethodHandle FCNTL = Words.function("fcntl");
    private static final MethodHandle FCHOWN = Words.function("fchown");

    private static final int CLOSED = -1;

    private final AtomicInteger fd;

    private Descriptor(int fd) {
        this.fd = new AtomicInteger(fd);
    }

    /** Takes over a descriptor that a system call has just made. */
    static Descriptor adopt(int fd) {
        return new Descriptor(fd);
    }

    /**
     * open(2), always with O_CLOEXEC. Opening a fifo for writing blocks until it has a reader, as in C.
     *
     * @param mode permission bits of a file that O_CREAT makes
     */
    public static Descriptor open(String path, int flags, int mode) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            long name = Words.string(arena, path);
            while (true) {
                int fd = (int) Words.call(OPEN, capture, name, flags | O_CLOEXEC, mode);
                if (fd >= 0) {
                    return new Descriptor(fd);
                }
                if (Native.errno(capture) != Errno.EINTR) {
                    throw new LinuxException("open " + path, Native.errno(capture));
                }
            }
        }
    }

    /** The number, valid until {@link #close}. */
    public int number() {
        int number = fd.get();
        if (number == CLOSED) {
            throw new IllegalStateException("descriptor is closed");
        }
        return number;
    }

    /** Another descriptor for the same open file, numbered {@code lowest} or above. */
    public Descriptor duplicate(int lowest) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            long result = Words.call(FCNTL, capture, number(), F_DUPFD_CLOEXEC, lowest);
            return new Descriptor(Words.check(result, capture, "duplicate descriptor " + number()));
        }
    }

    /** Makes reads and writes of the open file answer {@link #WOULD_BLOCK} instead of sleeping. */
    public void nonBlocking() throws LinuxException {
        nonBlocking(number());
    }

    /** The same for standard error, so that a log nobody reads cannot stop the program. */
    public static void nonBlockingStandardError() throws LinuxException {
        nonBlocking(2);
    }

    private static void nonBlocking(int fd) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            String attempted = "set O_NONBLOCK on descriptor " + fd;
            int flags = Words.check(Words.call(FCNTL, capture, fd, F_GETFL, 0), capture, attempted);
            Words.check(Words.call(FCNTL, capture, fd, F_SETFL, flags | O_NONBLOCK), capture, attempted);
        }
    }

    /** fchown(2). */
    public void owner(int uid, int gid) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            long result = Words.call(FCHOWN, capture, number(), uid, gid);
            Words.check(result, capture, "give descriptor " + number() + " to " + uid + ":" + gid);
        }
    }

    /**
     * read(2) into native memory.
     *
     * @return bytes read, 0 at the end, {@link #WOULD_BLOCK} when there is nothing yet
     */
    public int read(MemorySegment into, MemorySegment capture) throws LinuxException {
        return move(READ, into, 0, capture, "read");
    }

    /**
     * pread(2) into native memory: from {@code offset} on, wherever {@link #read} stands.
     *
     * @return bytes read, 0 at the end
     */
    public int readAt(long offset, MemorySegment into, MemorySegment capture) throws LinuxException {
        return move(PREAD, into, offset, capture, "read");
    }

    /**
     * write(2) from native memory.
     *
     * @return bytes written, or {@link #WOULD_BLOCK} when nothing fits now
     */
    public int write(MemorySegment from, MemorySegment capture) throws LinuxException {
        return move(WRITE, from, 0, capture, "write");
    }

    /** The offset is for those of the calls that take one. */
    private int move(MethodHandle call, MemorySegment bytes, long offset, MemorySegment capture, String verb)
            throws LinuxException {
        while (true) {
            long moved = Words.call(call, capture, number(), bytes.address(), bytes.byteSize(), offset, 0, 0);
            if (moved >= 0) {
                return Math.toIntExact(moved);
            }
            switch (Native.errno(capture)) {
                case Errno.EINTR -> {}
                case Errno.EAGAIN -> {
                    return WOULD_BLOCK;
                }
                default -> throw new LinuxException(verb + " descriptor " + number(), Native.errno(capture));
            }
        }
    }

    /** Room that {@link #read} and {@link #write} leave their errno in; one per thread. */
    public static MemorySegment errnoIn(Arena arena) {
        return Native.capture(arena);
    }

    @Override
    public void close() {
        int number = fd.getAndSet(CLOSED);
        if (number == CLOSED) {
            return;
        }
        try (Arena arena = Arena.ofConfined()) {
            // Linux frees the number whatever close(2) answers; there is nothing to retry or to tell.
            Words.call(CLOSE, Native.capture(arena), number);
        }
    }
}
