package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.linux.IdMapping;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.OpenFile;
import dev.coldstart.proto.containerd.types.Mount;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.Catalog;
import dev.coldstart.snapshotter.metadata.Snapshot;
import dev.coldstart.snapshotter.trace.StartUps;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** The mounts that make a snapshot a root file system, in containerd's shapes. */
public final class RootFileSystems {
    private static final System.Logger LOG = System.getLogger(RootFileSystems.class.getName());
    /** Of a tree; names and attributes come first in it. */
    private static final long EXPECTED_BYTES = 64 << 20;

    /** containerd's label for what it is about to unpack a layer into, which starts no container. */
    private static final String UNPACKED = "containerd.io/snapshot.ref";
    /** A snapshot with this label is read through the remote tier only, which then sees what is read. */
    private static final String RECORDED = "containerd.io/snapshot/coldstart.record";

    private final Directories directories;
    private final LayerMounts trees;
    private final KnownLayers known;
    private final ImpliedDirectories implied;
    private final MappedLayers mapped;
    private final List<Path> tiers;
    private final StartUps startUps;

    /** @param tiers data-only layers, the nearest first; none if the lower layers have their files' bytes themselves */
    public RootFileSystems(
            Directories directories,
            LayerMounts trees,
            KnownLayers known,
            ImpliedDirectories implied,
            MappedLayers mapped,
            List<Path> tiers,
            StartUps startUps) {
        this.directories = directories;
        this.trees = trees;
        this.known = known;
        this.implied = implied;
        this.mapped = mapped;
        this.tiers = List.copyOf(tiers);
        this.startUps = startUps;
    }

    /** The snapshot's mounts; the same every time as long as this process runs. */
    public List<Mount> mounts(Catalog catalog, Snapshot snapshot) throws IOException {
        List<Snapshot> stack = new ArrayList<>();
        for (Snapshot parent = catalog.find(snapshot.parent());
                parent != null;
                parent = catalog.find(parent.parent())) {
            stack.add(parent);
        }
        boolean redirected = !tiers.isEmpty() && stack.stream().anyMatch(layer -> layer.layer() != null);
        boolean writable = snapshot.kind() == Snapshot.Kind.ACTIVE;
        if (stack.isEmpty()) {
            return List.of(bind(directories.content(snapshot), writable ? "rw" : "ro"));
        }
        Thread.startVirtualThread(() -> expect(stack));
        boolean watched = snapshot.labels().containsKey(RECORDED);
        if (writable && !snapshot.labels().containsKey(UNPACKED)) {
            List<Digest> layers =
                    stack.stream().map(Snapshot::layer).filter(Objects::nonNull).toList();
            watched |= startUps.watches(snapshot.name(), layers);
            startUps.began(snapshot.name(), layers);
        }
        List<Path> from = !redirected ? List.of() : watched ? List.of(tiers.getLast()) : tiers;
        List<Path> lower = lower(snapshot, stack, false);
        if (!writable && lower.size() == 1 && !redirected) {
            return List.of(bind(lower.getFirst(), "ro"));
        }
        Mount mount = overlay(snapshot, lower, from);
        if (optionsLength(mount) > dev.coldstart.linux.Mount.MAX_DATA_BYTES) {
            mount = overlay(snapshot, lower(snapshot, stack, true), from);
        }
        if (optionsLength(mount) > dev.coldstart.linux.Mount.MAX_DATA_BYTES) {
            throw new IOException("the " + stack.size() + " layers of snapshot \"" + snapshot.name()
                    + "\" need more than the one page of mount options that the kernel takes");
        }
        return List.of(mount);
    }

    /** The kernel reads a tree's metadata page by page, each when it is needed; a container will need much of it. */
    private void expect(List<Snapshot> stack) {
        for (Snapshot layer : stack) {
            Digest digest = layer.layer();
            if (digest != null) {
                KnownLayer index = known.find(digest);
                if (index != null) {
                    index.index().expect();
                }
                try (OpenFile tree = OpenFile.forReading(trees.file(digest))) {
                    tree.expect(EXPECTED_BYTES);
                } catch (LinuxException e) {
                    LOG.log(System.Logger.Level.DEBUG, "a tree is not read ahead", e);
                }
            }
        }
    }

    private List<Path> lower(Snapshot snapshot, List<Snapshot> stack, boolean shortened) throws IOException {
        List<Path> lower = new ArrayList<>();
        for (Snapshot layer : stack.reversed()) {
            Path own = shortened && layer.layer() == null ? directories.shortContent(layer) : lowerOf(layer);
            Path above = implied.layer(layer, own, impliedBy(layer), lower);
            lower.addFirst(own);
            if (above != null) {
                lower.addFirst(above);
            }
        }
        IdMapping mapping = MappedLayers.mapping(snapshot.labels());
        if (mapping != null) {
            for (int i = 0; i < lower.size(); i++) {
                lower.set(i, mapped.layer(snapshot, i, lower.get(i), mapping));
            }
        }
        return lower;
    }

    private List<String> impliedBy(Snapshot snapshot) {
        Digest digest = snapshot.layer();
        KnownLayer layer = digest == null ? null : known.find(digest);
        return layer == null ? List.of() : layer.index().implied();
    }

    private Mount overlay(Snapshot snapshot, List<Path> lower, List<Path> objects) {
        StringBuilder layers = new StringBuilder("lowerdir=");
        for (int i = 0; i < lower.size(); i++) {
            layers.append(i == 0 ? "" : ":").append(lower.get(i));
        }
        objects.forEach(tier -> layers.append("::").append(tier));
        Mount.Builder mount = Mount.newBuilder().setType("overlay").setSource("overlay");
        boolean writable = snapshot.kind() == Snapshot.Kind.ACTIVE;
        if (writable) {
            mount.addOptions("workdir=" + directories.work(snapshot));
            mount.addOptions("upperdir=" + directories.content(snapshot));
        }
        mount.addOptions(layers.toString());
        mount.addOptions("index=off");
        if (!objects.isEmpty()) {
            mount.addOptions("metacopy=on");
        }
        // Also without objects: so that a directory of an image can be renamed, as on a disk.
        mount.addOptions("redirect_dir=on");
        if (!writable) {
            mount.addOptions("ro");
        }
        return mount.build();
    }

    private static int optionsLength(Mount mount) {
        return mount.getOptionsList().stream().mapToInt(String::length).sum() + mount.getOptionsCount() - 1;
    }

    /** Says that a snapshot is gone. */
    public void removed(Snapshot snapshot) {
        startUps.ended(snapshot.name());
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
