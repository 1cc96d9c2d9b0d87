package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/**
 * The room of a file system.
 *
 * @param bytes in all
 * @param freeBytes that any user may still take
 * @param inodes in all; 0 where the file system makes them as they are needed
 * @param freeInodes that any user may still take
 */
public record FileSystemSpace(long bytes, long freeBytes, long inodes, long freeInodes) {
    /** struct statvfs of glibc's bits/statvfs.h on 64-bit Linux: words of eight bytes, and a reserve. */
    private static final int STATVFS_BYTES = 112;

    private static final int F_FRSIZE = 8;
    private static final int F_BLOCKS = 16;
    private static final int F_BAVAIL = 32;
    private static final int F_FILES = 40;
    private static final int F_FAVAIL = 56;

    private static final MethodHandle STATVFS =
            Native.libc("statvfs", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS));

    /** Asks the kernel about the file system that has a file. */
    public static FileSystemSpace of(Path file) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            MemorySegment status = arena.allocate(STATVFS_BYTES, 8);
            int result;
            try {
                result = (int) STATVFS.invokeExact(errno, PathBytes.of(arena, file), status);
            } catch (Throwable thrown) {
                throw Native.unexpected(thrown);
            }
            if (result != 0) {
                throw new LinuxException("look at the file system of " + file, Native.errno(errno));
            }
            long block = status.get(JAVA_LONG, F_FRSIZE);
            return new FileSystemSpace(
                    block * status.get(JAVA_LONG, F_BLOCKS),
                    block * status.get(JAVA_LONG, F_BAVAIL),
                    status.get(JAVA_LONG, F_FILES),
                    status.get(JAVA_LONG, F_FAVAIL));
        }
    }
}
