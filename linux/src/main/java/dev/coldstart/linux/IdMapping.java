package dev.coldstart.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * A mapping of owners, as a user namespace has it, for mounts (mount_setattr(2), MOUNT_ATTR_IDMAP, Linux 5.12): what a
 * file system stores as owned by {@code container} is seen as owned by {@code host} through such a mount.
 *
 * @param uids for users; not empty
 * @param gids for groups; not empty
 */
public record IdMapping(List<Range> uids, List<Range> gids) {
    private static final int AT_FDCWD = -100;
    private static final int OPEN_TREE_CLONE = 1;
    private static final int O_CLOEXEC = 02000000;
    private static final int AT_EMPTY_PATH = 0x1000;
    private static final int MOVE_MOUNT_F_EMPTY_PATH = 4;
    private static final long MOUNT_ATTR_IDMAP = 0x0010_0000;
    /** struct mount_attr: u64 attr_set, attr_clr, propagation, userns_fd. */
    private static final int MOUNT_ATTR_BYTES = 32;

    // The same on all architectures since Linux 5.2.
    private static final long OPEN_TREE = 428;
    private static final long MOVE_MOUNT = 429;
    private static final long MOUNT_SETATTR = 442;

    private static final MethodHandle SYSCALL = Words.function("syscall");

    private static final Pattern RANGE = Pattern.compile("(\\d{1,10}):(\\d{1,10}):(\\d{1,10})");

    public IdMapping {
        if (uids.isEmpty() || gids.isEmpty()) {
            throw new IllegalArgumentException("a mapping of owners needs ranges for users and for groups");
        }
        uids = List.copyOf(uids);
        gids = List.copyOf(gids);
    }

    /**
     * Reads what containerd writes into labels and mount options (internal/userns/idmap.go): {@code
     * CONTAINER:HOST:SIZE[,…]}.
     *
     * @throws IllegalArgumentException with the text that is no such list
     */
    public static IdMapping parse(String uids, String gids) {
        return new IdMapping(ranges(uids), ranges(gids));
    }

    private static List<Range> ranges(String text) {
        List<Range> ranges = new ArrayList<>();
        for (String part : text.split(",", -1)) {
            Matcher matcher = RANGE.matcher(part);
            if (!matcher.matches()) {
                throw new IllegalArgumentException("\"" + text + "\" is no list of ranges CONTAINER:HOST:SIZE");
            }
            ranges.add(new Range(
                    Long.parseLong(matcher.group(1)),
                    Long.parseLong(matcher.group(2)),
                    Long.parseLong(matcher.group(3))));
        }
        return ranges;
    }

    /** The user that the container's root is on the host; empty if it is none. */
    public OptionalLong rootUser() {
        return host(uids);
    }

    /** The group of the container's root on the host; empty if it is none. */
    public OptionalLong rootGroup() {
        return host(gids);
    }

    private static OptionalLong host(List<Range> ranges) {
        return ranges.stream()
                .filter(range -> range.container() == 0)
                .mapToLong(Range::host)
                .findFirst();
    }

    /**
     * A range of ids.
     *
     * @param container first id as stored
     * @param host first id as seen
     * @param size number of ids
     */
    public record Range(long container, long host, long size) {
        public Range {
            long most = 1L << 32;
            if (container < 0 || host < 0 || size < 1 || container + size > most || host + size > most) {
                throw new IllegalArgumentException(
                        container + ":" + host + ":" + size + " is not CONTAINER:HOST:SIZE with ids of 32 bits");
            }
        }

        /** As in /proc/PID/uid_map. */
        private static String lines(List<Range> ranges) {
            return ranges.stream()
                    .map(range -> range.container + " " + range.host + " " + range.size + "\n")
                    .collect(Collectors.joining());
        }
    }

    /**
     * Mounts a directory, or what is mounted on it, a second time with its owners mapped.
     *
     * @throws LinuxException EINVAL if its file system cannot be mapped
     */
    public void mount(Path source, Path target) throws IOException {
        String attempted = "mount " + source + " on " + target + " with its owners mapped";
        // A namespace lives as long as a process is in it, or a descriptor shows it.
        Process inside = new ProcessBuilder("unshare", "--user", "--", "cat")
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        try (Descriptor namespace = namespace(inside, attempted);
                Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            long from = Words.string(arena, source.toString());
            long to = Words.string(arena, target.toString());
            long empty = Words.string(arena, "");
            long tree = call(capture, OPEN_TREE, AT_FDCWD, from, OPEN_TREE_CLONE | O_CLOEXEC, 0, 0);
            try (Descriptor clone = Descriptor.adopt(Words.check(tree, capture, attempted))) {
                MemorySegment attributes = arena.allocate(MOUNT_ATTR_BYTES, 8);
                attributes.set(ValueLayout.JAVA_LONG, 0, MOUNT_ATTR_IDMAP);
                attributes.set(ValueLayout.JAVA_LONG, 24, namespace.number());
                Words.check(
                        call(
                                capture,
                                MOUNT_SETATTR,
                                clone.number(),
                                empty,
                                AT_EMPTY_PATH,
                                attributes.address(),
                                MOUNT_ATTR_BYTES),
                        capture,
                        attempted);
                Words.check(
                        call(capture, MOVE_MOUNT, clone.number(), empty, AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH),
                        capture,
                        attempted);
            }
        } finally {
            inside.destroyForcibly();
        }
    }

    private static long call(MemorySegment capture, long number, long a, long b, long c, long d, long e) {
        return Words.call(SYSCALL, capture, number, a, b, c, d, e);
    }

    private Descriptor namespace(Process inside, String attempted) throws IOException {
        Path own = Path.of("/proc/self/ns/user");
        Path process = Path.of("/proc", Long.toString(inside.pid()));
        Path theirs = process.resolve("ns").resolve("user");
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(5);
        try {
            while (Files.readSymbolicLink(theirs).equals(Files.readSymbolicLink(own))) {
                if (System.nanoTime() > end || !inside.isAlive()) {
                    throw new IOException(attempted + ": 'unshare --user' makes no user namespace here");
                }
                TimeUnit.MILLISECONDS.sleep(1);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException(attempted + ": interrupted", e);
        }
        Files.writeString(process.resolve("uid_map"), Range.lines(uids));
        Files.writeString(process.resolve("gid_map"), Range.lines(gids));
        return Descriptor.open(theirs.toString(), Descriptor.O_RDONLY, 0);
    }
}
