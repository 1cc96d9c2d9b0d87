package dev.coldstart.shim.snapshot;

import dev.coldstart.linux.MountTable;
import dev.coldstart.proto.containerd.types.Mount;
import dev.coldstart.restore.key.ContainerSpec;
import dev.coldstart.restore.key.Host;
import dev.coldstart.restore.key.SnapshotKey;
import dev.coldstart.restore.store.SnapshotStore;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** The node's snapshots as this shim uses them. Nothing is read before the first container asks. */
public final class Snapshots {
    private final Path configFile;
    private final ReentrantLock lock = new ReentrantLock();
    // Guarded by lock.
    private @Nullable SnapshotStore store;
    private @Nullable Host host;

    /** @param configFile the node's configuration */
    public Snapshots(Path configFile) {
        this.configFile = configFile;
    }

    /** The store under the configured root. */
    public SnapshotStore store() throws IOException {
        lock.lock();
        try {
            SnapshotStore known = store;
            if (known == null) {
                known = new SnapshotStore(ShimConfig.read(configFile).root().resolve("snapshots"));
                store = known;
            }
            return known;
        } finally {
            lock.unlock();
        }
    }

    private Host host(String runtime, Host.Program program) throws IOException, InterruptedException {
        lock.lock();
        try {
            Host known = host;
            if (known == null) {
                known = Host.detect(runtime, program);
                host = known;
            }
            return known;
        } finally {
            lock.unlock();
        }
    }

    /**
     * The key of a container, whether it runs already or not.
     *
     * @param rootfs its mounts as containerd gave them
     * @throws IOException with one sentence why it cannot have a snapshot
     */
    public SnapshotKey key(Path bundle, List<Mount> rootfs, String runtime, Host.Program program)
            throws IOException, InterruptedException {
        List<String> layers = Layers.of(rootfs).digests(MountTable.read());
        ContainerSpec spec = ContainerSpec.read(bundle.resolve("config.json"));
        return SnapshotKey.of(spec, layers, host(runtime, program));
    }
}
