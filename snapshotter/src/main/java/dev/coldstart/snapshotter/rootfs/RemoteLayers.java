package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.linux.FileAttributes;
import dev.coldstart.snapshotter.content.ContentStore;
import dev.coldstart.snapshotter.content.LayerResolver;
import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.RegistrySource;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ObjectSink;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.metadata.MetadataStore;
import dev.coldstart.snapshotter.metadata.Snapshot;
import dev.coldstart.snapshotter.metadata.SnapshotException;
import dev.coldstart.snapshotter.object.ObjectStore;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Makes a layer usable without containerd's help: finds out which it is, has its index and tree (made in one pass over
 * the blob if they are not here), mounts the tree and records the snapshot. Of several who ask for one layer, one works
 * and the others wait.
 *
 * <p>containerd asks for an image's layers one after the other, each when it has the answer for the one below. So the
 * first of them to be asked for starts the work for all.
 */
public final class RemoteLayers {
    /**
     * Layers that are read at the same time: as many as containerd downloads by default. More of them would take memory
     * for the names of one more layer each, and hardly be faster: a pass keeps up to two cores busy.
     */
    private static final int PASSES = 3;

    private final MetadataStore metadata;
    private final ContentStore content;
    private final LayerResolver resolver;
    private final RegistrySource registry;
    private final ObjectStore objects;
    private final KnownLayers known;
    private final LayerMounts trees;
    private final Path indexes;
    private final List<IndexOrigin> origins;
    private final AtomicInteger passes = new AtomicInteger();
    private final Semaphore turns = new Semaphore(PASSES, true);
    private final ConcurrentHashMap<Digest, ReentrantLock> locks = new ConcurrentHashMap<>();
    /** Layers that were begun with before anybody asked for them. */
    private final Set<Digest> begun = ConcurrentHashMap.newKeySet();

    public RemoteLayers(
            MetadataStore metadata,
            ContentStore content,
            LayerResolver resolver,
            RegistrySource registry,
            ObjectStore objects,
            KnownLayers known,
            LayerMounts trees,
            Path indexes,
            List<IndexOrigin> origins)
            throws IOException {
        this.metadata = metadata;
        this.content = content;
        this.resolver = resolver;
        this.registry = registry;
        this.objects = objects;
        this.known = known;
        this.trees = trees;
        this.indexes = indexes;
        this.origins = List.copyOf(origins);
        Files.createDirectories(indexes);
        Path treeFiles = Objects.requireNonNull(
                trees.file(new Digest("sha256", "0".repeat(64))).getParent());
        Files.createDirectories(treeFiles);
        deleteTorn(indexes);
        deleteTorn(treeFiles);
    }

    /** What a process that was killed was about to write. */
    private static void deleteTorn(Path directory) throws IOException {
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory, ".{new,spool}*")) {
            for (Path file : files) {
                Files.delete(file);
            }
        }
    }

    /** Mounts the trees of all committed snapshots; says in the log which cannot be. Asks no registry. */
    public void recover() {
        Set<Digest> wanted = new HashSet<>();
        for (Snapshot snapshot : metadata.catalog().snapshots()) {
            Digest layer = snapshot.layer();
            if (layer == null || !wanted.add(layer)) {
                continue;
            }
            try {
                var _ = known.add(layer, index(layer));
                var _ = trees.mount(layer);
            } catch (IOException e) {
                System.getLogger(RemoteLayers.class.getName())
                        .log(
                                System.Logger.Level.WARNING,
                                "layer {0} cannot be mounted, containers of images with it will not start until it is pulled again: {1}",
                                layer,
                                e.getMessage());
            }
        }
        trees.retain(wanted);
    }

    /**
     * Makes the committed snapshot of a chain ID.
     *
     * @throws SnapshotException if the parent is not a committed snapshot
     * @throws IOException if the layer cannot be had; the message says why
     */
    public Snapshot prepare(String namespace, String parent, Digest chainId, Map<String, String> labels)
            throws IOException, SnapshotException {
        ResolvedLayer layer = resolver.resolve(namespace, chainId, labels);
        if (!isIndexed(layer.layer())) {
            begin(namespace, layer);
        }
        ReentrantLock lock = lock(layer.layer());
        lock.lock();
        try {
            have(namespace, layer);
            var _ = trees.mount(layer.layer());
            long size = Files.size(trees.file(layer.layer())) + Files.size(index(layer.layer()));
            return metadata.createRemote(chainId.toString(), parent, layer.layer(), labels, size);
        } finally {
            lock.unlock();
        }
    }

    /** Begins with the other layers of the image, the largest first: it takes longest. */
    private void begin(String namespace, ResolvedLayer asked) {
        ResolvedLayer.Image image = asked.image();
        if (image == null) {
            return;
        }
        List<ResolvedLayer> others = new ArrayList<>();
        for (int at = 0; at < image.layers().size(); at++) {
            Digest digest = image.layers().get(at).digest();
            if (!digest.equals(asked.layer())
                    && image.layers().get(at).readableLayer()
                    && !isIndexed(digest)
                    && begun.add(digest)) {
                others.add(image.layer(
                        at,
                        asked.sources().stream()
                                .map(source -> new LayerSource(digest, source.host(), source.repository()))
                                .toList()));
            }
        }
        others.sort(Comparator.comparingLong(ResolvedLayer::size).reversed());
        for (ResolvedLayer layer : others) {
            Thread.ofVirtual()
                    .name("layer-" + layer.layer().hex().substring(0, 12))
                    .start(() -> {
                        ReentrantLock lock = lock(layer.layer());
                        lock.lock();
                        try {
                            have(namespace, layer);
                        } catch (IOException e) {
                            // Whoever asks for this layer tries again, and is told why it cannot be had.
                            System.getLogger(RemoteLayers.class.getName())
                                    .log(System.Logger.Level.DEBUG, "layer {0}: {1}", layer.layer(), e.getMessage());
                        } finally {
                            begun.remove(layer.layer());
                            lock.unlock();
                        }
                    });
        }
    }

    /** Has the layer's index and tree, made if they are not here or not sound. */
    private void have(String namespace, ResolvedLayer layer) throws IOException {
        for (LayerSource source : layer.sources()) {
            metadata.addSource(source);
        }
        if (isIndexed(layer.layer())) {
            try {
                var _ = known.add(layer.layer(), index(layer.layer()));
                return;
            } catch (IOException e) {
                System.getLogger(RemoteLayers.class.getName())
                        .log(
                                System.Logger.Level.WARNING,
                                "the index of layer {0} is made anew: {1}",
                                layer.layer(),
                                e.getMessage());
            }
        }
        if (!provided(layer)) {
            pass(() -> open(namespace, layer.layer()), layer, objects.sink(), ProgressListener.NONE);
            origins.forEach(origin -> origin.made(layer, this));
        }
        var _ = known.add(layer.layer(), index(layer.layer()));
    }

    /** Whether somebody else had made the layer's index and tree, which are here then. */
    private boolean provided(ResolvedLayer layer) {
        for (IndexOrigin origin : origins) {
            try {
                if (origin.provide(layer, index(layer.layer()), trees.file(layer.layer()))) {
                    return true;
                }
            } catch (IOException e) {
                System.getLogger(RemoteLayers.class.getName())
                        .log(
                                System.Logger.Level.WARNING,
                                "cannot use {0} for layer {1}: {2}",
                                origin.name(),
                                layer.layer(),
                                e.getMessage());
            }
        }
        return false;
    }

    /** Where a pass gets its blob. */
    private interface Opening {
        InputStream open() throws IOException;
    }

    /** Reads the layer once, when it is its turn, and leaves its index and tree. */
    private void pass(Opening blob, ResolvedLayer layer, @Nullable ObjectSink sink, ProgressListener progress)
            throws IOException {
        passes.incrementAndGet();
        turns.acquireUninterruptibly();
        try (InputStream in = new BufferedInputStream(blob.open(), 1 << 16)) {
            var _ = LayerIndexer.index(
                    in, layer.layer(), layer.diffId(), index(layer.layer()), trees.file(layer.layer()), sink, progress);
        } catch (IOException e) {
            throw explained(layer.layer(), e);
        } finally {
            turns.release();
            // Between passes little is alive, and the heap would stay as large as the largest layer made it.
            if (passes.decrementAndGet() == 0) {
                System.gc();
            }
        }
    }

    /** Whether a layer is being read whole. */
    public boolean reading() {
        return passes.get() > 0;
    }

    /** A full disk in words, because the JDK's say neither what nor where; and then objects have to make room. */
    private IOException explained(Digest layer, IOException e) {
        String message = e.getMessage();
        if (message == null || !message.contains("No space left on device")) {
            return e;
        }
        objects.refused();
        return new IOException(
                "no space is left for the index and the tree of layer " + layer + " in " + indexes.getParent(), e);
    }

    private InputStream open(String namespace, Digest layer) throws IOException {
        if (content.info(namespace, layer) != null) {
            return content.stream(namespace, layer);
        }
        return registry.openWhole(layer);
    }

    /** Whether index and tree of a layer are here. */
    public boolean isIndexed(Digest layer) {
        return Files.exists(index(layer)) && Files.exists(trees.file(layer));
    }

    /**
     * Makes a layer's index and tree without keeping its objects, unless they are here.
     *
     * @return whether they were here
     */
    public boolean index(ResolvedLayer layer, ProgressListener progress) throws IOException {
        ReentrantLock lock = lock(layer.layer());
        lock.lock();
        try {
            for (LayerSource source : layer.sources()) {
                metadata.addSource(source);
            }
            if (isIndexed(layer.layer())) {
                return true;
            }
            if (!provided(layer)) {
                pass(() -> registry.openWhole(layer.layer()), layer, null, progress);
                origins.forEach(origin -> origin.made(layer, this));
            }
            return false;
        } finally {
            lock.unlock();
        }
    }

    /** After a snapshot is gone: unmounts its tree if no other snapshot uses it. */
    public void released(Digest layer) {
        ReentrantLock lock = lock(layer);
        lock.lock();
        try {
            if (!metadata.catalog().uses(layer)) {
                trees.unmount(layer);
            }
        } finally {
            lock.unlock();
        }
    }

    /**
     * Deletes a layer's index and tree, unless a snapshot stands on it or somebody is at work on it. Who has the index open
     * keeps it, and may be asked for objects of the layer as before.
     *
     * @return bytes given back
     */
    long forget(Digest layer) throws IOException {
        ReentrantLock lock = lock(layer);
        if (!lock.tryLock()) {
            return 0;
        }
        try {
            if (metadata.catalog().uses(layer) || trees.find(layer) != null) {
                return 0;
            }
            // The index is what makes the layer known, so a process that dies in between leaves one to try again with.
            return delete(trees.file(layer)) + delete(index(layer));
        } finally {
            lock.unlock();
        }
    }

    private static long delete(Path file) throws IOException {
        if (!Files.exists(file)) {
            return 0;
        }
        long size = FileAttributes.allocatedBytes(file);
        Files.delete(file);
        return size;
    }

    /** The file of a layer's index. */
    public Path index(Digest layer) {
        return indexes.resolve(layer.hex() + ".idx");
    }

    /** The file of a layer's tree. */
    public Path tree(Digest layer) {
        return trees.file(layer);
    }

    private ReentrantLock lock(Digest layer) {
        return locks.computeIfAbsent(layer, key -> new ReentrantLock());
    }
}
