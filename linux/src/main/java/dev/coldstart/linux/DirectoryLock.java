package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * An advisory lock on a directory (flock(2)). It belongs to the open directory, not to its name: it survives a rename,
 * and ends with {@link #close()} or with the process. Not inherited by programs that are started.
 */
public final class DirectoryLock implements AutoCloseable {
    private static final int O_RDONLY = 0;
    private static final int O_CLOEXEC = 02000000;
    private static final int LOCK_SH = 1;
    private static final int LOCK_EX = 2;
    private static final int LOCK_NB = 4;

    private static final MethodHandle OPEN =
            Native.libc("open", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT), Linker.Option.firstVariadicArg(2));
    private static final MethodHandle FLOCK = Native.libc("flock", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle CLOSE = Native.libc("close", FunctionDescriptor.of(JAVA_INT, JAVA_INT));

    private final int descriptor;
    private final AtomicBoolean closed = new AtomicBoolean();

    private DirectoryLock(int descriptor) {
        this.descriptor = descriptor;
    }

    /** Takes a lock that others may share; empty if somebody holds it exclusively. */
    public static Optional<DirectoryLock> shared(Path directory) throws LinuxException {
        return lock(directory, LOCK_SH | LOCK_NB);
    }

    /** Takes the lock for this holder alone; empty if anybody else holds it, in this process or another. */
    public static Optional<DirectoryLock> exclusive(Path directory) throws LinuxException {
        return lock(directory, LOCK_EX | LOCK_NB);
    }

    private static Optional<DirectoryLock> lock(Path directory, int operation) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            int descriptor;
            try {
                // The slash at the end refuses anything but a directory.
                descriptor = (int) OPEN.invokeExact(errno, arena.allocateFrom(directory + "/"), O_RDONLY | O_CLOEXEC);
            } catch (Throwable thrown) {
                throw Native.unexpected(thrown);
            }
            if (descriptor < 0) {
                throw new LinuxException("open " + directory, Native.errno(errno));
            }
            int result;
            try {
                result = (int) FLOCK.invokeExact(errno, descriptor, operation);
            } catch (Throwable thrown) {
                throw Native.unexpected(thrown);
            }
            if (result == 0) {
                return Optional.of(new DirectoryLock(descriptor));
            }
            int failure = Native.errno(errno);
            close(errno, descriptor);
            if (failure == Errno.EAGAIN) {
                return Optional.empty();
            }
            throw new LinuxException("lock " + directory, failure);
        }
    }

    @Override
    public void close() {
        if (closed.compareAndSet(false, true)) {
            try (Arena arena = Arena.ofConfined()) {
                close(Native.capture(arena), descriptor);
            }
        }
    }

    /** Nothing was written through the descriptor, so there is no error of close(2) to act on. */
    private static void close(MemorySegment errno, int descriptor) {
        try {
            int ignored = (int) CLOSE.invokeExact(errno, descriptor);
        } catch (Throwable thrown) {
            throw Native.unexpected(thrown);
        }
    }
}
