package dev.coldstart.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A file as a read-only block device (loop(4); numbers and structures of include/uapi/linux/loop.h; LOOP_CONFIGURE needs
 * Linux 5.8). It goes away by itself when nobody uses it any more: to keep it, mount it before closing this.
 */
public final class LoopDevice implements AutoCloseable {
    private static final int LOOP_CONFIGURE = 0x4C0A;
    private static final int LOOP_CTL_GET_FREE = 0x4C82;

    private static final int LO_FLAGS_READ_ONLY = 1;
    private static final int LO_FLAGS_AUTOCLEAR = 4;
    private static final int LO_FLAGS_DIRECT_IO = 16;

    /** {@code struct loop_config}: descriptor, block size, {@code struct loop_info64}, eight reserved words. */
    private static final int CONFIG = 304;

    private static final int CONFIG_FLAGS = 60;
    private static final int CONFIG_NAME = 64;
    private static final int NAME = 63;

    // Between being told of a free device and taking it, another may take it; each time somebody gets one.
    private static final int TRIES = 100;

    private static final Pattern DEVICE = Pattern.compile("/dev/(loop\\d+)");
    private static final MethodHandle IOCTL = Words.function("ioctl");

    private final Descriptor device;
    private final String path;

    private LoopDevice(Descriptor device, String path) {
        this.device = device;
        this.path = path;
    }

    /** Takes a free device for a file; past the page cache where the file system can, so that pages are not held twice. */
    public static LoopDevice attach(Path file) throws LinuxException {
        try (Arena arena = Arena.ofConfined();
                Descriptor control = Descriptor.open("/dev/loop-control", Descriptor.O_RDWR, 0);
                Descriptor backing = Descriptor.open(file.toString(), Descriptor.O_RDONLY, 0)) {
            MemorySegment capture = Native.capture(arena);
            MemorySegment config = arena.allocate(CONFIG, Long.BYTES);
            config.set(ValueLayout.JAVA_INT, 0, backing.number());
            byte[] name = file.toString().getBytes(StandardCharsets.UTF_8);
            // For people only, and cut off: which file it is, the kernel knows.
            MemorySegment.copy(name, 0, config, ValueLayout.JAVA_BYTE, CONFIG_NAME, Math.min(name.length, NAME));
            int flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
            for (int left = TRIES; ; left--) {
                int number = Words.check(
                        Words.call(IOCTL, capture, control.number(), LOOP_CTL_GET_FREE, 0),
                        capture,
                        "get a loop device");
                String path = "/dev/loop" + number;
                Descriptor device = Descriptor.open(path, Descriptor.O_RDONLY, 0);
                config.set(ValueLayout.JAVA_INT, CONFIG_FLAGS, flags);
                if ((int) Words.call(IOCTL, capture, device.number(), LOOP_CONFIGURE, config.address()) == 0) {
                    return new LoopDevice(device, path);
                }
                int errno = Native.errno(capture);
                device.close();
                if (errno == Errno.EINVAL && (flags & LO_FLAGS_DIRECT_IO) != 0) {
                    flags &= ~LO_FLAGS_DIRECT_IO;
                } else if (errno != Errno.EBUSY || left == 0) {
                    throw new LinuxException("attach " + file + " to " + path, errno);
                }
            }
        }
    }

    /** The device, such as {@code /dev/loop3}. */
    public String path() {
        return path;
    }

    /**
     * The file behind a loop device.
     *
     * @param device what may be one
     * @return the file's path; {@code device} itself if it is no loop device, or one without a file
     */
    public static String backingFile(String device) throws IOException {
        Matcher loop = DEVICE.matcher(device);
        if (!loop.matches()) {
            return device;
        }
        byte[] file;
        try {
            file = Files.readAllBytes(Path.of("/sys/block", loop.group(1), "loop/backing_file"));
        } catch (NoSuchFileException e) {
            return device;
        }
        // With a newline behind it.
        return new String(Arrays.copyOf(file, Math.max(file.length - 1, 0)), StandardCharsets.UTF_8);
    }

    @Override
    public void close() {
        device.close();
    }
}
