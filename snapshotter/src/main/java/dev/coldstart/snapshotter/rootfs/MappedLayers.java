package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.linux.IdMapping;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.MountTable;
import dev.coldstart.snapshotter.metadata.Catalog;
import dev.coldstart.snapshotter.metadata.Snapshot;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * The lower layers of containers in user namespaces, mounted once more with their owners mapped: {@code m/ID/N}, where ID
 * is the snapshot's. containerd says the mapping in two labels, {@code CONTAINER:HOST:SIZE}.
 */
public final class MappedLayers {
    static final String UID_MAPPING = "containerd.io/snapshot/uidmapping";
    static final String GID_MAPPING = "containerd.io/snapshot/gidmapping";

    private static final System.Logger LOG = System.getLogger(MappedLayers.class.getName());

    private final Path root;
    private final Set<Path> mounted = ConcurrentHashMap.newKeySet();

    /** Takes over what a predecessor mounted for snapshots that are still there, and takes away the rest. */
    public MappedLayers(Path root, Catalog catalog) throws IOException {
        this.root = root;
        Files.createDirectories(root);
        Set<String> wanted = new HashSet<>();
        for (Snapshot snapshot : catalog.snapshots()) {
            if (snapshot.kind() != Snapshot.Kind.COMMITTED) {
                wanted.add(Long.toString(snapshot.id()));
            }
        }
        for (MountTable.Entry entry : MountTable.read().reversed()) {
            Path at = Path.of(entry.mountPoint());
            if (!at.startsWith(root)) {
                continue;
            }
            Path relative = root.relativize(at);
            if (relative.getNameCount() != 2
                    || !wanted.contains(relative.getName(0).toString())
                    || !mounted.add(at)) {
                Mount.umount(entry.mountPoint(), Mount.MNT_DETACH);
            }
        }
    }

    /**
     * The mapping that a snapshot's labels ask for; null if they ask for none.
     *
     * @throws IllegalArgumentException if they do not say which owners users and groups have, root among them
     */
    public static @Nullable IdMapping mapping(Map<String, String> labels) {
        String uids = labels.get(UID_MAPPING);
        String gids = labels.get(GID_MAPPING);
        if (uids == null && gids == null) {
            return null;
        }
        if (uids == null || gids == null) {
            throw new IllegalArgumentException("the label \"" + (uids == null ? GID_MAPPING : UID_MAPPING)
                    + "\" needs its counterpart \"" + (uids == null ? UID_MAPPING : GID_MAPPING) + "\"");
        }
        IdMapping mapping;
        try {
            mapping = IdMapping.parse(uids, gids);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(
                    "the labels \"" + UID_MAPPING + "\" and \"" + GID_MAPPING + "\" map no owners: " + e.getMessage(),
                    e);
        }
        if (mapping.rootUser().isEmpty() || mapping.rootGroup().isEmpty()) {
            throw new IllegalArgumentException("the labels \"" + UID_MAPPING + "\" and \"" + GID_MAPPING
                    + "\" must map the container's root, id 0, which is the owner of its root directory");
        }
        return mapping;
    }

    /**
     * A lower layer as the snapshot's container must see it.
     *
     * @param number of the layer in the snapshot's stack
     */
    Path layer(Snapshot snapshot, int number, Path lower, IdMapping mapping) throws IOException {
        Path at = root.resolve(Long.toString(snapshot.id())).resolve(Integer.toString(number));
        synchronized (this) {
            if (!mounted.contains(at)) {
                Files.createDirectories(at);
                mapping.mount(lower, at);
                mounted.add(at);
            }
        }
        return at;
    }

    /** After a snapshot is gone. Overlays that use its layers keep them. */
    public void remove(Snapshot snapshot) {
        Path own = root.resolve(Long.toString(snapshot.id()));
        for (Path at : Set.copyOf(mounted)) {
            if (at.startsWith(own) && mounted.remove(at)) {
                try {
                    Mount.umount(at.toString(), Mount.MNT_DETACH);
                    Files.deleteIfExists(at);
                } catch (LinuxException e) {
                    LOG.log(System.Logger.Level.WARNING, "cannot unmount a mapped layer: {0}", e.getMessage());
                } catch (IOException e) {
                    LOG.log(System.Logger.Level.WARNING, "cannot remove a mount point: {0}", e.getMessage());
                }
            }
        }
        try {
            Files.deleteIfExists(own);
        } catch (IOException e) {
            LOG.log(System.Logger.Level.WARNING, "cannot remove a mount point: {0}", e.getMessage());
        }
    }

    /** Unmounts all. */
    public void unmountAll() {
        for (Path at : Set.copyOf(mounted)) {
            try {
                Mount.umount(at.toString(), Mount.MNT_DETACH);
                mounted.remove(at);
            } catch (LinuxException e) {
                LOG.log(System.Logger.Level.WARNING, "cannot unmount a mapped layer: {0}", e.getMessage());
            }
        }
    }
}
