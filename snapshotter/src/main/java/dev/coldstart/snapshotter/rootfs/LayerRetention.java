package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.linux.Errno;
import dev.coldstart.linux.FileAttributes;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.metadata.Catalog;
import dev.coldstart.snapshotter.metadata.MetadataStore;
import dev.coldstart.snapshotter.metadata.Snapshot;
import dev.coldstart.snapshotter.object.Pins;
import dev.coldstart.snapshotter.object.Retention;
import dev.coldstart.snapshotter.object.Tier;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Which layers matter: those under an active snapshot or a view, whose overlays may be mounted, and those that the planner
 * wants, are pinned; of the others the time of last use is the time of the tree's file.
 */
public final class LayerRetention implements Retention {
    private static final System.Logger LOG = System.getLogger(LayerRetention.class.getName());

    private final MetadataStore metadata;
    private final KnownLayers known;
    private final LayerMounts trees;
    private final RemoteLayers remote;
    private final Path indexes;
    private final Pins pins;

    /** @param indexes where the layers' indexes lie, {@code HEX.idx} */
    public LayerRetention(
            MetadataStore metadata,
            KnownLayers known,
            LayerMounts trees,
            RemoteLayers remote,
            Path indexes,
            Pins pins) {
        this.metadata = metadata;
        this.known = known;
        this.trees = trees;
        this.remote = remote;
        this.indexes = indexes;
        this.pins = pins;
    }

    @Override
    public List<Layer> layers() throws IOException {
        Set<Digest> pinned = underSnapshots();
        pinned.addAll(pins.all().keySet());
        Set<Digest> all = new HashSet<>(pinned);
        try (DirectoryStream<Path> files = Files.newDirectoryStream(indexes, "*.idx")) {
            for (Path file : files) {
                String name = file.getFileName().toString();
                try {
                    all.add(new Digest("sha256", name.substring(0, name.length() - ".idx".length())));
                } catch (IllegalArgumentException e) {
                    LOG.log(System.Logger.Level.DEBUG, "{0} is not an index of ours", file);
                }
            }
        }
        List<Layer> layers = new ArrayList<>();
        for (Digest digest : all) {
            KnownLayer open = known.find(digest);
            LayerIndex index = open == null ? read(digest) : open.index();
            layers.add(new Layer(digest, index, used(digest), pinned.contains(digest), open != null));
        }
        layers.sort(Comparator.comparing(Layer::used));
        return layers;
    }

    private @Nullable LayerIndex read(Digest layer) {
        try {
            return LayerIndex.open(indexes.resolve(layer.hex() + ".idx"));
        } catch (IOException e) {
            LOG.log(System.Logger.Level.DEBUG, "cannot tell the objects of layer {0}: {1}", layer, e.getMessage());
            return null;
        }
    }

    private Instant used(Digest layer) {
        try {
            return Files.getLastModifiedTime(trees.file(layer)).toInstant();
        } catch (IOException e) {
            return Instant.EPOCH;
        }
    }

    @Override
    public boolean isPinned(Digest layer) {
        return pins.tier(layer) != null || underSnapshots().contains(layer);
    }

    @Override
    public long forget(Digest layer) throws IOException {
        return isPinned(layer) ? 0 : remote.forget(layer);
    }

    private Set<Digest> underSnapshots() {
        Catalog catalog = metadata.catalog();
        Set<Digest> layers = new HashSet<>();
        for (Snapshot snapshot : catalog.snapshots()) {
            if (snapshot.kind() != Snapshot.Kind.COMMITTED) {
                layers.addAll(under(catalog, snapshot));
            }
        }
        return layers;
    }

    private static List<Digest> under(Catalog catalog, Snapshot snapshot) {
        List<Digest> layers = new ArrayList<>();
        for (Snapshot at = snapshot; at != null; at = catalog.find(at.parent())) {
            Digest layer = at.layer();
            if (layer != null) {
                layers.add(layer);
            }
        }
        return layers;
    }

    /** Says that a snapshot was made, mounted or removed: its layers are the last to go. */
    public void used(Snapshot snapshot) {
        Instant now = Instant.now();
        for (Digest layer : under(metadata.catalog(), snapshot)) {
            try {
                FileAttributes.touch(trees.file(layer), now);
            } catch (LinuxException e) {
                if (e.errno() != Errno.ENOENT) {
                    LOG.log(System.Logger.Level.WARNING, "cannot note the use of a layer: {0}", e.getMessage());
                }
            }
        }
    }

    /** The layers that the planner wants in a tier, as far as their indexes are known. */
    public List<LayerIndex> wantedIn(Tier tier) {
        List<LayerIndex> wanted = new ArrayList<>();
        pins.all().forEach((digest, in) -> {
            KnownLayer layer = known.find(digest);
            if (in == tier && layer != null) {
                wanted.add(layer.index());
            }
        });
        return wanted;
    }
}
