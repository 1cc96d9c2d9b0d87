package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/** Files that Java cannot make: devices and fifos (mknod(2)). */
public final class SpecialFile {
    private static final MethodHandle MKNOD =
            Native.libc("mknod", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT, JAVA_LONG));

    private SpecialFile() {}

    /**
     * Makes a file.
     *
     * @param mode type and permissions as in {@code st_mode}, less the umask
     * @param device as in {@code st_rdev}; 0 with a character device is overlayfs's whiteout
     */
    public static void make(Path file, int mode, long device) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            int result;
            try {
                result = (int) MKNOD.invokeExact(errno, PathBytes.of(arena, file), mode, device);
            } catch (Throwable thrown) {
                throw Native.unexpected(thrown);
            }
            if (result != 0) {
                throw new LinuxException("make the special file " + file, Native.errno(errno));
            }
        }
    }
}
