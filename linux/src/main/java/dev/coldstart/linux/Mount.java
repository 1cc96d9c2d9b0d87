package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** mount(2) and umount2(2), and containerd's way of writing a mount down (fstab options in a list). */
public final class Mount {
    public static final long MS_RDONLY = 1;
    public static final long MS_NOSUID = 2;
    public static final long MS_NODEV = 4;
    public static final long MS_NOEXEC = 8;
    public static final long MS_SYNCHRONOUS = 16;
    public static final long MS_REMOUNT = 32;
    public static final long MS_MANDLOCK = 64;
    public static final long MS_DIRSYNC = 128;
    public static final long MS_NOATIME = 1024;
    public static final long MS_NODIRATIME = 2048;
    public static final long MS_BIND = 4096;
    public static final long MS_MOVE = 8192;
    public static final long MS_REC = 16384;
    public static final long MS_PRIVATE = 1 << 18;
    public static final long MS_SLAVE = 1 << 19;
    public static final long MS_SHARED = 1 << 20;
    public static final long MS_RELATIME = 1 << 21;
    public static final long MS_STRICTATIME = 1 << 24;

    public static final int MNT_FORCE = 1;
    public static final int MNT_DETACH = 2;
    public static final int UMOUNT_NOFOLLOW = 8;

    /** The kernel copies one page of options; the last byte is the terminator. */
    public static final int MAX_DATA_BYTES = 4095;

    private static final MethodHandle MOUNT = Words.function("mount");
    private static final MethodHandle UMOUNT2 = Words.function("umount2");

    private Mount() {}

    /**
     * mount(2) as it is.
     *
     * @param source the device, directory or name; null where the kernel takes none
     * @param type the file system's type; null for bind, move, remount and propagation changes
     * @param data the file system's own options, comma separated; null or empty for none
     */
    public static void mount(
            @Nullable String source, String target, @Nullable String type, long flags, @Nullable String data)
            throws LinuxException {
        if (data != null && data.getBytes(StandardCharsets.UTF_8).length > MAX_DATA_BYTES) {
            throw new LinuxException(
                    "mount " + type + " on " + target + " with more than one page of options", Errno.EINVAL);
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            long result = Words.call(
                    MOUNT,
                    capture,
                    string(arena, source),
                    Words.string(arena, target),
                    string(arena, type),
                    flags,
                    string(arena, data),
                    0);
            if ((int) result != 0) {
                throw new LinuxException(
                        "mount " + (type == null ? "" : type + " ") + (source == null ? "" : source + " ") + "on "
                                + target
                                + (data == null || data.isEmpty() ? "" : " with " + abbreviated(data)),
                        Native.errno(capture));
            }
        }
    }

    /**
     * Mounts what containerd's {@code types.Mount} describes, by containerd's rules (core/mount/mount_linux.go): known
     * words of the options become flags, the rest the file system's data; a read-only bind needs a second call, because
     * the kernel ignores the flag in the first.
     */
    public static void mount(String type, String source, String target, List<String> options) throws LinuxException {
        Options parsed = Options.parse(options);
        boolean bind = (parsed.flags() & MS_BIND) != 0;
        mount(source, target, bind ? null : type, parsed.flags(), parsed.data());
        if (bind && (parsed.flags() & MS_RDONLY) != 0) {
            try {
                mount(null, target, null, parsed.flags() | MS_REMOUNT, null);
            } catch (LinuxException e) {
                umount(target, MNT_DETACH);
                throw e;
            }
        }
    }

    /**
     * umount2(2).
     *
     * @param flags any of {@link #MNT_FORCE}, {@link #MNT_DETACH}, {@link #UMOUNT_NOFOLLOW}
     */
    public static void umount(String target, int flags) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            long result = Words.call(UMOUNT2, capture, Words.string(arena, target), flags);
            Words.check(result, capture, "umount " + target);
        }
    }

    private static long string(Arena arena, @Nullable String text) {
        return text == null || text.isEmpty() ? 0 : Words.string(arena, text);
    }

    private static String abbreviated(String data) {
        return data.length() <= 512 ? data : data.substring(0, 512) + "…";
    }

    /**
     * Mount options taken apart.
     *
     * @param flags MS_* bits
     * @param data what is left for the file system, comma separated
     */
    public record Options(long flags, String data) {
        /** Never fails: what is not a known word is the file system's. */
        public static Options parse(List<String> options) {
            long flags = 0;
            List<String> data = new ArrayList<>();
            for (String option : options) {
                switch (option) {
                    case "", "defaults" -> {}
                    case "async" -> flags &= ~MS_SYNCHRONOUS;
                    case "atime" -> flags &= ~MS_NOATIME;
                    case "bind" -> flags |= MS_BIND;
                    case "dev" -> flags &= ~MS_NODEV;
                    case "diratime" -> flags &= ~MS_NODIRATIME;
                    case "dirsync" -> flags |= MS_DIRSYNC;
                    case "exec" -> flags &= ~MS_NOEXEC;
                    case "mand" -> flags |= MS_MANDLOCK;
                    case "noatime" -> flags |= MS_NOATIME;
                    case "nodev" -> flags |= MS_NODEV;
                    case "nodiratime" -> flags |= MS_NODIRATIME;
                    case "noexec" -> flags |= MS_NOEXEC;
                    case "nomand" -> flags &= ~MS_MANDLOCK;
                    case "norelatime" -> flags &= ~MS_RELATIME;
                    case "nostrictatime" -> flags &= ~MS_STRICTATIME;
                    case "nosuid" -> flags |= MS_NOSUID;
                    case "rbind" -> flags |= MS_BIND | MS_REC;
                    case "relatime" -> flags |= MS_RELATIME;
                    case "remount" -> flags |= MS_REMOUNT;
                    case "ro" -> flags |= MS_RDONLY;
                    case "rw" -> flags &= ~MS_RDONLY;
                    case "strictatime" -> flags |= MS_STRICTATIME;
                    case "suid" -> flags &= ~MS_NOSUID;
                    case "sync" -> flags |= MS_SYNCHRONOUS;
                    default -> data.add(option);
                }
            }
            return new Options(flags, String.join(",", data));
        }
    }
}
