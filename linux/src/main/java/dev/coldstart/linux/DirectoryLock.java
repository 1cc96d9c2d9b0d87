package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.Optional;

/**
 * An advisory lock on a directory (flock(2)). It belongs to the open directory, not to its name: it survives a rename,
 * and ends with {@link #close()} or with the process. Not inherited by programs that are started.
 */
public final class DirectoryLock implements AutoCloseable {
    private static final int LOCK_SH = 1;
    private static final int LOCK_EX = 2;
    private static final int LOCK_NB = 4;

    private static final MethodHandle FLOCK = Words.function("flock");

    private final Descriptor directory;

    private DirectoryLock(Descriptor directory) {
        this.directory = directory;
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
        // The slash at the end refuses anything but a directory.
        Descriptor descriptor = Descriptor.open(directory + "/", Descriptor.O_RDONLY, 0);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            if ((int) Words.call(FLOCK, capture, descriptor.number(), operation) == 0) {
                return Optional.of(new DirectoryLock(descriptor));
            }
            int failure = Native.errno(capture);
            descriptor.close();
            if (failure == Errno.EAGAIN) {
                return Optional.empty();
            }
            throw new LinuxException("lock " + directory, failure);
        }
    }

    @Override
    public void close() {
        directory.close();
    }
}
