package dev.coldstart.snapshotter.tree;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class TreeTest {
    private static final Attributes PLAIN = new Attributes(0644, 0, 0, 0, 0, List.of());
    private static final Content DIRECTORY = new Content.Directory();

    @TempDir
    Path directory;

    @Test
    void filesOfAnySizeKeepTheirSize() throws Exception {
        Map<String, Long> sizes = Map.of("a", 1L, "b", (1L << 20) + 1, "c", 5L << 30, "d", (1L << 44) + 5);
        Tree tree = new Tree();
        for (Map.Entry<String, Long> file : sizes.entrySet()) {
            tree.put(file.getKey(), PLAIN, new Content.Redirect(new byte[32], file.getValue()));
        }
        Path image = write(tree, "sizes");
        assumeTrue(
                Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid")),
                "mounting needs root; run the tests as root");
        Path mount = Files.createDirectory(directory.resolve("mount"));
        run("mount", "-t", "erofs", "-o", "ro", image.toString(), mount.toString());
        try {
            for (Map.Entry<String, Long> file : sizes.entrySet()) {
                assertThat(Files.size(mount.resolve(file.getKey()))).isEqualTo(file.getValue());
            }
        } finally {
            run("umount", mount.toString());
        }
    }

    @Test
    void equalTreesGiveEqualBytes() throws Exception {
        byte[][] images = new byte[2][];
        for (int i = 0; i < 2; i++) {
            Tree tree = new Tree();
            for (int n = 0; n < 500; n++) {
                int name = i == 0 ? n : 499 - n;
                tree.put("d" + name % 10 + "/f" + name, PLAIN, new Content.Symlink("x".repeat(1 + name)));
            }
            images[i] = Files.readAllBytes(write(tree, "image" + i));
        }
        assertThat(images[0]).isEqualTo(images[1]);
    }

    @Test
    void namesAreFoundInWhateverOrderTheyCame() throws Exception {
        Random random = new Random(1);
        Tree tree = new Tree();
        // Beginnings that some share, names that begin with others, and bytes above 127.
        Set<String> names = new TreeSet<>(List.of("-", "!", "..a", ".a", "~"));
        for (int i = 0; i < 5000; i++) {
            names.add("shared".substring(0, random.nextInt(7))
                    + "x".repeat(random.nextInt(5))
                    + (char) (1 + random.nextInt(46))
                    + (char) (128 + random.nextInt(128)));
        }
        List<String> shuffled = new ArrayList<>(names);
        Collections.shuffle(shuffled, random);
        for (String name : shuffled) {
            tree.put("d/" + name, PLAIN, new Content.Fifo());
        }
        assertThat(Listing.of(child(tree.root, "d"), tree.root).names())
                .containsExactlyElementsOf(Stream.concat(names.stream(), Stream.of(".", ".."))
                        .sorted()
                        .toList());
    }

    @Test
    void anEntryOfTheSameDirectoryAsTheOneBeforeGoesWhereThePathLeadsNow() throws Exception {
        Tree tree = new Tree();
        tree.put("a/one", PLAIN, new Content.Fifo());
        tree.put("b/one", PLAIN, new Content.Fifo());
        tree.put("b", PLAIN, new Content.Symlink("a"));
        tree.put("b/two", PLAIN, new Content.Fifo());
        tree.put("b/./three", PLAIN, new Content.Fifo());
        tree.put("b/three/", PLAIN, new Content.Fifo());
        Inode a = Objects.requireNonNull(
                Objects.requireNonNull(tree.root.children).get("a"));
        assertThat(a.children).containsOnlyKeys("one", "two", "three");
    }

    @Test
    void aLayerOfMoreFilesThanFitInMemoryIsRefused() throws Exception {
        Tree tree = new Tree(1 << 20);
        assertThatThrownBy(() -> {
                    for (int i = 0; i < 100_000; i++) {
                        tree.put("d/" + i, PLAIN, new Content.Fifo());
                    }
                })
                .isInstanceOf(TreeException.class)
                .hasMessageContaining("1 MiB of memory");
    }

    @Test
    void symbolicLinksOnTheWayAreFollowedWithinTheLayer() throws Exception {
        Tree tree = new Tree();
        tree.put("usr/lib", PLAIN, DIRECTORY);
        tree.put("lib", PLAIN, new Content.Symlink("usr/lib"));
        tree.put("up", PLAIN, new Content.Symlink("../../../usr"));
        tree.put("absolute", PLAIN, new Content.Symlink("/usr/../usr"));
        tree.put("lib/a", PLAIN, new Content.Fifo());
        tree.put("up/lib/b", PLAIN, new Content.Fifo());
        tree.put("absolute/lib/c", PLAIN, new Content.Fifo());
        tree.link("usr/lib/d", "lib/a", PLAIN);
        tree.link("usr/lib/e", "usr/lib/b", PLAIN);
        // root, usr, lib, three links, three pipes
        assertThat(tree.inodes()).isEqualTo(9);
    }

    @Test
    void pathsThatNoLayerMayHaveAreRefused() throws Exception {
        Tree tree = new Tree();
        tree.put("file", PLAIN, new Content.Fifo());
        tree.put("loop", PLAIN, new Content.Symlink("loop"));
        for (String path :
                List.of("..", "a/../b", "/../x", "file/x", "loop/x", "n".repeat(256), "a\0b", "a/".repeat(3000))) {
            assertThatThrownBy(() -> tree.put(path, PLAIN, DIRECTORY))
                    .as(Tree.printable(path))
                    .isInstanceOf(TreeException.class);
        }
        assertThatThrownBy(() -> tree.put("/", PLAIN, new Content.Fifo())).isInstanceOf(TreeException.class);
        assertThatThrownBy(() -> tree.link("x", "absent", PLAIN)).isInstanceOf(TreeException.class);
        assertThatThrownBy(() -> tree.link("x", "/", PLAIN)).isInstanceOf(TreeException.class);
        assertThatThrownBy(() -> tree.put("l", PLAIN, new Content.Symlink(""))).isInstanceOf(TreeException.class);
    }

    @Test
    void aFileMayHaveManyNamesAndLoseThem() throws Exception {
        Tree tree = new Tree();
        tree.put("a/one", PLAIN, new Content.Fifo());
        tree.link("two", "a/one", PLAIN);
        tree.link("two", "a/one", PLAIN);
        tree.link("three", "two", PLAIN);
        tree.put("a", PLAIN, new Content.Fifo());
        Path image = write(tree, "links");
        assumeTrue(
                Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid")),
                "mounting needs root; run the tests as root");
        Path mount = Files.createDirectory(directory.resolve("mount"));
        run("mount", "-t", "erofs", "-o", "ro", image.toString(), mount.toString());
        try {
            assertThat(Files.getAttribute(mount.resolve("two"), "unix:nlink", LinkOption.NOFOLLOW_LINKS))
                    .isEqualTo(2);
            assertThat(Files.isSameFile(mount.resolve("two"), mount.resolve("three")))
                    .isTrue();
        } finally {
            run("umount", mount.toString());
        }
    }

    @Test
    void attributesThatTheKernelWouldRefuseAreRefused() throws Exception {
        Tree tree = new Tree();
        Content.Bytes file = new Content.Bytes(0, 0);
        tree.put("file", PLAIN, file);
        byte[] acl = acl("01000600ffffffff 04000400ffffffff 20000400ffffffff");
        for (Xattr bad : List.of(
                new Xattr(Xattr.SECURITY, "capability", new byte[20]),
                new Xattr(Xattr.SECURITY, "capability", new byte[] {0, 0, 0, 2}),
                new Xattr(Xattr.POSIX_ACL_DEFAULT, "", acl),
                new Xattr(Xattr.POSIX_ACL_ACCESS, "", new byte[0]),
                new Xattr(Xattr.POSIX_ACL_ACCESS, "", Arrays.copyOf(acl, acl.length - 1)),
                new Xattr(Xattr.POSIX_ACL_ACCESS, "", Arrays.copyOf(acl, acl.length - 8)),
                new Xattr(Xattr.POSIX_ACL_ACCESS, "", Arrays.copyOf(acl, acl.length + 8)),
                new Xattr(
                        Xattr.POSIX_ACL_ACCESS,
                        "",
                        acl("01000600ffffffff 0200050001000000 04000400ffffffff 20000400ffffffff")),
                new Xattr(Xattr.POSIX_ACL_ACCESS, "", acl("04000400ffffffff 01000600ffffffff 20000400ffffffff")),
                new Xattr(Xattr.POSIX_ACL_ACCESS, "", acl("01000e00ffffffff 04000400ffffffff 20000400ffffffff")))) {
            Attributes attributes = new Attributes(0644, 0, 0, 0, 0, List.of(bad));
            String value = HexFormat.of().formatHex(bad.value());
            assertThatThrownBy(() -> tree.put("bad", attributes, file))
                    .as(value)
                    .isInstanceOf(TreeException.class)
                    .hasMessageStartingWith("bad has a");
            assertThatThrownBy(() -> tree.link("bad", "file", attributes))
                    .as(value)
                    .isInstanceOf(TreeException.class);
        }
        Xattr sound = new Xattr(Xattr.POSIX_ACL_ACCESS, "", acl);
        tree.put("file", new Attributes(0644, 0, 0, 0, 0, List.of(sound)), file);
        // It says what the permissions say.
        assertThat(child(tree.root, "file").attributes.xattrs()).isEmpty();
    }

    private static byte[] acl(String entries) {
        return HexFormat.of().parseHex("02000000" + entries.replace(" ", ""));
    }

    private static Inode child(Inode directory, String name) {
        return Objects.requireNonNull(Objects.requireNonNull(directory.children).get(name));
    }

    private Path write(Tree tree, String name) throws Exception {
        Path image = directory.resolve(name);
        try (TreeSpool spool = new TreeSpool(directory);
                FileChannel file = FileChannel.open(
                        image, StandardOpenOption.CREATE_NEW, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            TreeWriter.write(tree, spool, new byte[16], file);
        }
        return image;
    }

    private static void run(String... command) throws Exception {
        Process process = new ProcessBuilder(command).inheritIO().start();
        assertThat(process.waitFor()).isZero();
    }
}
