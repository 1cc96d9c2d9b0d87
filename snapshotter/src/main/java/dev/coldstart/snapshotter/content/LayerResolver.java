package dev.coldstart.snapshotter.content;

import dev.coldstart.snapshotter.content.ContentStore.Blob;
import dev.coldstart.snapshotter.content.ImageManifest.Descriptor;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.registry.ImageReference;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Finds the layer that a chain ID ends with: among the manifests in containerd's content store, newest first, the one whose
 * configuration has these diffIDs. The labels {@code cri.*} are a shortcut where a client sends them.
 */
public final class LayerResolver {
    private static final String CRI_LAYER = "containerd.io/snapshot/cri.layer-digest";
    private static final String CRI_IMAGE = "containerd.io/snapshot/cri.image-ref";
    private static final String CRI_MANIFEST = "containerd.io/snapshot/cri.manifest-digest";
    private static final String SOURCE = "containerd.io/distribution.source.";
    /** Set on a manifest when its children are known, which is before they are fetched. */
    private static final String MANIFESTS = "labels.\"containerd.io/gc.ref.content.config\"";

    private static final int MAX_DOCUMENT = 4 << 20;
    private static final int REMEMBERED = 256;

    private final ContentStore content;
    private final Supplier<Set<String>> configuredHosts;
    private final Map<Digest, Image> images = new LinkedHashMap<>(16, 0.75f, true) {
        @Override
        protected boolean removeEldestEntry(Map.Entry<Digest, Image> eldest) {
            return size() > REMEMBERED;
        }
    };

    /** A manifest with what its configuration says; immutable, as both are named by their digests. */
    private record Image(ResolvedLayer.Image resolved, List<Digest> chainIds, Digest config) {}

    /**
     * Asks this content store.
     *
     * @param configuredHosts registries (HOST:PORT) that we have heard of: containerd's labels lack the port
     */
    public LayerResolver(ContentStore content, Supplier<Set<String>> configuredHosts) {
        this.content = content;
        this.configuredHosts = configuredHosts;
    }

    /**
     * Finds the layer.
     *
     * @param labels of the snapshot that is asked for
     * @throws IOException if it cannot be found; the message says why
     */
    public ResolvedLayer resolve(String namespace, Digest chainId, Map<String, String> labels) throws IOException {
        ResolvedLayer named = byLabels(namespace, chainId, labels);
        if (named != null) {
            return named;
        }
        for (String filter : List.of(MANIFESTS, "")) {
            List<Blob> blobs = new ArrayList<>(content.list(namespace, filter));
            blobs.sort(Comparator.comparingLong(Blob::createdSeconds).reversed());
            for (Blob blob : blobs) {
                if (blob.size() > MAX_DOCUMENT) {
                    continue;
                }
                Image image = image(namespace, blob, filter.isEmpty());
                int at = image == null ? -1 : image.chainIds().indexOf(chainId);
                if (image != null && at >= 0) {
                    return layer(namespace, blob, image, at);
                }
            }
        }
        throw new IOException(
                "no image in containerd's content store (namespace " + namespace + ") has chain ID " + chainId);
    }

    private @Nullable ResolvedLayer byLabels(String namespace, Digest chainId, Map<String, String> labels)
            throws IOException {
        String layer = labels.get(CRI_LAYER);
        String image = labels.get(CRI_IMAGE);
        if (layer == null || image == null) {
            return null;
        }
        try {
            Digest digest = Digest.parse(layer);
            ImageReference reference = ImageReference.parse(image);
            List<LayerSource> sources = List.of(new LayerSource(digest, reference.host(), reference.repository()));
            String manifest = labels.get(CRI_MANIFEST);
            Blob blob = manifest == null ? null : content.info(namespace, Digest.parse(manifest));
            Image found = blob == null ? null : image(namespace, blob, true);
            int at = found == null ? -1 : found.chainIds().indexOf(chainId);
            if (found != null
                    && at >= 0
                    && found.resolved().layers().get(at).digest().equals(digest)) {
                return found.resolved().layer(at, sources);
            }
            return new ResolvedLayer(digest, null, "", 0, Map.of(), null, sources);
        } catch (IllegalArgumentException e) {
            throw new IOException("the labels of the snapshot make no sense: " + e.getMessage(), e);
        }
    }

    private ResolvedLayer layer(String namespace, Blob manifest, Image image, int at) throws IOException {
        Descriptor descriptor = image.resolved().layers().get(at);
        if (!descriptor.readableLayer()) {
            throw new IOException("layer " + descriptor.digest() + " is of type " + descriptor.mediaType()
                    + ", and only gzip, zstd and plain tar can be served lazily");
        }
        Set<LayerSource> sources = new LinkedHashSet<>();
        addSources(namespace, manifest, descriptor.digest(), sources);
        for (Digest other : List.of(image.config(), descriptor.digest())) {
            Blob blob = content.info(namespace, other);
            if (blob != null) {
                addSources(namespace, blob, descriptor.digest(), sources);
            }
        }
        return image.resolved().layer(at, List.copyOf(sources));
    }

    private void addSources(String namespace, Blob blob, Digest layer, Set<LayerSource> sources) throws IOException {
        for (Map.Entry<String, String> label : blob.labels().entrySet()) {
            if (!label.getKey().startsWith(SOURCE)) {
                continue;
            }
            String host = label.getKey().substring(SOURCE.length());
            List<String> hosts = hosts(namespace, host);
            for (String repository : label.getValue().split(",", 64)) {
                if (!repository.isBlank()) {
                    hosts.forEach(candidate -> sources.add(new LayerSource(layer, candidate, repository.strip())));
                }
            }
        }
    }

    /**
     * containerd notes a registry without its port. Those that we know by that name, with a port, come first: the label
     * of a registry on its protocol's own port looks the same, but then there is rarely another one.
     */
    private List<String> hosts(String namespace, String host) throws IOException {
        Set<String> candidates = new LinkedHashSet<>();
        if (!host.contains(":")) {
            configuredHosts.get().stream()
                    .filter(known -> known.startsWith(host + ":"))
                    .sorted()
                    .forEach(candidates::add);
            for (String name : content.imageNames(namespace)) {
                int slash = name.indexOf('/');
                if (slash > 0 && name.startsWith(host + ":")) {
                    candidates.add(name.substring(0, slash));
                }
            }
        }
        candidates.add(host);
        return List.copyOf(candidates);
    }

    private @Nullable Image image(String namespace, Blob blob, boolean guessing) {
        synchronized (images) {
            Image known = images.get(blob.digest());
            if (known != null) {
                return known;
            }
        }
        Image image;
        try {
            ImageManifest manifest = ImageManifest.parse(content.read(namespace, blob.digest(), MAX_DOCUMENT));
            Descriptor config = manifest.config();
            if (config == null || manifest.layers().isEmpty()) {
                return null;
            }
            List<Digest> diffIds = ImageManifest.diffIds(content.read(namespace, config.digest(), MAX_DOCUMENT));
            if (diffIds.size() != manifest.layers().size()) {
                return null;
            }
            image = new Image(
                    new ResolvedLayer.Image(
                            blob.digest(),
                            manifest.mediaType(),
                            blob.size(),
                            manifest.annotations(),
                            manifest.layers(),
                            diffIds),
                    ImageManifest.chainIds(diffIds),
                    config.digest());
        } catch (IOException e) {
            // Another kind of blob, or an image whose configuration is not (yet) here: not the one that is asked for.
            if (!guessing) {
                System.getLogger(LayerResolver.class.getName())
                        .log(System.Logger.Level.DEBUG, "passing over {0}: {1}", blob.digest(), e.getMessage());
            }
            return null;
        }
        synchronized (images) {
            images.put(blob.digest(), image);
        }
        return image;
    }
}
