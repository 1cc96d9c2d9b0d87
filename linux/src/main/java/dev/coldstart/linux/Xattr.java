package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
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

    private static final MethodHandle LLISTXATTR =
            Native.libc("llistxattr", FunctionDescriptor.of(JAVA_LONG, ADDRESS, ADDRESS, JAVA_LONG));
    private static final MethodHandle LGETXATTR =
            Native.libc("lgetxattr", FunctionDescriptor.of(JAVA_LONG, ADDRESS, ADDRESS, ADDRESS, JAVA_LONG));
    private static final MethodHandle LSETXATTR =
            Native.libc("lsetxattr", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT));

    private Xattr() {}

    /** The names of a file's attributes; empty where the file system has none. */
    public static List<String> list(Path file) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            MemorySegment names = arena.allocate(MAX_BYTES);
            long length;
            try {
                length = (long) LLISTXATTR.invokeExact(errno, PathBytes.of(arena, file), names, (long) MAX_BYTES);
            } catch (Throwable thrown) {
                throw Native.unexpected(thrown);
            }
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
            long length;
            try {
                length = (long) LGETXATTR.invokeExact(
                        errno, PathBytes.of(arena, file), arena.allocateFrom(name), value, (long) MAX_BYTES);
            } catch (Throwable thrown) {
                throw Native.unexpected(thrown);
            }
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
            int result;
            try {
                result = (int) LSETXATTR.invokeExact(
                        errno,
                        PathBytes.of(arena, file),
                        arena.allocateFrom(name),
                        arena.allocateFrom(JAVA_BYTE, value),
                        (long) value.length,
                        0);
            } catch (Throwable thrown) {
                throw Native.unexpected(thrown);
            }
            if (result != 0) {
                throw new LinuxException("set " + name + " of " + file, Native.errno(errno));
            }
        }
    }
}
