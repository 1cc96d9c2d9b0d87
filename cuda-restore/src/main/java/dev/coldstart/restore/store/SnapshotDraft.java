package dev.coldstart.restore.store;

import dev.coldstart.linux.DirectoryLock;
import dev.coldstart.linux.Durability;
import dev.coldstart.linux.FileTree;
import dev.coldstart.proto.v1.SnapshotManifest;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * A snapshot that is being written, in a directory that nobody looks at. Until {@link #commit} it can vanish without a
 * trace: on {@link #close()}, or, if the process ends first, when the store is next swept.
 */
public final class SnapshotDraft implements AutoCloseable {
    private final SnapshotStore store;
    private final Path directory;
    private final DirectoryLock lease;

    SnapshotDraft(SnapshotStore store, Path directory, DirectoryLock lease) {
        this.store = store;
        this.directory = directory;
        this.lease = lease;
    }

    /** Where CRIU's images go: an empty directory. */
    public Path checkpoint() {
        return directory.resolve(SnapshotStore.CHECKPOINT);
    }

    /** Where the writable layer goes: does not exist. */
    public Path upper() {
        return directory.resolve(SnapshotStore.UPPER);
    }

    /** Makes room for another writable layer. */
    public void discardUpper() throws IOException {
        FileTree.delete(upper());
    }

    /** A place for the work files of the dump, on the same file system; gone with {@link #commit}. */
    public Path work() {
        return directory.resolve(SnapshotStore.WORK);
    }

    /**
     * Makes it the snapshot with the manifest's id, in one step; one that is there is replaced. After it returns the
     * snapshot survives a crash of the machine.
     */
    public void commit(SnapshotManifest manifest) throws IOException {
        SnapshotStore.requireId(manifest.getId());
        FileTree.delete(work());
        try (FileChannel file = FileChannel.open(
                directory.resolve(SnapshotStore.MANIFEST), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            ByteBuffer bytes = manifest.toByteString().asReadOnlyByteBuffer();
            while (bytes.hasRemaining()) {
                int ignored = file.write(bytes);
            }
        }
        SnapshotStore.makePrivate(directory.resolve(SnapshotStore.MANIFEST));
        // All of the images and the writable layer at once: they can be many files.
        Durability.syncFileSystem(directory);
        Path target = store.root().resolve(manifest.getId());
        if (Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
            // The old one now has this draft's name, and goes when its last holder has closed it.
            Durability.exchange(directory, target);
        } else {
            Files.move(directory, target, StandardCopyOption.ATOMIC_MOVE);
        }
        Durability.syncDirectory(store.root());
        close();
    }

    /** Discards the draft if it was not committed. */
    @Override
    public void close() {
        lease.close();
        store.sweep();
    }
}
