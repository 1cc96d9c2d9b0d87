package dev.coldstart.snapshotter.service;

import com.google.protobuf.InvalidProtocolBufferException;
import dev.coldstart.linux.DirectoryLock;
import dev.coldstart.linux.FileTree;
import dev.coldstart.proto.v1.SnapshotManifest;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/** coldstart's own snapshots on this node, as the shim wrote them: {@code snapshots/ID/manifest.pb}. */
public final class StoredSnapshots {
    private static final int MAX_MANIFEST = 4 << 20;
    private static final String ID = "[0-9a-f]{64}";
    /** The shims' name for what is removed, so that their sweeps take it too. */
    private static final String REMOVED = ".removed-";

    private final Path root;

    /** @param root the directory {@code snapshots} */
    public StoredSnapshots(Path root) {
        this.root = root;
    }

    /** The manifests that can be read, newest first; others are logged and passed over. */
    public List<SnapshotManifest> list() throws IOException {
        List<SnapshotManifest> found = new ArrayList<>();
        if (!Files.isDirectory(root)) {
            return found;
        }
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(root)) {
            for (Path entry : entries) {
                String id = entry.getFileName().toString();
                if (!id.matches(ID)) {
                    continue;
                }
                try {
                    SnapshotManifest manifest = read(entry.resolve("manifest.pb"));
                    // The directory decides: what a manifest says about itself is not believed.
                    found.add(manifest.toBuilder().setId(id).build());
                } catch (NoSuchFileException e) {
                    // Being written, or being removed: not there.
                } catch (IOException e) {
                    System.getLogger(StoredSnapshots.class.getName())
                            .log(System.Logger.Level.WARNING, "snapshot {0} cannot be read: {1}", id, e.getMessage());
                }
            }
        }
        found.sort(Comparator.comparingLong(
                        (SnapshotManifest manifest) -> manifest.getCreatedAt().getSeconds())
                .reversed());
        return found;
    }

    private static SnapshotManifest read(Path file) throws IOException {
        if (Files.size(file) > MAX_MANIFEST) {
            throw new IOException("its manifest is larger than " + MAX_MANIFEST + " bytes");
        }
        try {
            return SnapshotManifest.parseFrom(Files.readAllBytes(file));
        } catch (InvalidProtocolBufferException e) {
            throw new IOException("its manifest is damaged", e);
        }
    }

    /** Those whose id starts so. */
    public List<SnapshotManifest> find(String prefix) throws IOException {
        return list().stream()
                .filter(manifest -> manifest.getId().startsWith(prefix))
                .toList();
    }

    /**
     * Removes a snapshot: nobody finds it from now on. Its files go when the last container that was restored from it has
     * gone; the shims of such containers hold a shared lock on its directory.
     */
    public void remove(String id) throws IOException {
        if (!id.matches(ID)) {
            throw new IOException("\"" + id + "\" is not a snapshot's id");
        }
        Files.move(root.resolve(id), root.resolve(REMOVED + UUID.randomUUID()), StandardCopyOption.ATOMIC_MOVE);
        sweep();
    }

    private void sweep() throws IOException {
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(root, REMOVED + "*")) {
            for (Path entry : entries) {
                Optional<DirectoryLock> lock = DirectoryLock.exclusive(entry);
                if (lock.isPresent()) {
                    try (DirectoryLock _ = lock.get()) {
                        FileTree.delete(entry);
                    }
                }
            }
        }
    }
}
