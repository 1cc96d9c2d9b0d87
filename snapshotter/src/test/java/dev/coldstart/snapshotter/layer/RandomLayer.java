package dev.coldstart.snapshotter.layer;

import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;

/** A layer with something of all that a tar can say, in few names, so that entries meet those of other layers. */
final class RandomLayer {
    private static final List<String> NAMES = List.of(
            "a",
            "b",
            "c",
            "dir",
            "UPPER",
            ".hidden",
            "-",
            "sp ace",
            "new\nline",
            "é",
            "日本",
            "x".repeat(255),
            "l".repeat(120),
            ".wh",
            "~",
            "'quote\"");
    private static final List<String> ENTRIES =
            List.of("0", "0", "0", "0", "5", "5", "5", "1", "2", "3", "4", "6", "S", "w", "w", "o");
    private static final List<String> TARGETS =
            List.of("a", "dir", "../b", "/c", "/dir/../a", "./.", "no/where", "/", "t".repeat(300), "日本");
    private static final List<Instant> TIMES = List.of(
            Instant.EPOCH,
            Instant.ofEpochSecond(1_234_567_890, 123_456_789),
            Instant.ofEpochSecond(-2, 750_000_000),
            Instant.ofEpochSecond(-5_000_000_000L, 1),
            Instant.ofEpochSecond(20_000_000_000L, 999_999_999));
    private static final byte[] ACL = HexFormat.of()
            .parseHex("0200000001000600ffffffff02000500e803000004000400ffffffff10000400ffffffff20000400ffffffff");
    private static final byte[] SMALL_ACL =
            HexFormat.of().parseHex("0200000001000600ffffffff04000400ffffffff20000400ffffffff");
    private static final byte[] CAPABILITY = HexFormat.of().parseHex("0100000280340000000000000000000000000000");

    private final Random random;
    private final Unpacked oracle;
    private final Tar tar = new Tar();

    RandomLayer(Random random, Unpacked oracle) {
        this.random = random;
        this.oracle = oracle;
    }

    /** The layer, which the oracle has unpacked then, but for {@link Unpacked#finish}. */
    Tar tar() throws IOException {
        for (int i = 20 + random.nextInt(60); i > 0; i--) {
            String type = pick(ENTRIES);
            String path = path();
            switch (type) {
                case "w" -> {
                    if (oracle.isFree(path)) {
                        oracle.whiteout(path);
                        int name = path.lastIndexOf('/') + 1;
                        tar.add(Tar.file("x", new byte[0])
                                .pax("path", path.substring(0, name) + ".wh." + path.substring(name)));
                    }
                }
                case "o" -> {
                    String parent = path.substring(0, Math.max(path.lastIndexOf('/'), 0));
                    if (!parent.isEmpty()) {
                        oracle.opaque(parent);
                        tar.add(Tar.file("x", new byte[0]).pax("path", parent + "/.wh..wh..opq"));
                    }
                }
                default -> put(type.charAt(0), path);
            }
        }
        defaults();
        return tar;
    }

    /** A path to a place in a directory that the layer has by then. */
    private String path() throws IOException {
        StringBuilder path = new StringBuilder();
        for (int depth = random.nextInt(4); depth > 0; depth--) {
            String directory = path + pick(NAMES.subList(0, 8));
            if (oracle.isFree(directory)) {
                put('5', directory);
            }
            if (oracle.isDirectory(directory)) {
                path.append(directory, path.length(), directory.length()).append('/');
            }
        }
        return path + pick(NAMES);
    }

    private void put(char kind, String path) throws IOException {
        byte[] body = new byte[0];
        long size = -1;
        String link = "";
        switch (kind) {
            case '0' -> body = bytes(pick(List.of(0, 1, 200, 4000, 4096, 4097, 9000, 60_000)));
            case 'S' -> {
                body = bytes(1 + random.nextInt(9000));
                size = body.length + 1L + random.nextInt(200_000);
            }
            case '1' -> {
                link = linkable(path);
                if (link.isEmpty()) {
                    return;
                }
            }
            case '2' -> link = pick(TARGETS);
            default -> {}
        }
        put(new Unpacked.Entry(
                kind == 'S' ? '0' : kind,
                path,
                link,
                body,
                size,
                kind == '2' ? 0777 : pick(List.of(0644, 0755, 0600, 04755, 02711, 01777, 0)),
                pick(List.of(0, 1000, 65534, 70_000, (int) 3_000_000_000L)),
                pick(List.of(0, 5, 100_000, (int) 4_294_967_294L)),
                pick(TIMES),
                kind == '3' ? 1 : 259,
                kind == '3' ? 3 : random.nextInt(1 << 20),
                xattrs(kind)));
    }

    /** Default access control lists come last: unpacking would give them to what it makes in the directory. */
    private void defaults() throws IOException {
        List<String> paths = new ArrayList<>();
        for (int i = random.nextInt(3); i > 0; i--) {
            paths.add(path());
            put('5', paths.getLast());
        }
        for (String path : paths) {
            if (!oracle.isDirectory(path)) {
                continue;
            }
            put(new Unpacked.Entry(
                    '5',
                    path,
                    "",
                    new byte[0],
                    -1,
                    0755,
                    0,
                    0,
                    Instant.EPOCH,
                    0,
                    0,
                    Map.of("system.posix_acl_default", ACL)));
        }
    }

    private void put(Unpacked.Entry entry) throws IOException {
        oracle.put(entry);
        Instant time = entry.time();
        Tar.Entry header = Tar.of("x", entry.type())
                .pax("path", entry.path() + (entry.type() == '5' && random.nextBoolean() ? "/" : ""))
                .body(entry.body())
                .mode(entry.mode())
                .pax("uid", Integer.toUnsignedString(entry.uid()))
                .pax("gid", Integer.toUnsignedString(entry.gid()))
                .pax(
                        "mtime",
                        BigDecimal.valueOf(time.getEpochSecond())
                                .add(BigDecimal.valueOf(time.getNano(), 9))
                                .toPlainString())
                .device(0, 0);
        if (entry.type() == '3' || entry.type() == '4') {
            header.device(entry.major(), entry.minor());
        }
        if (!entry.link().isEmpty()) {
            header.pax("linkpath", entry.link());
        }
        entry.xattrs().forEach(header::xattr);
        if (entry.size() >= 0) {
            int tail = entry.body().length - entry.head();
            header.pax("GNU.sparse.size", Long.toString(entry.size()))
                    .pax("GNU.sparse.numblocks", "2")
                    .pax("GNU.sparse.map", "0," + entry.head() + "," + (entry.size() - tail) + "," + tail);
        }
        tar.add(header);
    }

    private Map<String, byte[]> xattrs(char kind) {
        Map<String, byte[]> xattrs = new TreeMap<>();
        if (random.nextInt(3) == 0) {
            xattrs.put("user.one", bytes(random.nextInt(40)));
        }
        if (random.nextInt(6) == 0) {
            xattrs.put("user.two", new byte[0]);
            xattrs.put("trusted.three", bytes(random.nextInt(2000)));
        }
        if (kind == '0' && random.nextInt(4) == 0) {
            xattrs.put("security.capability", CAPABILITY);
        }
        if (random.nextInt(4) == 0) {
            xattrs.put("system.posix_acl_access", random.nextBoolean() ? ACL : SMALL_ACL);
        }
        return xattrs;
    }

    /** A file that can get one more name; empty if there is none. */
    private String linkable(String path) throws IOException {
        Path replaced = oracle.resolve(path);
        try (Stream<Path> all = Files.walk(oracle.root())) {
            List<Path> files = new ArrayList<>();
            for (Path file : (Iterable<Path>) all.sorted()::iterator) {
                int mode = (int) Files.getAttribute(file, "unix:mode", LinkOption.NOFOLLOW_LINKS);
                long device = (long) Files.getAttribute(file, "unix:rdev", LinkOption.NOFOLLOW_LINKS);
                boolean whiteout = (mode & 0170000) == 0020000 && device == 0;
                if (!Files.isDirectory(file, LinkOption.NOFOLLOW_LINKS) && !whiteout && !file.startsWith(replaced)) {
                    files.add(file);
                }
            }
            return files.isEmpty() ? "" : oracle.root().relativize(pick(files)).toString();
        }
    }

    private byte[] bytes(int length) {
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        return bytes;
    }

    private <T> T pick(List<T> of) {
        return of.get(random.nextInt(of.size()));
    }
}
