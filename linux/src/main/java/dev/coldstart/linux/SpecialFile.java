package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/** Files that Java cannot make: devices and fifos (mknod(2)). */
public final class SpecialFile {
    private static final MethodHandle MKNOD = Words.function("mknod");

    private SpecialFile() {}

    /**
     * Makes a file.
     *
     * @param mode type and permissions as in {@code st_mode}, less the umask
     * @param device as in {@code st_rdev}; 0 with a character device is overlayfs's whiteout
     */
    public static void make(Path file, int mode, long device) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            long result = Words.call(MKNOD, capture, Words.path(arena, file), mode, device);
            Words.check(result, capture, "make the special file " + file);
        }
    }
}
