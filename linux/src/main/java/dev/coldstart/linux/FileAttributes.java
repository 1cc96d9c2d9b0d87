package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
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

    private static final MethodHandle LCHOWN = Words.function("lchown");
    private static final MethodHandle CHMOD = Words.function("chmod");
    private static final MethodHandle UTIMENSAT = Words.function("utimensat");
    private static final MethodHandle STATX = Words.function("statx");

    /** struct statx of include/uapi/linux/stat.h. */
    private static final int STATX_BYTES = 256;

    private static final int STATX_BLOCKS = 0x400;
    private static final int STX_BLOCKS = 48;

    private FileAttributes() {}

    /** Bytes that the file system has allocated for a file, which holes make fewer than its length. */
    public static long allocatedBytes(Path file) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            MemorySegment status = arena.allocate(STATX_BYTES, 8);
            long path = Words.path(arena, file);
            long result =
                    Words.call(STATX, capture, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BLOCKS, status.address(), 0);
            Words.check(result, capture, "look at " + file);
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
            MemorySegment capture = Native.capture(arena);
            long path = Words.path(arena, file);
            String attempted = "set owner and permissions of " + file;
            Words.check(Words.call(LCHOWN, capture, path, uid, gid), capture, attempted);
            if ((mode & S_IFMT) != S_IFLNK) {
                Words.check(Words.call(CHMOD, capture, path, mode & PERMISSIONS), capture, attempted);
            }
        }
    }

    /** Sets the time of a file's last access and modification, to the nanosecond. */
    public static void touch(Path file, Instant time) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            MemorySegment times = arena.allocate(JAVA_LONG, 4);
            for (int at = 0; at < 4; at += 2) {
                times.setAtIndex(JAVA_LONG, at, time.getEpochSecond());
                times.setAtIndex(JAVA_LONG, at + 1, time.getNano());
            }
            long path = Words.path(arena, file);
            long result = Words.call(UTIMENSAT, capture, AT_FDCWD, path, times.address(), AT_SYMLINK_NOFOLLOW, 0, 0);
            Words.check(result, capture, "set the time of " + file);
        }
    }
}
