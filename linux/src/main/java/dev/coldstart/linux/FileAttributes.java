package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.time.Instant;

/**
 * Owner, permissions and time of a file, and the room it takes, set and read without opening it (as Java does, and a device such as overlayfs's whiteout
 * cannot be opened) and without following a symbolic link.
 */
public final class FileAttributes {
    private static final int AT_FDCWD = -100;
    private static final int AT_SYMLINK_NOFOLLOW = 0x100;
    /** {@code st_mode} of include/uapi/linux/stat.h. */
    private static final int S_IFMT = 0170000;

    private static final int S_IFLNK = 0120000;
    private static final int PERMISSIONS = 07777;

    private static final MethodHandle LCHOWN =
            Native.libc("lchown", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT));
    private static final MethodHandle CHMOD = Native.libc("chmod", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
    private static final MethodHandle UTIMENSAT =
            Native.libc("utimensat", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, ADDRESS, JAVA_INT));

    /** struct statx of include/uapi/linux/stat.h. */
    private static final int STATX_BYTES = 256;

    private static final int STATX_BLOCKS = 0x400;
    private static final int STX_BLOCKS = 48;

    private static final MethodHandle STATX =
            Native.libc("statx", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT, ADDRESS));

    private FileAttributes() {}

    /** Bytes that the file system has allocated for a file, which holes make fewer than its length. */
    public static long allocatedBytes(Path file) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            MemorySegment status = arena.allocate(STATX_BYTES, 8);
            int result;
            try {
                result = (int) STATX.invokeExact(
                        errno, AT_FDCWD, PathBytes.of(arena, file), AT_SYMLINK_NOFOLLOW, STATX_BLOCKS, status);
            } catch (Throwable thrown) {
                throw Native.unexpected(thrown);
            }
            if (result != 0) {
                throw new LinuxException("look at " + file, Native.errno(errno));
            }
            return 512 * status.get(JAVA_LONG, STX_BLOCKS);
        }
    }

    /**
     * Sets a file's owner, and then its permissions, because a change of owner clears the set-id bits.
     *
     * @param mode type and permissions as in {@code st_mode}; a symbolic link has no permissions
     */
    public static void own(Path file, int mode, int uid, int gid) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            MemorySegment path = PathBytes.of(arena, file);
            int result;
            try {
                result = (int) LCHOWN.invokeExact(errno, path, uid, gid);
                if (result == 0 && (mode & S_IFMT) != S_IFLNK) {
                    result = (int) CHMOD.invokeExact(errno, path, mode & PERMISSIONS);
                }
            } catch (Throwable thrown) {
                throw Native.unexpected(thrown);
            }
            if (result != 0) {
                throw new LinuxException("set owner and permissions of " + file, Native.errno(errno));
            }
        }
    }

    /** Sets the time of a file's last access and modification, to the nanosecond. */
    public static void touch(Path file, Instant time) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            MemorySegment times = arena.allocate(JAVA_LONG, 4);
            for (int at = 0; at < 4; at += 2) {
                times.setAtIndex(JAVA_LONG, at, time.getEpochSecond());
                times.setAtIndex(JAVA_LONG, at + 1, time.getNano());
            }
            int result;
            try {
                result = (int)
                        UTIMENSAT.invokeExact(errno, AT_FDCWD, PathBytes.of(arena, file), times, AT_SYMLINK_NOFOLLOW);
            } catch (Throwable thrown) {
                throw Native.unexpected(thrown);
            }
            if (result != 0) {
                throw new LinuxException("set the time of " + file, Native.errno(errno));
            }
        }
    }
}
