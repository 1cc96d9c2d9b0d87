package dev.coldstart.snapshotter.rootfs;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.linux.FileAttributes;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.PathBytes;
import dev.coldstart.linux.SpecialFile;
import dev.coldstart.snapshotter.metadata.MetadataStore;
import dev.coldstart.snapshotter.metadata.Snapshot;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Two layers, the upper of which only implies directories that the lower one has. */
class ImpliedDirectoriesTest {
    private static final Instant THEN = Instant.ofEpochSecond(1_234_567_890, 5);

    @TempDir
    Path dir;

    private Path low;
    private Path high;
    private ImpliedDirectories implied;
    private Snapshot snapshot;

    @BeforeEach
    void makeLayers() throws Exception {
        assumeTrue(Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid")), "needs root");
        low = Files.createDirectory(dir.resolve("low"));
        high = Files.createDirectory(dir.resolve("high"));
        try (MetadataStore metadata = MetadataStore.open(dir.resolve("log"))) {
            implied = new ImpliedDirectories(dir.resolve("implied"), metadata.catalog());
            snapshot = metadata.create("k", "", Snapshot.Kind.ACTIVE, Map.of());
        }
    }

    private static void directory(Path path, int mode, int uid) throws IOException {
        Files.createDirectories(path);
        FileAttributes.own(path, 0040000 | mode, uid, uid);
        FileAttributes.touch(path, THEN);
    }

    @Test
    void aDirectoryIsAsTheLayersBelowHaveIt() throws Exception {
        directory(low.resolve("tmp"), 01777, 0);
        directory(low.resolve("home/user"), 0700, 1000);
        directory(high.resolve("tmp"), 0755, 0);
        directory(high.resolve("home/user/new"), 0750, 7);
        Files.writeString(high.resolve("tmp/file"), "x");
        Path above = implied.layer(snapshot, high, List.of("tmp", "home", "home/user"), List.of(low));
        Path merged = Files.createDirectory(dir.resolve("merged"));
        Mount.mount(
                "overlay", merged.toString(), "overlay", Mount.MS_RDONLY, "lowerdir=" + above + ":" + high + ":" + low);
        try {
            assertThat(Files.readAttributes(merged.resolve("tmp"), "unix:mode,lastModifiedTime"))
                    .containsEntry("mode", 0041777);
            assertThat(Files.getLastModifiedTime(merged.resolve("tmp")).toInstant())
                    .isEqualTo(THEN);
            assertThat(merged.resolve("tmp/file")).hasContent("x");
            assertThat(Files.readAttributes(merged.resolve("home/user"), "unix:mode,uid"))
                    .containsEntry("mode", 0040700)
                    .containsEntry("uid", 1000);
            assertThat(Files.readAttributes(merged.resolve("home/user/new"), "unix:mode,uid"))
                    .containsEntry("mode", 0040750)
                    .containsEntry("uid", 7);
        } finally {
            Mount.umount(merged.toString(), Mount.MNT_DETACH);
        }
        assertThat(implied.layer(snapshot, high, List.of("tmp"), List.of(low))).isEqualTo(above);
        implied.remove(snapshot);
        assertThat(above).doesNotExist();
    }

    @Test
    void namesHaveAnyBytes() throws Exception {
        // UTF-8, Latin 1, and what is neither; one in another.
        List<String> paths = List.of(
                "caf\u00c3\u00a9", "caf\u00c3\u00a9/\u00e9", "caf\u00c3\u00a9/\u00e9/\u00ff\u0080 %41", "\u0001");
        int mode = 0701;
        for (String path : paths) {
            directory(PathBytes.resolve(low, path), mode++, 1000);
            directory(PathBytes.resolve(high, path), 0755, 0);
        }
        Files.writeString(PathBytes.resolve(high, paths.get(2)).resolve("file"), "x");
        Path above = Objects.requireNonNull(implied.layer(snapshot, high, paths, List.of(low)));
        mode = 0701;
        for (String path : paths) {
            assertThat(Files.readAttributes(PathBytes.resolve(above, path), "unix:mode,uid"))
                    .as(path)
                    .containsEntry("mode", 0040000 | mode++)
                    .containsEntry("uid", 1000);
        }
        implied.remove(snapshot);
        assertThat(above).doesNotExist();
    }

    @Test
    void whatALayerBetweenHidesIsNotLookedFor() throws Exception {
        Path middle = Files.createDirectory(dir.resolve("middle"));
        directory(low.resolve("gone"), 0700, 1000);
        SpecialFile.make(middle.resolve("gone"), 0020000, 0);
        directory(high.resolve("gone"), 0755, 0);
        directory(high.resolve("fresh"), 0755, 0);
        assertThat(implied.layer(snapshot, high, List.of("gone", "fresh"), List.of(middle, low)))
                .isNull();
        assertThat(dir.resolve("implied")).isEmptyDirectory();
    }
}
