package dev.coldstart.restore.store;

import dev.coldstart.proto.v1.SnapshotManifest;
import java.io.IOException;
import java.nio.file.Path;

/**
 * A snapshot on this node, held: while it is open its files stay, even if it is removed or replaced meanwhile. Close it
 * when the root file system that has {@link #upper()} in it is unmounted (or at the end of the process).
 */
public final class StoredSnapshot implements AutoCloseable {
    private final Path directory;
    private final SnapshotManifest manifest;

    StoredSnapshot(Path directory, SnapshotManifest manifest) {
        this.directory = directory;
        this.manifest = manifest;
    }

    public String id() {
        return manifest.getId();
    }

    public SnapshotManifest manifest() {
        return manifest;
    }

    /** CRIU's images; read-only by contract. */
    public Path checkpoint() {
        return directory.resolve("checkpoint");
    }

    /** The container's writable layer as it was; a lower layer of overlayfs. */
    public Path upper() {
        return directory.resolve("upper");
    }

    /** Keeps {@link SnapshotStore#find} from offering this snapshot on this node until the next boot. */
    public void quarantine(String reason) throws IOException {
        java.nio.file.Files.writeString(directory.resolve("quarantine"), reason);
    }

    @Override
    public void close() {}
}
