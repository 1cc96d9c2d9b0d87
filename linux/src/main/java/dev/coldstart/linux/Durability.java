package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** What makes changes of a file system survive a crash, and atomic. */
public final class Durability {
    private static final int AT_FDCWD = -100;
    private static final int RENAME_EXCHANGE = 2;
    private static final int O_RDONLY = 0;
    private static final int O_CLOEXEC = 02000000;

    private static final MethodHandle RENAMEAT2 =
            Native.libc("renameat2", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT, ADDRESS, JAVA_INT));
    private static final MethodHandle OPEN =
            Native.libc("open", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT), Linker.Option.firstVariadicArg(2));
    private static final MethodHandle SYNCFS = Native.libc("syncfs", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle CLOSE = Native.libc("close", FunctionDescriptor.of(JAVA_INT, JAVA_INT));

    private Durability() {}

    /** Writes everything that waits to be written to the file system of {@code path} (syncfs(2)). */
    public static void syncFileSystem(Path path) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            int descriptor = (int) OPEN.invokeExact(errno, PathBytes.of(arena, path), O_RDONLY | O_CLOEXEC);
            if (descriptor < 0) {
                throw new LinuxException("open " + path, Native.errno(errno));
            }
            int result = (int) SYNCFS.invokeExact(errno, descriptor);
            int failure = Native.errno(errno);
            int ignored = (int) CLOSE.invokeExact(errno, descriptor);
            if (result != 0) {
                throw new LinuxException("write the file system of " + path + " to disk", failure);
            }
        } catch (LinuxException e) {
            throw e;
        } catch (Throwable thrown) {
            throw Native.unexpected(thrown);
        }
    }

    /** Writes a directory's entries to disk (fsync(2)). */
    public static void syncDirectory(Path directory) throws IOException {
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    /** Two files or directories change names, in one step (renameat2(2) with RENAME_EXCHANGE). */
    public static void exchange(Path one, Path other) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            int result;
            try {
                result = (int) RENAMEAT2.invokeExact(
                        errno,
                        AT_FDCWD,
                        PathBytes.of(arena, one),
                        AT_FDCWD,
                        PathBytes.of(arena, other),
                        RENAME_EXCHANGE);
            } catch (Throwable thrown) {
                throw Native.unexpected(thrown);
            }
            if (result != 0) {
                throw new LinuxException("exchange " + one + " and " + other, Native.errno(errno));
            }
        }
    }
}
