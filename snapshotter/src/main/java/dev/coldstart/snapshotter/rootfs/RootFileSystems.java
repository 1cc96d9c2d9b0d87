package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.proto.containerd.types.Mount;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.Catalog;
import dev.coldstart.snapshotter.metadata.Snapshot;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The mounts that make a snapshot a root file system, in containerd's shapes. */
public final class RootFileSystems {
    private final Directories directories;
    private final TreeMounts trees;
    private final List<Path> tiers;

    /** @param tiers data-only layers, the nearest first */
    public RootFileSystems(Directories directories, TreeMounts trees, List<Path> tiers) {
        this.directories = directories;
        this.trees = trees;
        this.tiers = List.copyOf(tiers);
    }

    /** The snapshot's mounts; the same every time as long as this process runs. */
    public List<Mount> mounts(Catalog catalog, Snapshot snapshot) throws IOException {
        List<Path> lower = new ArrayList<>();
        boolean lazy = false;
        for (Snapshot parent = catalog.find(snapshot.parent());
                parent != null;
                parent = catalog.find(parent.parent())) {
            lower.add(lowerOf(parent));
            lazy |= parent.layer() != null;
        }
        boolean writable = snapshot.kind() == Snapshot.Kind.ACTIVE;
        if (lower.isEmpty()) {
            return List.of(bind(directories.content(snapshot), writable ? "rw" : "ro"));
        }
        if (!writable && lower.size() == 1 && !lazy) {
            return List.of(bind(lower.getFirst(), "ro"));
        }
        StringBuilder layers = new StringBuilder("lowerdir=");
        for (int i = 0; i < lower.size(); i++) {
            layers.append(i == 0 ? "" : ":").append(lower.get(i));
        }
        if (lazy) {
            tiers.forEach(tier -> layers.append("::").append(tier));
        }
        Mount.Builder mount = Mount.newBuilder().setType("overlay").setSource("overlay");
        if (writable) {
            mount.addOptions("workdir=" + directories.work(snapshot));
            mount.addOptions("upperdir=" + directories.content(snapshot));
        }
        mount.addOptions(layers.toString());
        mount.addOptions("index=off");
        if (lazy) {
            mount.addOptions("metacopy=on").addOptions("redirect_dir=on");
        }
        if (!writable) {
            mount.addOptions("ro");
        }
        return List.of(mount.build());
    }

    /** The top directory of the snapshot's parent; null if it has none. */
    public @Nullable Path parentDirectory(Catalog catalog, Snapshot snapshot) throws IOException {
        Snapshot parent = catalog.find(snapshot.parent());
        return parent == null ? null : lowerOf(parent);
    }

    private Path lowerOf(Snapshot snapshot) throws IOException {
        Digest layer = snapshot.layer();
        if (layer == null) {
            return directories.content(snapshot);
        }
        Path tree = trees.find(layer);
        if (tree == null) {
            throw new IOException(
                    "the tree of layer " + layer + " is not mounted; see the log of coldstart-snapshotter");
        }
        return tree;
    }

    private static Mount bind(Path source, String access) {
        return Mount.newBuilder()
                .setType("bind")
                .setSource(source.toString())
                .addOptions(access)
                .addOptions("rbind")
                .build();
    }
}
