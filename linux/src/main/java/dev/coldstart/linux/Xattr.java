package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Extended attributes of files (xattr(7)); a symbolic link is never followed. What root sees includes the
 * {@code trusted.} attributes, in which overlayfs keeps its state.
 */
public final class Xattr {
    /** XATTR_SIZE_MAX and XATTR_LIST_MAX of include/uapi/linux/limits.h: no value and no list is longer. */
    private static final int MAX_BYTES = 65536;

    private static final MethodHandle LLISTXATTR = Words.function("llistxattr");
    private static final MethodHandle LGETXATTR = Words.function("lgetxattr");
    private static final MethodHandle LSETXATTR = Words.function("lsetxattr");

    private Xattr() {}

    /** The names of a file's attributes; empty where the file system has none. */
    public static List<String> list(Path file) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            MemorySegment names = arena.allocate(MAX_BYTES);
            long length = Words.call(LLISTXATTR, errno, Words.path(arena, file), names.address(), MAX_BYTES);
            if (length < 0) {
                if (Native.errno(errno) == Errno.EOPNOTSUPP) {
                    return List.of();
                }
                throw new LinuxException("list extended attributes of " + file, Native.errno(errno));
            }
            List<String> result = new ArrayList<>();
            for (long at = 0; at < length; ) {
                String name = names.getString(at);
                result.add(name);
                at += name.getBytes(StandardCharsets.UTF_8).length + 1L;
            }
            return result;
        }
    }

    /**
     * An attribute's value.
     *
     * @throws LinuxException with {@link Errno#ENODATA} if there is no such attribute
     */
    public static byte[] get(Path file, String name) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            MemorySegment value = arena.allocate(MAX_BYTES);
            long path = Words.path(arena, file);
            long length =
                    Words.call(LGETXATTR, errno, path, Words.string(arena, name), value.address(), MAX_BYTES, 0, 0);
            if (length < 0) {
                throw new LinuxException("read " + name + " of " + file, Native.errno(errno));
            }
            return value.asSlice(0, length).toArray(JAVA_BYTE);
        }
    }

    /** Sets an attribute, made if it is missing. */
    public static void set(Path file, String name, byte[] value) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            long path = Words.path(arena, file);
            long bytes = arena.allocateFrom(JAVA_BYTE, value).address();
            long result = Words.call(LSETXATTR, errno, path, Words.string(arena, name), bytes, value.length, 0, 0);
            Words.check(result, errno, "set " + name + " of " + file);
        }
    }
}
