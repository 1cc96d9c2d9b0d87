package dev.coldstart.snapshotter.service;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.linux.DirectoryLock;
import dev.coldstart.proto.v1.SnapshotManifest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class StoredSnapshotsTest {
    private static final String ID = "ab".repeat(32);

    @TempDir
    private Path root;

    @Test
    void aRemovedSnapshotKeepsItsFilesWhileAContainerRunsOnThem() throws IOException {
        Path snapshot = store(ID);
        StoredSnapshots stored = new StoredSnapshots(root);
        try (DirectoryLock _ = DirectoryLock.shared(snapshot).orElseThrow()) {
            stored.remove(ID);
            assertThat(stored.list()).isEmpty();
            assertThat(files())
                    .singleElement()
                    .satisfies(left ->
                            assertThat(left.resolve("upper/file")).content().isEqualTo("written"));
        }
        store(ID);
        stored.remove(ID);
        assertThat(files()).isEmpty();
    }

    @Test
    void aDamagedManifestHidesItsSnapshotOnly() throws IOException {
        store(ID);
        Files.write(store("cd".repeat(32)).resolve("manifest.pb"), new byte[] {(byte) 0xff, 1});
        assertThat(new StoredSnapshots(root).list())
                .extracting(SnapshotManifest::getId)
                .containsExactly(ID);
    }

    private Path store(String id) throws IOException {
        Path snapshot = root.resolve(id);
        Files.createDirectories(snapshot.resolve("upper"));
        Files.writeString(snapshot.resolve("upper/file"), "written");
        Files.write(
                snapshot.resolve("manifest.pb"),
                SnapshotManifest.getDefaultInstance().toByteArray());
        return snapshot;
    }

    private List<Path> files() throws IOException {
        try (Stream<Path> entries = Files.list(root)) {
            return entries.toList();
        }
    }
}
