package dev.coldstart.restore.store;

import dev.coldstart.linux.DirectoryLock;
import dev.coldstart.proto.v1.SnapshotManifest;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * A snapshot on this node, held: while it is open its files stay, even if it is removed or replaced meanwhile. Close it
 * when the root file system that has {@link #upper()} in it is unmounted; it is closed with the process at the latest.
 */
public final class StoredSnapshot implements AutoCloseable {
    private final Path directory;
    private final SnapshotManifest manifest;
    private final DirectoryLock lease;

    StoredSnapshot(Path directory, SnapshotManifest manifest, DirectoryLock lease) {
        this.directory = directory;
        this.manifest = manifest;
        this.lease = lease;
    }

    public String id() {
        return manifest.getId();
    }

    public SnapshotManifest manifest() {
        return manifest;
    }

    /** CRIU's images; read-only by contract. */
    public Path checkpoint() {
        return directory.resolve(SnapshotStore.CHECKPOINT);
    }

    /** The container's writable layer as it was; a lower layer of overlayfs. */
    public Path upper() {
        return directory.resolve(SnapshotStore.UPPER);
    }

    /**
     * Keeps {@link SnapshotStore#find} from offering this snapshot on this node until the next boot.
     *
     * @param reason one sentence
     */
    public void quarantine(String reason) throws IOException {
        Path file = directory.resolve(SnapshotStore.QUARANTINE);
        Path written = directory.resolve(SnapshotStore.QUARANTINE + ".new");
        try (FileChannel channel = FileChannel.open(
                written, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            ByteBuffer text = ByteBuffer.wrap((SnapshotStore.bootId() + "\n" + reason.replace('\n', ' ') + "\n")
                    .getBytes(StandardCharsets.UTF_8));
            while (text.hasRemaining()) {
                int ignored = channel.write(text);
            }
        }
        Files.move(written, file, StandardCopyOption.ATOMIC_MOVE);
    }

    @Override
    public void close() {
        lease.close();
    }
}
