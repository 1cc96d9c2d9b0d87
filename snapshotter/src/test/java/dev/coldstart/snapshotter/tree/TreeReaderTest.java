package dev.coldstart.snapshotter.tree;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class TreeReaderTest {
    private static final List<String> PATHS =
            List.of("a", "b", "c", "d/a", "d/b", "d/e/a", "d/e/b", "\u00ff\u0080", "!");
    private static final int MUTANTS = 3000;
    private static final byte[] SOUND = small();

    @TempDir
    Path directory;

    /** What a regular file consists of; null for any other. */
    private final Map<Content, byte[]> contents = new HashMap<>();

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
    void aTreeReadsBackAsItWasWritten(long seed) throws Exception {
        Random random = new Random(seed);
        Tree tree = new Tree();
        byte[] image;
        try (TreeSpool spool = new TreeSpool(directory)) {
            for (int i = 0; i < 400; i++) {
                put(random, tree, spool);
            }
            image = write(tree, spool);
        }
        try (TreeReader reader = TreeReader.of(image)) {
            compare(reader, reader.root(), tree.root, new HashMap<>());
        }
    }

    @Test
    void namesOfADirectoryOfManyBlocksAreFoundAndOthersAreNot() throws Exception {
        Random random = new Random(11);
        Tree tree = new Tree();
        Set<String> names = new HashSet<>();
        while (names.size() < 20_000) {
            names.add(name(random, 1 + random.nextInt(random.nextInt(20) == 0 ? 255 : 12)));
        }
        for (String name : names) {
            tree.put(name, attributes(random), new Content.Fifo());
        }
        try (TreeSpool spool = new TreeSpool(directory);
                TreeReader reader = TreeReader.of(write(tree, spool))) {
            assertThat(reader.list(reader.root()).stream().map(TreeReader.Name::name))
                    .isSorted()
                    .hasSize(names.size() + 2)
                    .containsAll(names);
            for (String name : names) {
                assertThat(reader.find(reader.root(), name))
                        .as(Tree.printable(name))
                        .isNotNull();
                if (!names.contains(name + "\u0001")) {
                    assertThat(reader.find(reader.root(), name + "\u0001")).isNull();
                }
            }
        }
    }

    @Test
    void whatIsNoTreeOfOursIsRefused() throws Exception {
        Path file = Files.write(directory.resolve("short"), new byte[100]);
        assertThatThrownBy(() -> TreeReader.open(file))
                .isInstanceOf(TreeException.class)
                .hasMessageContaining(file.toString());
        byte[] image = SOUND.clone();
        image[TreeWriter.SUPER_OFFSET + 48] ^= 1;
        assertThatThrownBy(() -> TreeReader.of(image))
                .isInstanceOf(TreeException.class)
                .hasMessageContaining("checksum");
    }

    @Test
    void mutatedTreesAreRefusedOrRead() {
        int refused = 0;
        for (int seed = 0; seed < MUTANTS; seed++) {
            Random random = new Random(seed);
            byte[] mutant = SOUND.clone();
            for (int i = random.nextInt(4); i >= 0; i--) {
                byte[] bytes = new byte[1 + random.nextInt(8)];
                random.nextBytes(bytes);
                int at = TreeWriter.SUPER_OFFSET + random.nextInt(mutant.length - TreeWriter.SUPER_OFFSET - 8);
                System.arraycopy(bytes, 0, mutant, at, bytes.length);
            }
            refused +=
                    readsWhole(random.nextInt(8) == 0 ? Arrays.copyOf(mutant, random.nextInt(mutant.length)) : mutant)
                            ? 0
                            : 1;
        }
        assertThat(refused).isBetween(MUTANTS / 20, MUTANTS - MUTANTS / 20);
    }

    /** Each five bytes are a place in a sound tree, and what is put there. */
    @FuzzTest(maxDuration = "2m")
    void aDamagedTreeIsRefusedOrRead(byte[] damage) {
        byte[] image = SOUND.clone();
        ByteBuffer edits = ByteBuffer.wrap(damage);
        while (edits.remaining() >= 5) {
            image[Integer.remainderUnsigned(edits.getInt(), image.length)] = edits.get();
        }
        readsWhole(image);
    }

    /** A sound tree of some sixty files. */
    private static byte[] small() {
        TreeReaderTest test = new TreeReaderTest();
        try {
            test.directory = Files.createTempDirectory("tree");
            Tree tree = new Tree();
            Random random = new Random(12);
            try (TreeSpool spool = new TreeSpool(test.directory)) {
                for (int i = 0; i < 60; i++) {
                    test.put(random, tree, spool);
                }
                return test.write(tree, spool);
            } finally {
                Files.delete(test.directory);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Reads all that can be reached. Returns whether nothing was refused; fails on anything but a {@link TreeException}. */
    private static boolean readsWhole(byte[] image) {
        if (image.length >= TreeWriter.BLOCK) {
            ByteBuffer bytes = ByteBuffer.wrap(image).order(ByteOrder.LITTLE_ENDIAN);
            bytes.putInt(TreeWriter.SUPER_OFFSET + 4, TreeReader.checksum(bytes));
        }
        try (TreeReader reader = TreeReader.of(image)) {
            Set<Long> seen = new HashSet<>(Set.of(reader.root().nid()));
            List<TreeNode> next = new ArrayList<>(List.of(reader.root()));
            boolean whole = true;
            while (!next.isEmpty()) {
                whole &= reads(reader, next.removeLast(), seen, next);
            }
            return whole;
        } catch (TreeException e) {
            return false;
        }
    }

    private static boolean reads(TreeReader reader, TreeNode node, Set<Long> seen, List<TreeNode> next) {
        try {
            reader.xattrs(node);
            reader.redirect(node);
            if (node.isSymlink()) {
                reader.target(node);
            } else if (node.isRegular()) {
                MemorySegment into = MemorySegment.ofArray(new byte[10_000]);
                for (long at : new long[] {0, 1, 4095, 12_288, node.size() - 1, node.size(), Long.MAX_VALUE}) {
                    assertThat(reader.read(node, Math.max(0, at), into, into.byteSize()))
                            .isBetween(0L, into.byteSize());
                }
            } else if (node.isDirectory()) {
                for (TreeReader.Name name : reader.list(node)) {
                    reader.find(node, name.name());
                    if (seen.add(name.nid())) {
                        next.add(reader.node(name.nid()));
                    }
                }
            }
            return true;
        } catch (TreeException e) {
            return false;
        }
    }

    private void put(Random random, Tree tree, TreeSpool spool) throws IOException {
        String path = random.nextInt(3) == 0
                ? PATHS.get(random.nextInt(PATHS.size()))
                : "d" + random.nextInt(5) + "/" + name(random, 1 + random.nextInt(40));
        try {
            switch (random.nextInt(12)) {
                case 0 -> tree.put(path, attributes(random), new Content.Directory());
                case 1 -> tree.put(path, attributes(random), new Content.Symlink("t".repeat(1 + random.nextInt(4095))));
                case 2 ->
                    tree.put(
                            path,
                            attributes(random),
                            new Content.Device(random.nextBoolean(), random.nextInt(4096), random.nextInt(1 << 20)));
                case 3 -> tree.put(path, attributes(random), new Content.Fifo());
                case 4 -> tree.link(path, PATHS.get(random.nextInt(PATHS.size())), attributes(random));
                case 5 -> tree.whiteout("d", name(random, 3));
                case 6 -> tree.opaque("d" + random.nextInt(5));
                case 7 -> tree.put(path, attributes(random), sparse(random, spool));
                case 8 ->
                    tree.put(path, attributes(random), new Content.Redirect(digest(random), random.nextLong(1L << 44)));
                default -> tree.put(path, attributes(random), bytes(random, spool));
            }
        } catch (TreeException e) {
            // A path through a file, a link to nothing: no layer has them, and the tree is as it was.
        }
    }

    private static byte[] digest(Random random) {
        byte[] digest = new byte[32];
        random.nextBytes(digest);
        return digest;
    }

    private Content bytes(Random random, TreeSpool spool) throws IOException {
        byte[] bytes = new byte[random.nextInt(random.nextInt(4) == 0 ? 20_000 : 5000)];
        random.nextBytes(bytes);
        Content content = new Content.Bytes(spool.position(), bytes.length);
        spool.write(bytes, 0, bytes.length);
        contents.put(content, bytes);
        return content;
    }

    private Content sparse(Random random, TreeSpool spool) throws IOException {
        byte[] bytes = new byte[1 + random.nextInt(200_000)];
        SparseWriter writer = new SparseWriter(spool, bytes.length);
        for (int i = random.nextInt(4); i > 0; i--) {
            int from = random.nextInt(bytes.length);
            byte[] part = new byte[1 + random.nextInt(Math.min(9000, bytes.length - from))];
            random.nextBytes(part);
            writer.write(from, part, 0, part.length);
            System.arraycopy(part, 0, bytes, from, part.length);
        }
        Content content = writer.content();
        contents.put(content, bytes);
        return content;
    }

    private static Attributes attributes(Random random) throws TreeException {
        Map<String, Xattr> xattrs = new TreeMap<>();
        for (int i = random.nextInt(8) - 4; i > 0; i--) {
            String name = List.of("user.", "trusted.", "security.").get(random.nextInt(3))
                    + name(random, 1 + random.nextInt(20));
            byte[] value = new byte[random.nextInt(random.nextInt(10) == 0 ? 5000 : 30)];
            random.nextBytes(value);
            Xattr xattr = Xattr.of(name, value);
            if (xattr != null) {
                xattrs.put(name, xattr);
            }
        }
        return new Attributes(
                random.nextInt(010000),
                random.nextInt(),
                random.nextInt(),
                random.nextLong(-5, 1L << 34),
                random.nextInt(1_000_000_000),
                List.copyOf(xattrs.values()));
    }

    /** Any bytes but those that no name can have; no whiteout of {@code .} and no tests of {@code ..}. */
    private static String name(Random random, int length) {
        StringBuilder name = new StringBuilder();
        while (name.length() < length) {
            char c = (char) (1 + random.nextInt(255));
            if (c != '/' && (c != '.' || name.length() > 1)) {
                name.append(c);
            }
        }
        return name.toString();
    }

    private void compare(TreeReader reader, TreeNode found, Inode wanted, Map<Inode, Long> nids) throws IOException {
        Long known = nids.putIfAbsent(wanted, found.nid());
        if (known != null) {
            assertThat(found.nid()).isEqualTo(known);
            return;
        }
        Attributes attributes = wanted.attributes;
        assertThat(found.mode() & 07777).isEqualTo(attributes.permissions());
        assertThat(List.of(found.uid(), found.gid(), found.nanos()))
                .containsExactly(attributes.uid(), attributes.gid(), attributes.nanos());
        assertThat(found.seconds()).isEqualTo(attributes.seconds());
        Map<String, List<Byte>> xattrs = new TreeMap<>();
        attributes.xattrs().forEach(xattr -> xattrs.put(xattr.name(), list(xattr.value())));
        if (wanted.opaque && wanted.children != null) {
            xattrs.put("trusted.overlay.opaque", List.of((byte) 'y'));
        }
        Map<String, List<Byte>> foundXattrs = new TreeMap<>();
        for (Xattr xattr : reader.xattrs(found)) {
            if (!TreeReader.saysWhere(String.valueOf(xattr.name()))) {
                assertThat(foundXattrs.put(String.valueOf(xattr.name()), list(xattr.value())))
                        .isNull();
            }
        }
        assertThat(foundXattrs).isEqualTo(xattrs);
        assertThat(reader.redirect(found))
                .isEqualTo(
                        wanted.content instanceof Content.Redirect redirect
                                ? new String(redirect.path(), StandardCharsets.US_ASCII)
                                : null);
        switch (wanted.content) {
            case Content.Directory _ -> directory(reader, found, wanted, nids);
            case Content.Symlink symlink -> assertThat(reader.target(found)).isEqualTo(symlink.target());
            case Content.Device device -> {
                assertThat(found.mode() >> 12).isEqualTo(device.block() ? 6 : 2);
                assertThat((found.device() >>> 8) & 0xfff).isEqualTo(device.major());
                assertThat((found.device() & 0xff) | ((found.device() >>> 12) & 0xfff00))
                        .isEqualTo(device.minor());
            }
            case Content.Fifo _ -> assertThat(found.mode() >> 12).isEqualTo(1);
            case Content.Redirect redirect -> assertThat(found.size()).isEqualTo(redirect.size());
            case Content.Bytes _, Content.Sparse _ -> {
                byte[] bytes = Objects.requireNonNull(contents.get(wanted.content));
                assertThat(found.size()).isEqualTo(bytes.length);
                for (int from : new int[] {0, bytes.length / 3, Math.max(0, bytes.length - 5000)}) {
                    byte[] into = new byte[bytes.length + 10];
                    long n = reader.read(found, from, MemorySegment.ofArray(into), into.length);
                    assertThat(Arrays.copyOf(into, (int) n)).isEqualTo(Arrays.copyOfRange(bytes, from, bytes.length));
                }
            }
        }
        if (wanted.children == null) {
            assertThat(found.links()).isEqualTo(wanted.names);
        }
    }

    private void directory(TreeReader reader, TreeNode found, Inode wanted, Map<Inode, Long> nids) throws IOException {
        Map<String, Long> names = new TreeMap<>();
        for (TreeReader.Name name : reader.list(found)) {
            names.put(name.name(), name.nid());
            assertThat(name.kind()).isEqualTo(reader.node(name.nid()).mode() & 0170000);
        }
        assertThat(names.remove(".")).isEqualTo(found.nid());
        assertThat(names.remove("..")).isNotNull();
        Map<String, Inode> children = wanted.children == null ? Map.of() : wanted.children;
        assertThat(names.keySet()).isEqualTo(new TreeMap<>(children).keySet());
        for (Map.Entry<String, Inode> child : children.entrySet()) {
            TreeNode node = reader.find(found, child.getKey());
            compare(reader, Objects.requireNonNull(node, Tree.printable(child.getKey())), child.getValue(), nids);
        }
    }

    private static List<Byte> list(byte[] bytes) {
        List<Byte> list = new ArrayList<>();
        for (byte b : bytes) {
            list.add(b);
        }
        return list;
    }

    private byte[] write(Tree tree, TreeSpool spool) throws IOException {
        Path image = Files.createTempFile(directory, "image", "");
        try (FileChannel file = FileChannel.open(image, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            TreeWriter.write(tree, spool, new byte[16], file);
        }
        byte[] bytes = Files.readAllBytes(image);
        Files.delete(image);
        return bytes;
    }
}
