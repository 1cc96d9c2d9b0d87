package dev.coldstart.snapshotter.layer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.Xattr;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Random stacks of layers as root file systems, ours beside the one that unpacking gives (see {@link Unpacked}): equal in
 * all that a program can see, also after both were written to. A failure names its seed.
 */
final class LayerStackTest {
    @TempDir
    Path directory;

    // Other than what is made in memory: the kernel mounts no EROFS from a file in a tmpfs.
    @TempDir
    Path disk;

    private final Instant start = Instant.now().minus(Duration.ofSeconds(5));
    private final List<Path> mounts = new ArrayList<>();

    @BeforeEach
    void root() throws Exception {
        assumeTrue(
                Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0),
                "mounting needs root; run the tests as root to compare with unpacked layers");
        mount("tmpfs", "none", directory, "size=1g");
    }

    @AfterEach
    void unmount() throws Exception {
        for (Path mount : mounts.reversed()) {
            Mount.umount(mount.toString(), Mount.MNT_DETACH);
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
    void aStackOfLayersIsWhatUnpackingGives(long seed) throws Exception {
        Random random = new Random(seed);
        Path objects = Files.createDirectory(directory.resolve("objects"));
        StringBuilder trees = new StringBuilder();
        StringBuilder unpacked = new StringBuilder();
        for (int i = 1 + random.nextInt(4); i >= 0; i--) {
            Unpacked oracle = new Unpacked(Files.createDirectory(directory.resolve("unpacked" + i)));
            Tar tar = new RandomLayer(random, oracle).tar();
            oracle.finish();
            Path tree = mountTree(tar.bytes(), i, objects);
            trees.insert(0, trees.isEmpty() ? tree : tree + ":");
            unpacked.insert(0, unpacked.isEmpty() ? oracle.root() : oracle.root() + ":");
        }
        Path ours = overlay("ours", trees + "::" + objects);
        Path theirs = overlay("theirs", unpacked.toString());
        assertThat(differences(ours, theirs)).as("seed %d", seed).isEmpty();
        List<String> names = new ArrayList<>(state(theirs).keySet());
        for (int i = 0; i < 120; i++) {
            Change change = Change.random(random, names);
            assertThat(change.apply(ours))
                    .as("seed %d, change %d: %s", seed, i, change)
                    .isEqualTo(change.apply(theirs));
        }
        assertThat(differences(ours, theirs)).as("seed %d, after changes", seed).isEmpty();
        for (Path mount : List.of(ours, theirs)) {
            Mount.umount(mount.toString(), 0);
            mounts.remove(mount);
        }
        ours = overlay("ours", trees + "::" + objects);
        theirs = overlay("theirs", unpacked.toString());
        assertThat(differences(ours, theirs)).as("seed %d, mounted again", seed).isEmpty();
    }

    private Path mountTree(byte[] tar, int number, Path objects) throws Exception {
        byte[] blob = number % 2 == 0 ? tar : Tar.gzip(tar);
        Path tree = disk.resolve(number + ".erofs");
        Path index = disk.resolve(number + ".idx");
        LayerIndexer.index(
                new ByteArrayInputStream(blob),
                Tar.digest(blob),
                Tar.digest(tar),
                index,
                tree,
                new ObjectDirectory(objects),
                ProgressListener.NONE);
        Fsck.check(tree);
        Path target = Files.createDirectory(directory.resolve("tree" + number));
        mount("erofs", tree.toString(), target, "");
        return target;
    }

    /** With the same options for both: they have effects of their own, such as a new time with metacopy. */
    private Path overlay(String name, String lower) throws Exception {
        Path base = Files.createDirectories(directory.resolve(name));
        for (String part : List.of("upper", "work", "merged")) {
            Files.createDirectories(base.resolve(part));
        }
        Path merged = base.resolve("merged");
        mount(
                "overlay",
                "overlay",
                merged,
                "lowerdir=" + lower + ",upperdir=" + base.resolve("upper") + ",workdir=" + base.resolve("work")
                        + ",index=off,metacopy=on,redirect_dir=on");
        return merged;
    }

    private void mount(String type, String source, Path target, String options) throws LinuxException {
        Mount.mount(source, target.toString(), type, type.equals("erofs") ? Mount.MS_RDONLY : 0, options);
        mounts.add(target);
    }

    private List<String> differences(Path ours, Path theirs) throws IOException {
        Map<String, String> our = state(ours);
        Map<String, String> their = state(theirs);
        TreeSet<String> paths = new TreeSet<>(our.keySet());
        paths.addAll(their.keySet());
        return paths.stream()
                .filter(path -> !Objects.equals(our.get(path), their.get(path)))
                .map(path -> "/" + path + "\n  ours:   " + our.get(path) + "\n  theirs: " + their.get(path))
                .toList();
    }

    /** All that can be seen of a file system, by path. */
    private Map<String, String> state(Path root) throws IOException {
        Map<String, String> all = new TreeMap<>();
        Deque<Path> left = new ArrayDeque<>(List.of(root));
        for (Path file = left.poll(); file != null; file = left.poll()) {
            String path = root.relativize(file).toString();
            try {
                all.put(path, seen(file));
            } catch (NoSuchFileException e) {
                // overlayfs lists a whiteout where no layer below has the directory.
                all.put(path, "listed only");
                continue;
            }
            if (Files.isDirectory(file, LinkOption.NOFOLLOW_LINKS)) {
                try (Stream<Path> files = Files.list(file)) {
                    files.forEach(left::add);
                }
            }
        }
        return all;
    }

    private String seen(Path file) throws IOException {
        Map<String, Object> attributes = new TreeMap<>(Files.readAttributes(
                file, "unix:mode,uid,gid,rdev,nlink,size,lastModifiedTime", LinkOption.NOFOLLOW_LINKS));
        if (Files.isDirectory(file, LinkOption.NOFOLLOW_LINKS)) {
            // Every file system has its own idea of a directory's size.
            attributes.remove("size");
        }
        Instant time =
                Files.getLastModifiedTime(file, LinkOption.NOFOLLOW_LINKS).toInstant();
        // What was changed was changed at two moments.
        attributes.put(
                "lastModifiedTime",
                time.isAfter(start) && time.isBefore(start.plus(Duration.ofHours(1))) ? "now" : time.toString());
        attributes.put(
                "mode", Integer.toOctalString((int) Files.getAttribute(file, "unix:mode", LinkOption.NOFOLLOW_LINKS)));
        for (String name : Xattr.list(file)) {
            attributes.put(name, HexFormat.of().formatHex(Xattr.get(file, name)));
        }
        if (Files.isSymbolicLink(file)) {
            attributes.put("target", Files.readSymbolicLink(file).toString());
        } else if (Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
            byte[] bytes = Files.readAllBytes(file);
            attributes.put("bytes", HexFormat.of().formatHex(Tar.sha256(bytes)));
        }
        return attributes.toString();
    }
}
