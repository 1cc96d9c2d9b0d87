package dev.coldstart.restore;

import dev.coldstart.restore.key.SnapshotKey;
import dev.coldstart.restore.store.SnapshotStore;
import dev.coldstart.restore.store.StoredSnapshot;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Snapshots for tests: taken by {@link Checkpointer} with a runc that only writes what the test gives it. */
final class Snapshots {
    static final SnapshotKey KEY = new SnapshotKey(
            List.of(new SnapshotKey.Field("args", "serve")),
            List.of(new SnapshotKey.Field("namespaces", "mount\npid")));

    private Snapshots() {}

    static Container container(Path directory) throws IOException {
        return new Container(
                "default",
                "c1",
                Files.createDirectories(directory.resolve("bundle")),
                List.of(Path.of("/lower")),
                Files.createDirectories(directory.resolve("u")),
                false);
    }

    static StoredSnapshot stored(Path directory) throws IOException {
        SnapshotStore store = new SnapshotStore(directory.resolve("snapshots"));
        try {
            new Checkpointer((arguments, environment, limit) -> new RuncResult(0, ""), store)
                    .snapshot(container(directory), KEY);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        return store.open(KEY.id()).orElseThrow();
    }
}
