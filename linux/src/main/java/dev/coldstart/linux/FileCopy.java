package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/**
 * Copies the bytes of files inside the kernel: shared where the file system can share extents (FICLONE), else with
 * copy_file_range(2) from one hole to the next, so that a sparse file stays sparse.
 */
public final class FileCopy {
    private static final int O_RDONLY = 0;
    private static final int O_WRONLY = 1;
    private static final int O_CREAT = 0100;
    private static final int O_EXCL = 0200;
    private static final int O_CLOEXEC = 02000000;
    /** asm-generic/fcntl.h; arm64 has its own. */
    private static final int O_NOFOLLOW = System.getProperty("os.arch", "").equals("aarch64") ? 0100000 : 0400000;

    private static final int SEEK_SET = 0;
    private static final int SEEK_DATA = 3;
    private static final int SEEK_HOLE = 4;
    private static final int SEEK_END = 2;
    /** _IOW(0x94, 9, int) of include/uapi/linux/fs.h. */
    private static final long FICLONE = 0x40049409L;

    private static final MethodHandle OPEN = Native.libc(
            "open", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT), Linker.Option.firstVariadicArg(2));
    private static final MethodHandle IOCTL = Native.libc(
            "ioctl", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_INT), Linker.Option.firstVariadicArg(2));
    private static final MethodHandle LSEEK =
            Native.libc("lseek", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT));
    private static final MethodHandle FTRUNCATE =
            Native.libc("ftruncate", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle COPY_FILE_RANGE = Native.libc(
            "copy_file_range",
            FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));
    private static final MethodHandle SENDFILE =
            Native.libc("sendfile", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_INT, ADDRESS, JAVA_LONG));
    private static final MethodHandle CLOSE = Native.libc("close", FunctionDescriptor.of(JAVA_INT, JAVA_INT));

    private FileCopy() {}

    /**
     * Copies a regular file's bytes into a new file with mode 0600.
     *
     * @param from never followed if it is a symbolic link
     * @param to must not exist
     */
    public static void copy(Path from, Path to) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            int source = open(arena, errno, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
            try {
                int target = open(arena, errno, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
                try {
                    copy(arena, errno, source, target, "copy " + from + " to " + to);
                } finally {
                    close(errno, target);
                }
            } finally {
                close(errno, source);
            }
        }
    }

    private static void copy(Arena arena, MemorySegment errno, int source, int target, String attempt)
            throws LinuxException {
        try {
            if ((int) IOCTL.invokeExact(errno, target, FICLONE, source) == 0) {
                return;
            }
            long size = (long) LSEEK.invokeExact(errno, source, 0L, SEEK_END);
            if (size < 0 || (int) FTRUNCATE.invokeExact(errno, target, size) != 0) {
                throw new LinuxException(attempt, Native.errno(errno));
            }
            MemorySegment in = arena.allocate(JAVA_LONG);
            MemorySegment out = arena.allocate(JAVA_LONG);
            for (long at = 0; at < size; ) {
                long data = (long) LSEEK.invokeExact(errno, source, at, SEEK_DATA);
                if (data < 0) {
                    if (Native.errno(errno) == Errno.ENXIO) {
                        return;
                    }
                    throw new LinuxException(attempt, Native.errno(errno));
                }
                long hole = (long) LSEEK.invokeExact(errno, source, data, SEEK_HOLE);
                if (hole < 0) {
                    throw new LinuxException(attempt, Native.errno(errno));
                }
                in.set(JAVA_LONG, 0, data);
                out.set(JAVA_LONG, 0, data);
                for (long left = hole - data; left > 0; ) {
                    long copied = (long) COPY_FILE_RANGE.invokeExact(errno, source, in, target, out, left, 0);
                    if (copied < 0 && Native.errno(errno) == Errno.EXDEV) {
                        copied = acrossFileSystems(errno, source, in, target, out, left);
                    }
                    if (copied < 0) {
                        throw new LinuxException(attempt, Native.errno(errno));
                    }
                    if (copied == 0) {
                        return;
                    }
                    left -= copied;
                }
                at = hole;
            }
        } catch (LinuxException e) {
            throw e;
        } catch (Throwable thrown) {
            throw Native.unexpected(thrown);
        }
    }

    /** What copy_file_range does not do between file systems of two kinds. */
    private static long acrossFileSystems(
            MemorySegment errno, int source, MemorySegment in, int target, MemorySegment out, long left)
            throws Throwable {
        long at = out.get(JAVA_LONG, 0);
        if ((long) LSEEK.invokeExact(errno, target, at, SEEK_SET) < 0) {
            return -1;
        }
        long copied = (long) SENDFILE.invokeExact(errno, target, source, in, left);
        if (copied > 0) {
            out.set(JAVA_LONG, 0, at + copied);
        }
        return copied;
    }

    private static int open(Arena arena, MemorySegment errno, Path file, int flags) throws LinuxException {
        int descriptor;
        try {
            descriptor = (int) OPEN.invokeExact(errno, PathBytes.of(arena, file), flags, 0600);
        } catch (Throwable thrown) {
            throw Native.unexpected(thrown);
        }
        if (descriptor < 0) {
            throw new LinuxException("open " + file, Native.errno(errno));
        }
        return descriptor;
    }

    private static void close(MemorySegment errno, int descriptor) {
        try {
            int ignored = (int) CLOSE.invokeExact(errno, descriptor);
        } catch (Throwable thrown) {
            throw Native.unexpected(thrown);
        }
    }
}
