package dev.coldstart.snapshotter.sharing;

import dev.coldstart.snapshotter.content.ImageManifest;
import dev.coldstart.snapshotter.content.ImageManifest.Descriptor;
import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.Sha256;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.registry.ArtifactRegistry;
import dev.coldstart.snapshotter.registry.ArtifactRegistry.Repository;
import dev.coldstart.snapshotter.registry.RegistryException;
import dev.coldstart.snapshotter.rootfs.IndexOrigin;
import dev.coldstart.snapshotter.rootfs.RemoteLayers;
import dev.coldstart.snapshotter.trace.PrefetchWriter;
import dev.coldstart.snapshotter.trace.Traces;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Indexes in the repositories of the images that they are of, as artifacts that refer to the images' manifests: found by
 * whoever pulls the image and has the cluster's key.
 */
public final class PublishedIndexes implements IndexOrigin {
    private static final System.Logger LOG = System.getLogger(PublishedIndexes.class.getName());
    private static final int REMEMBERED = 64;
    /** How long it counts that an image has none: the layers of one pull, and not those of the next one. */
    private static final long REMEMBERED_NANOS = TimeUnit.SECONDS.toNanos(60);

    private final ClusterKey key;
    private final ArtifactRegistry registry;
    private final Traces traces;
    private final PublishedPrefetches prefetches;
    private final PrefetchWriter packer;
    private final boolean publishes;
    private final Set<Repository> refused = ConcurrentHashMap.newKeySet();
    /** What this node has published without a trace; guarded by itself. */
    private final Map<Digest, Publication> untraced = new LinkedHashMap<>() {
        @Override
        protected boolean removeEldestEntry(Map.Entry<Digest, Publication> eldest) {
            return size() > REMEMBERED;
        }
    };

    /** Images whose indexes are being published. */
    private final Set<Digest> publishing = ConcurrentHashMap.newKeySet();

    /** Images that are being asked for. */
    private final ConcurrentHashMap<Digest, ReentrantLock> locks = new ConcurrentHashMap<>();
    /** Guarded by itself. */
    private final Map<Digest, Found> found = new LinkedHashMap<>(16, 0.75f, true) {
        @Override
        protected boolean removeEldestEntry(Map.Entry<Digest, Found> eldest) {
            return size() > REMEMBERED;
        }
    };

    private record Publication(ResolvedLayer.Image image, LayerSource source, RemoteLayers layers) {}

    /** What was found for an image, and when. */
    private record Found(IndexArtifact artifact, @Nullable Repository repository, long nanos) {}

    /**
     * Asks nobody yet.
     *
     * @param prefetches seals prefetch blobs, and is told where they lie
     * @param packer makes those that are published
     * @param publishes whether what this node makes is published
     */
    public PublishedIndexes(
            ClusterKey key,
            ArtifactRegistry registry,
            Traces traces,
            PublishedPrefetches prefetches,
            PrefetchWriter packer,
            boolean publishes) {
        this.key = key;
        this.registry = registry;
        this.traces = traces;
        this.prefetches = prefetches;
        this.packer = packer;
        this.publishes = publishes;
    }

    @Override
    public String name() {
        return "the published index";
    }

    @Override
    public boolean provide(ResolvedLayer layer, Path index, Path tree) throws IOException {
        ResolvedLayer.Image image = layer.image();
        if (image == null || layer.sources().isEmpty()) {
            return false;
        }
        Found published = find(image, layer.sources());
        IndexArtifact.Blob bundle = published.artifact().bundles().get(layer.layer());
        if (bundle == null || published.repository() == null) {
            return false;
        }
        LayerBundle.read(registry.blob(published.repository(), bundle.digest()), key, layer, index, tree, traces);
        return true;
    }

    /** Asks once for all layers of an image; those that ask meanwhile wait for the answer, other images' do not. */
    private Found find(ResolvedLayer.Image image, List<LayerSource> sources) throws IOException {
        ReentrantLock lock = locks.computeIfAbsent(image.manifest(), key -> new ReentrantLock());
        lock.lock();
        try {
            Found known;
            synchronized (found) {
                known = found.get(image.manifest());
            }
            if (known != null && (known.repository() != null || System.nanoTime() - known.nanos() < REMEMBERED_NANOS)) {
                return known;
            }
            return ask(image, sources);
        } finally {
            lock.unlock();
            locks.remove(image.manifest(), lock);
        }
    }

    private Found ask(ResolvedLayer.Image image, List<LayerSource> sources) throws IOException {
        Found fresh = new Found(new IndexArtifact(Map.of(), Map.of()), null, System.nanoTime());
        IOException last = null;
        for (LayerSource source : sources) {
            Repository repository = new Repository(source.host(), source.repository());
            try {
                IndexArtifact artifact = look(image, repository);
                if (!artifact.bundles().isEmpty()) {
                    fresh = new Found(artifact, repository, System.nanoTime());
                    last = null;
                    break;
                }
            } catch (IOException e) {
                last = e;
            }
        }
        synchronized (found) {
            found.put(image.manifest(), fresh);
        }
        if (last != null) {
            throw last;
        }
        return fresh;
    }

    /** All that is published in a repository for an image. */
    private IndexArtifact look(ResolvedLayer.Image image, Repository repository) throws IOException {
        Map<Digest, IndexArtifact.Blob> all = new LinkedHashMap<>();
        byte[] referrers = registry.referrers(repository, image.manifest(), IndexArtifact.TYPE);
        if (referrers != null) {
            for (Descriptor artifact : ImageManifest.parse(referrers).manifests()) {
                if (artifact.artifactType().equals(IndexArtifact.TYPE)) {
                    // Of two bundles of one layer the larger one also knows of a start.
                    IndexArtifact.parse(registry.manifest(repository, artifact.digest()))
                            .bundles()
                            .forEach((layer, blob) ->
                                    all.merge(layer, blob, (one, other) -> one.size() >= other.size() ? one : other));
                }
            }
        }
        return new IndexArtifact(all, Map.of());
    }

    @Override
    public void made(ResolvedLayer layer, RemoteLayers layers) {
        ResolvedLayer.Image image = layer.image();
        if (publishes
                && image != null
                && !layer.sources().isEmpty()
                && digests(image).stream().allMatch(layers::isIndexed)) {
            Publication publication = new Publication(image, layer.sources().getFirst(), layers);
            synchronized (untraced) {
                untraced.put(image.manifest(), publication);
            }
            publish(publication);
        }
    }

    /** A start was recorded: what was published of an image with these layers is published again, once, with its trace. */
    public void learned(Set<Digest> layers) {
        List<Publication> again;
        synchronized (untraced) {
            again = untraced.values().stream()
                    .filter(publication -> digests(publication.image()).stream().anyMatch(layers::contains))
                    .toList();
            again.forEach(publication -> untraced.remove(publication.image().manifest()));
        }
        again.forEach(this::publish);
    }

    /** Publishes what is known of an image's layers, in the background, unless the registry has refused that before. */
    private void publish(Publication publication) {
        ResolvedLayer.Image image = publication.image();
        LayerSource source = publication.source();
        Repository repository = new Repository(source.host(), source.repository());
        if (refused.contains(repository) || !publishing.add(image.manifest())) {
            return;
        }
        Thread.ofVirtual().name("publish").start(() -> {
            try {
                push(image, repository, publication.layers());
            } catch (RegistryException e) {
                if (e.reason() == RegistryException.Reason.DENIED) {
                    refused.add(repository);
                }
                LOG.log(
                        System.Logger.Level.WARNING,
                        "no indexes are published in {0}: {1}",
                        repository,
                        e.getMessage());
            } catch (IOException e) {
                LOG.log(System.Logger.Level.WARNING, "cannot publish indexes in {0}: {1}", repository, e.getMessage());
            } finally {
                publishing.remove(image.manifest());
            }
        });
    }

    private static List<Digest> digests(ResolvedLayer.Image image) {
        return image.layers().stream().map(Descriptor::digest).toList();
    }

    private void push(ResolvedLayer.Image image, Repository repository, RemoteLayers layers) throws IOException {
        Map<Digest, IndexArtifact.Blob> bundles = new LinkedHashMap<>();
        Map<Digest, IndexArtifact.Blob> blobs = new LinkedHashMap<>();
        Path file = Files.createTempFile(layers.index(image.manifest()).getParent(), ".new", "");
        try {
            for (Digest layer : digests(image)) {
                if (!layers.isIndexed(layer) || bundles.containsKey(layer)) {
                    continue;
                }
                IndexArtifact.Blob prefetch = put(repository, file, out -> pack(layer, out));
                if (prefetch != null) {
                    blobs.put(layer, prefetch);
                    prefetches.published(layer, repository, prefetch.digest());
                }
                IndexArtifact.Blob bundle = put(repository, file, out -> {
                    LayerBundle.write(out, key, layer, layers.index(layer), layers.tree(layer), traces);
                    return true;
                });
                if (bundle != null) {
                    bundles.put(layer, bundle);
                }
            }
            Files.write(file, IndexArtifact.CONFIG);
            registry.put(repository, Digest.ofContent(IndexArtifact.CONFIG), file);
        } finally {
            Files.deleteIfExists(file);
        }
        byte[] manifest = new IndexArtifact(bundles, blobs).manifest(image);
        if (!registry.put(repository, Digest.ofContent(manifest), manifest)) {
            byte[] tag = registry.referrersTag(repository, image.manifest());
            ImageManifest before = ImageManifest.parse(tag == null ? IndexArtifact.CONFIG : tag);
            registry.putReferrersTag(repository, image.manifest(), IndexArtifact.referrers(before, manifest));
        }
    }

    private boolean pack(Digest layer, OutputStream to) throws IOException {
        try (OutputStream out = prefetches.seal(to, layer)) {
            return packer.write(layer, out);
        } catch (IOException e) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "what starts read of layer {0} is not packed for other nodes: {1}",
                    layer,
                    e.getMessage());
            return false;
        }
    }

    /** What is to be published; answers false if nothing is. */
    private interface Content {
        boolean write(OutputStream to) throws IOException;
    }

    /**
     * Publishes a blob.
     *
     * @param file where it is put together
     */
    private IndexArtifact.@Nullable Blob put(Repository repository, Path file, Content content) throws IOException {
        MessageDigest sha256 = Sha256.digest();
        try (OutputStream out = new DigestOutputStream(Files.newOutputStream(file), sha256)) {
            if (!content.write(out)) {
                return null;
            }
        }
        Digest digest = Digest.of(sha256.digest());
        registry.put(repository, digest, file);
        return new IndexArtifact.Blob(digest, Files.size(file));
    }
}
