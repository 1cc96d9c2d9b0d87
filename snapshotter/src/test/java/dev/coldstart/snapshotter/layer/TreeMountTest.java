package dev.coldstart.snapshotter.layer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.abort;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.snapshotter.fetch.BlobSource;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.LayerOrdinals;
import dev.coldstart.snapshotter.fetch.SpanFetcher;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.rootfs.LayerMounts;
import dev.coldstart.snapshotter.wholetree.Libfuse;
import dev.coldstart.snapshotter.wholetree.WholeTreeMounts;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Layers as the kernel sees them, mounted either way, and compared with what GNU tar makes of the same layer. */
@ParameterizedClass
@EnumSource
final class TreeMountTest {
    enum Way {
        TREES,
        WHOLE
    }

    @Parameter
    Way way = Way.TREES;

    @TempDir
    Path directory;

    private @Nullable ObjectStore store;
    private @Nullable SpanFetcher fetcher;
    private @Nullable LayerMounts whole;
    private LayerOrdinals ordinals;
    private KnownLayers known;

    private static final List<String> IMPLIED = List.of("", "dev", "names");

    private final List<Path> mounts = new ArrayList<>();

    @BeforeEach
    void open() throws Exception {
        ObjectStore objects = ObjectStore.open(directory.resolve("store"), StoreSettings.DEFAULTS);
        store = objects;
        ordinals = LayerOrdinals.open(directory.resolve("layers"));
        known = new KnownLayers(ordinals);
        if (way == Way.WHOLE) {
            requireRoot();
            assumeTrue(Libfuse.isInstalled(), Libfuse.NEEDED);
            BlobSource none = (layer, from, to) -> {
                throw new IOException("all objects are here");
            };
            fetcher = new SpanFetcher(none, objects, Duration.ofSeconds(1));
            whole = new WholeTreeMounts(
                    directory.resolve("t"), Files.createDirectory(directory.resolve("trees")), known, objects, fetcher);
        }
    }

    @AfterEach
    void close() throws Exception {
        unmount();
        if (fetcher != null) {
            fetcher.close();
        }
        Objects.requireNonNull(store).close();
        ordinals.close();
    }

    private void unmount() throws Exception {
        for (Path mount : mounts.reversed()) {
            run("umount", mount.toString());
        }
        mounts.clear();
        if (whole != null) {
            whole.retain(Set.of());
        }
    }

    @Test
    void everyKindOfFileIsAsTarUnpacksIt() throws Exception {
        byte[] acl = HexFormat.of()
                .parseHex("0200000001000600ffffffff02000500e803000004000400ffffffff10000400ffffffff20000400ffffffff");
        byte[] capability = HexFormat.of().parseHex("0100000280340000000000000000000000000000");
        Random random = new Random(1);
        Tar tar = new Tar()
                .add(Tar.directory("usr/").mode(01777).owner(3, 4))
                .add(Tar.file("usr/empty", new byte[0]).mode(0600))
                .add(Tar.file("usr/small", bytes(random, 100)).pax("mtime", "1234567890.123456789"))
                .add(Tar.file("usr/old", bytes(random, 5000)).pax("mtime", "-1.25"))
                .add(Tar.file("usr/setuid", bytes(random, 2048)).mode(06755).owner(1000, 65534))
                .add(Tar.file("usr/huge-ids", bytes(random, 2049))
                        .pax("uid", "3000000000")
                        .pax("gid", "2999999999"))
                .add(Tar.file("usr/tail", bytes(random, 4032)))
                .add(Tar.file("usr/no-tail", bytes(random, 4033)))
                .add(Tar.file("usr/block", bytes(random, 4096)))
                .add(Tar.file("usr/least-object", bytes(random, 4097)))
                .add(Tar.file("usr/large", bytes(random, 3_000_000)))
                .add(Tar.file("usr/xattrs", bytes(random, 300))
                        .xattr("user.one", bytes(random, 3))
                        .xattr("user.empty", new byte[0])
                        .xattr("user.kilobytes", bytes(random, 3000))
                        .xattr("trusted.mine", bytes(random, 20))
                        .xattr("security.capability", capability)
                        .xattr("system.posix_acl_access", acl))
                .add(Tar.file("usr/xattrs-and-object", bytes(random, 70_000)).xattr("user.two", bytes(random, 50)))
                .add(Tar.directory("usr/acl/").xattr("system.posix_acl_default", acl))
                .add(Tar.of("usr/link", '2').link("../etc/passwd").mode(0777))
                .add(Tar.of("usr/long-link", '2')
                        .pax("linkpath", "x/".repeat(1900))
                        .mode(0777))
                .add(Tar.of("usr/hard", '1').link("./usr/large"))
                .add(Tar.of("harder", '1').link("usr/hard"))
                .add(Tar.of("usr/hard-symlink", '1').link("usr/link"))
                .add(Tar.of("dev/null", '3').device(1, 3).mode(0666))
                .add(Tar.of("dev/disk", '4').device(259, 300_000).mode(0660).owner(0, 6))
                .add(Tar.of("dev/fifo", '6').mode(0622))
                .add(Tar.file("replaced", bytes(random, 10_000)))
                .add(Tar.directory("replaced/"))
                .add(Tar.file("replaced/inner", bytes(random, 10)))
                .add(Tar.directory("gone/"))
                .add(Tar.file("gone/inner", bytes(random, 10)))
                .add(Tar.file("names/" + "n".repeat(90) + "é\u0001", bytes(random, 10)))
                .add(Tar.file("x", bytes(random, 10)).pax("path", "names/" + "ü".repeat(127)))
                .add(Tar.file("!before-dot", bytes(random, 10)))
                .add(Tar.file("-.after-dot", bytes(random, 10)));
        StringBuilder deep = new StringBuilder("deep");
        for (int i = 0; i < 128; i++) {
            deep.append("/d").append(i);
        }
        tar.add(Tar.file("y", bytes(random, 5000)).pax("path", deep + "/file"));
        tar.add(Tar.file("names/" + "twice", bytes(random, 9000)));
        tar.add(Tar.file("names/" + "twice", bytes(random, 8000)).mode(0400));
        compareWithTar(tar.bytes());
    }

    @Test
    void sparseFilesLongNamesAndLargeIdsOfAllFormatsAreAsTarUnpacksThem() throws Exception {
        requireRoot();
        Path source = Files.createDirectory(directory.resolve("source"));
        Random random = new Random(2);
        long[][] extents = {{0, 10}, {100_000, 5000}, {1 << 20, 1}, {30_000_000L, 70_000}};
        try (var file = new java.io.RandomAccessFile(source.resolve("scattered").toFile(), "rw")) {
            for (long[] extent : extents) {
                file.seek(extent[0]);
                file.write(bytes(random, (int) extent[1]));
            }
            file.setLength(40_000_123L);
        }
        try (var file = new java.io.RandomAccessFile(source.resolve("one-hole").toFile(), "rw")) {
            file.setLength(12345);
        }
        Path named = Files.write(source.resolve("n".repeat(180)), bytes(random, 10_000));
        Files.setAttribute(named, "unix:uid", 2_100_000_000);
        Files.createSymbolicLink(source.resolve("l".repeat(150)), Path.of("t".repeat(200)));
        Files.createLink(source.resolve("z".repeat(170)), named);
        for (List<String> format : List.of(
                List.of("--format=gnu"),
                List.of("--format=pax", "--sparse-version=0.0"),
                List.of("--format=pax", "--sparse-version=0.1"),
                List.of("--format=pax", "--sparse-version=1.0"))) {
            Path tar = directory.resolve("sparse.tar");
            List<String> command = new ArrayList<>(List.of("tar", "--sparse", "-C", source.toString()));
            command.addAll(format);
            command.addAll(List.of("-cf", tar.toString(), "."));
            run(command.toArray(String[]::new));
            assertThat(Files.size(tar)).isLessThan(1 << 20);
            compareWithTar(Files.readAllBytes(tar));
            unmount();
        }
    }

    @Test
    void aDirectoryOfAHundredThousandNamesIsWhole() throws Exception {
        requireRoot();
        Random random = new Random(3);
        Tar tar = new Tar();
        TreeSet<String> names = new TreeSet<>();
        while (names.size() < 100_000) {
            names.add(
                    "n" + Long.toString(random.nextLong() >>> random.nextInt(60), 36) + "x".repeat(random.nextInt(30)));
        }
        for (String name : names) {
            tar.add(Tar.file("d/" + name, new byte[random.nextInt(4)]));
        }
        Path mount = mountTree(index(Tar.gzip(tar.bytes()), null));
        try (Stream<Path> files = Files.list(mount.resolve("d"))) {
            assertThat(files.map(file -> file.getFileName().toString()).sorted())
                    .containsExactlyElementsOf(names);
        }
        for (String name : names) {
            assertThat(Files.exists(mount.resolve("d").resolve(name))).isTrue();
        }
        assertThat(Files.exists(mount.resolve("d/absent"))).isFalse();
    }

    @Test
    void whiteoutsHideWhatLowerLayersHave() throws Exception {
        requireRoot();
        Tar lower = new Tar();
        for (String name : List.of("kept", "hidden", "opaque/a", "opaque/b", "swapped/a", "file", "whole/a")) {
            lower.add(Tar.file(name, bytes(new Random(4), 5000)));
        }
        Tar upper = new Tar()
                .add(Tar.file(".wh.hidden", new byte[0]))
                .add(Tar.directory("opaque"))
                .add(Tar.file("opaque/c", new byte[10]))
                .add(Tar.file("opaque/.wh..wh..opq", new byte[0]))
                .add(Tar.file(".wh.swapped", new byte[0]))
                .add(Tar.file("swapped/b", new byte[10]))
                .add(Tar.file(".wh.whole", new byte[0]))
                .add(Tar.file(".wh..wh.plnk", new byte[0]))
                .add(Tar.file(".wh.file", new byte[0]))
                .add(Tar.file("file", new byte[7]))
                .add(Tar.file("forged", new byte[10])
                        .xattr("trusted.overlay.redirect", "/kept".getBytes(StandardCharsets.UTF_8))
                        .xattr("trusted.overlay.metacopy", new byte[0]));
        Path low = mountTree(index(lower.bytes(), sink()));
        Path high = mountTree(index(upper.bytes(), sink()));
        Path merged = overlay(high + ":" + low);
        try (Stream<Path> files = Files.walk(merged)) {
            assertThat(files.map(file -> merged.relativize(file).toString()).sorted())
                    .containsExactly("", "file", "forged", "kept", "opaque", "opaque/c", "swapped", "swapped/b");
        }
        assertThat(merged.resolve("file")).hasSize(7);
        assertThat(merged.resolve("forged")).hasBinaryContent(new byte[10]);
        assertThat(merged.resolve("kept")).hasBinaryContent(bytes(new Random(4), 5000));
    }

    @Test
    void containersWriteOnTopAsOnAnyFileSystem() throws Exception {
        requireRoot();
        Random random = new Random(5);
        byte[] large = bytes(random, 300_000);
        byte[] small = bytes(random, 3000);
        Tar tar = new Tar()
                .add(Tar.directory("d/").owner(7, 8))
                .add(Tar.file("d/large", large).mode(0640).owner(1000, 1001).xattr("user.one", new byte[] {1}))
                .add(Tar.file("d/small", small))
                .add(Tar.of("d/twin", '1')
                        .link("d/large")
                        .mode(0640)
                        .owner(1000, 1001)
                        .xattr("user.one", new byte[] {1}))
                .add(Tar.file("d/gone", large))
                .add(Tar.file("d/moved", bytes(random, 9000)))
                .add(Tar.directory("e/"))
                .add(Tar.file("e/in", small))
                .add(Tar.of("link", '2').link("d/large"));
        Path lower = mountTree(index(tar.bytes(), sink()));
        Path merged = overlay(lower.toString());
        Path d = merged.resolve("d");

        Files.write(d.resolve("large"), new byte[] {42}, StandardOpenOption.APPEND);
        assertThat(Files.readAllBytes(d.resolve("large")))
                .hasSize(large.length + 1)
                .startsWith(large)
                .endsWith(42);
        assertThat(Files.readAttributes(d.resolve("large"), "unix:mode,uid,gid"))
                .containsEntry("uid", 1000)
                .containsEntry("gid", 1001)
                .containsEntry("mode", 0100640);
        assertThat((byte[]) Files.getAttribute(d.resolve("large"), "user:one")).containsExactly(1);
        assertThat(merged.resolve("link")).hasSize(large.length + 1);
        assertThat(d.resolve("twin")).hasBinaryContent(large);

        Files.setPosixFilePermissions(d.resolve("small"), PosixFilePermissions.fromString("rwx------"));
        assertThat(d.resolve("small")).hasBinaryContent(small);
        Files.delete(d.resolve("gone"));
        assertThat(d.resolve("gone")).doesNotExist();
        run("mv", d.resolve("moved").toString(), merged.resolve("e/moved").toString());
        run("mv", merged.resolve("e").toString(), merged.resolve("f").toString());
        Files.createDirectory(merged.resolve("e"));
        try (Stream<Path> files = Files.walk(merged)) {
            assertThat(files.map(file -> merged.relativize(file).toString()).sorted())
                    .containsExactly("", "d", "d/large", "d/small", "d/twin", "e", "f", "f/in", "f/moved", "link");
        }
        assertThat(merged.resolve("f/moved")).hasSize(9000);
        assertThat(merged.resolve("f/in")).hasBinaryContent(small);
        run("rm", "-r", d.toString());
        assertThat(d).doesNotExist();

        assertThat(lower.resolve("d").toFile().list())
                .containsExactlyInAnyOrder("large", "small", "twin", "gone", "moved");
        assertThat(Files.getAttribute(lower.resolve("d/twin"), "unix:nlink")).isEqualTo(2);
        assertThat(Files.getAttribute(lower.resolve("d/twin"), "unix:ino"))
                .isEqualTo(Files.getAttribute(lower.resolve("d/large"), "unix:ino"));
    }

    @Test
    void aLayerOfARealImageIsAsTarUnpacksIt() throws Exception {
        Path images = Path.of(System.getenv().getOrDefault("COLDSTART_CACHE", "/var/cache/coldstart"), "images");
        assumeTrue(Files.isDirectory(images), "no image has been made here; integration/test makes one");
        List<Path> layers;
        try (Stream<Path> files = Files.walk(images)) {
            layers = files.filter(file -> file.toString().contains("/blobs/sha256/"))
                    .filter(file -> file.toFile().length() > 1 << 20)
                    .sorted(Comparator.comparingLong(file -> file.toFile().length()))
                    .toList();
        }
        for (Path layer : layers) {
            // Whiteouts, tar unpacks as files.
            if (!run("tar", "-tzf", layer.toString()).contains("/.wh.")) {
                compareWithTar(Files.readAllBytes(layer), layer);
                return;
            }
        }
        abort("no layer without whiteouts is here");
    }

    /** Compares attributes in the tree, and all that a tar can tell in an overlay of the tree and its objects. */
    private void compareWithTar(byte[] tar) throws Exception {
        compareWithTar(Tar.gzip(tar), Files.write(directory.resolve("layer.tar"), tar));
    }

    /** Compares attributes in the tree, and all that a tar can tell in an overlay of the tree and its objects. */
    private void compareWithTar(byte[] blob, Path archive) throws Exception {
        requireRoot();
        Path unpacked = Files.createTempDirectory(directory, "unpacked");
        Files.setPosixFilePermissions(unpacked, PosixFilePermissions.fromString("rwxr-xr-x"));
        run(
                "tar",
                "-C",
                unpacked.toString(),
                "--xattrs",
                "--xattrs-include=*",
                "--numeric-owner",
                "--same-owner",
                "-xpf",
                archive.toString());
        Path tree = mountTree(index(blob, sink()));
        assertThat(attributes(tree)).isEqualTo(attributes(unpacked));
        Path merged = overlay(tree.toString());
        assertThat(entries(merged)).isEqualTo(entries(unpacked));
    }

    private static Map<String, String> attributes(Path root) throws IOException {
        Map<String, String> all = new TreeMap<>();
        try (Stream<Path> files = Files.walk(root)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                Map<String, Object> of = Files.readAttributes(
                        file, "unix:mode,uid,gid,rdev,nlink,size,lastModifiedTime", LinkOption.NOFOLLOW_LINKS);
                Map<String, Object> attributes = new TreeMap<>(of);
                if (Files.isDirectory(file, LinkOption.NOFOLLOW_LINKS)) {
                    // Every file system has its own idea of a directory's size.
                    attributes.remove("size");
                }
                String name = root.relativize(file).toString();
                // What a layer has no entry for gets the moment of unpacking, and in a tree 1970.
                if (IMPLIED.contains(name) || name.endsWith("deep") || name.matches("deep/.*d\\d+")) {
                    attributes.remove("lastModifiedTime");
                }
                all.put(name, attributes.toString());
            }
        }
        return all;
    }

    /** What GNU tar reads from a directory, by name. */
    private Map<String, String> entries(Path root) throws Exception {
        Path archive = Files.createTempFile(directory, "read", ".tar");
        run(
                "tar",
                "-C",
                root.toString(),
                "--format=pax",
                "--pax-option=delete=atime,delete=ctime",
                "--xattrs",
                "--xattrs-include=*",
                "--numeric-owner",
                "--sort=name",
                "-cf",
                archive.toString(),
                ".");
        Map<String, String> entries = new TreeMap<>();
        Path idx = directory.resolve("none.idx");
        Pipe pipe = new Pipe();
        byte[] bytes = Files.readAllBytes(archive);
        try (NewFile file = new NewFile(idx);
                IndexFile index = new IndexFile(file.channel());
                InputStream in = new ByteArrayInputStream(bytes);
                BlobReader blob = new BlobReader(in, pipe, ProgressListener.NONE, LayerIndexer.SPAN)) {
            Thread reader = Thread.ofVirtual().start(() -> {
                try {
                    blob.run();
                } catch (IOException e) {
                    pipe.breakOff();
                }
            });
            TarReader tar = new TarReader(new TarStream(pipe, index));
            for (TarEntry entry = tar.next(); entry != null; entry = tar.next()) {
                var sha256 = Sha256.digest();
                tar.body(entry, sha256::update);
                Map<String, String> xattrs = new TreeMap<>();
                entry.xattrs()
                        .forEach(
                                (name, value) -> xattrs.put(name, HexFormat.of().formatHex(value)));
                entries.put(
                        entry.path(),
                        String.join(
                                " ",
                                String.valueOf(entry.type()),
                                entry.link(),
                                Long.toString(entry.size()),
                                Integer.toOctalString(entry.mode()),
                                Integer.toUnsignedString(entry.uid()),
                                Integer.toUnsignedString(entry.gid()),
                                Integer.toString(entry.major()),
                                Integer.toString(entry.minor()),
                                xattrs.toString(),
                                HexFormat.of().formatHex(sha256.digest())));
            }
            reader.join();
        }
        Files.delete(archive);
        return entries;
    }

    private IndexedLayer index(byte[] blob, @Nullable ObjectSink sink) throws Exception {
        Path own = Files.createTempDirectory(directory, "layer");
        IndexedLayer layer = LayerIndexer.index(
                new ByteArrayInputStream(blob),
                Tar.digest(blob),
                null,
                own.resolve("idx"),
                own.resolve("erofs"),
                sink,
                ProgressListener.NONE);
        Fsck.check(layer.tree());
        return layer;
    }

    private ObjectSink sink() {
        return Objects.requireNonNull(store).sink();
    }

    private Path mountTree(IndexedLayer layer) throws Exception {
        if (whole != null) {
            known.add(layer.layer(), layer.index());
            Files.createLink(whole.file(layer.layer()), layer.tree());
            return whole.mount(layer.layer());
        }
        Path mount = Files.createTempDirectory(directory, "tree");
        run("mount", "-t", "erofs", "-o", "ro", layer.tree().toString(), mount.toString());
        mounts.add(mount);
        return mount;
    }

    private Path overlay(String trees) throws Exception {
        Path base = Files.createTempDirectory(directory, "overlay");
        // The upper layer has to be on a file system that can hold trusted xattrs.
        run("mount", "-t", "tmpfs", "none", base.toString());
        mounts.add(base);
        Path upper = Files.createDirectory(base.resolve("upper"));
        // Of the root itself overlayfs shows what the upper layer has.
        Path top = Path.of(trees.split(":", 2)[0]);
        Files.setPosixFilePermissions(upper, Files.getPosixFilePermissions(top));
        Path work = Files.createDirectory(base.resolve("work"));
        Path merged = Files.createDirectory(base.resolve("merged"));
        run(
                "mount",
                "-t",
                "overlay",
                "overlay",
                "-o",
                "upperdir=" + upper + ",workdir=" + work + ",lowerdir=" + trees
                        + (way == Way.WHOLE
                                ? ""
                                : "::" + Objects.requireNonNull(store).directory() + ",metacopy=on,redirect_dir=on"),
                merged.toString());
        mounts.add(merged);
        return merged;
    }

    private static void requireRoot() {
        assumeTrue(Integer.valueOf(0).equals(uid()), "mounting needs root; run the tests as root to compare with tar");
    }

    private static @Nullable Object uid() {
        try {
            return Files.getAttribute(Path.of("/proc/self"), "unix:uid");
        } catch (IOException e) {
            return null;
        }
    }

    private static String run(String... command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor())
                .as(Arrays.toString(command) + ": " + output)
                .isZero();
        return output;
    }

    private static byte[] bytes(Random random, int length) {
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        return bytes;
    }
}
