package dev.coldstart.snapshotter.service;

import dev.coldstart.proto.v1.DiagnoseImageResponse;
import dev.coldstart.proto.v1.DiagnosedLayer;
import dev.coldstart.proto.v1.Severity;
import dev.coldstart.snapshotter.content.Containerd;
import dev.coldstart.snapshotter.content.ImageManifest;
import dev.coldstart.snapshotter.content.ImageManifest.Descriptor;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.metadata.Catalog;
import dev.coldstart.snapshotter.metadata.MetadataStore;
import dev.coldstart.snapshotter.metadata.Snapshot;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.registry.ImageReference;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.rootfs.LayerMounts;
import dev.coldstart.snapshotter.rootfs.RemoteLayers;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Looks at one image, layer by layer. Fetches its manifest and configuration, and changes nothing. */
public final class ImageDoctor {
    private static final List<String> NAMESPACES = List.of("default", "k8s.io", "moby");
    private static final int MAX_DOCUMENT = 4 << 20;

    private final RegistryClient registry;
    private final Containerd containerd;
    private final MetadataStore metadata;
    private final RemoteLayers layers;
    private final LayerMounts trees;
    private final KnownLayers known;
    private final Presence presence;

    /** Looks with these. */
    public ImageDoctor(
            RegistryClient registry,
            Containerd containerd,
            MetadataStore metadata,
            RemoteLayers layers,
            LayerMounts trees,
            KnownLayers known,
            ObjectStore objects) {
        this.registry = registry;
        this.containerd = containerd;
        this.metadata = metadata;
        this.layers = layers;
        this.trees = trees;
        this.known = known;
        this.presence = new Presence(objects);
    }

    /** @param chainIds one for each layer; empty if the configuration could not be read */
    private record Image(ImageManifest manifest, List<Digest> chainIds) {}

    private interface Documents {
        byte[] read(Digest document) throws IOException;
    }

    /**
     * Looks.
     *
     * @param platform {@code os/architecture}, of which there must be an image
     * @throws IllegalArgumentException if that is no name of an image
     * @throws IOException if the image is to be had nowhere; the message says why
     */
    DiagnoseImageResponse look(String name, String platform) throws IOException {
        ImageReference reference = ImageReference.parse(name);
        DiagnoseImageResponse.Builder answer = DiagnoseImageResponse.newBuilder();
        Image image;
        try {
            image = read(
                    registry.manifest(reference).json().getBytes(StandardCharsets.UTF_8),
                    platform,
                    digest -> fromRegistry(reference, digest));
        } catch (IOException e) {
            Image kept = fromContainerd(name, platform);
            if (kept == null) {
                throw e;
            }
            image = kept;
            answer.setRegistryFailure(String.valueOf(e.getMessage()));
        }
        List<Descriptor> descriptors = image.manifest().layers();
        for (int i = 0; i < descriptors.size(); i++) {
            Digest chainId = image.chainIds().size() == descriptors.size()
                    ? image.chainIds().get(i)
                    : null;
            answer.addLayers(look(descriptors.get(i), chainId));
        }
        return answer.build();
    }

    private byte[] fromRegistry(ImageReference image, Digest document) throws IOException {
        ImageReference exact = new ImageReference(image.host(), image.repository(), document.toString());
        try {
            return registry.manifest(exact).json().getBytes(StandardCharsets.UTF_8);
        } catch (IOException notAManifest) {
            try (InputStream blob = registry.blob(image.host(), image.repository(), document)) {
                return blob.readNBytes(MAX_DOCUMENT);
            } catch (IOException e) {
                e.addSuppressed(notAManifest);
                throw e;
            }
        }
    }

    private @Nullable Image fromContainerd(String name, String platform) {
        for (String namespace : NAMESPACES) {
            try {
                Digest target = containerd.image(namespace, name);
                if (target != null) {
                    return read(
                            containerd.read(namespace, target, MAX_DOCUMENT),
                            platform,
                            digest -> containerd.read(namespace, digest, MAX_DOCUMENT));
                }
            } catch (IOException e) {
                System.getLogger(ImageDoctor.class.getName())
                        .log(System.Logger.Level.DEBUG, "not in containerd's content store", e);
            }
        }
        return null;
    }

    private static Image read(byte[] document, String platform, Documents documents) throws IOException {
        ImageManifest manifest = ImageManifest.parse(document);
        if (manifest.config() == null) {
            Descriptor chosen = manifest.manifests().stream()
                    .filter(one -> one.platform().equals(platform))
                    .findFirst()
                    .orElseThrow(() -> new IOException("the image has nothing for " + platform));
            manifest = ImageManifest.parse(documents.read(chosen.digest()));
        }
        Descriptor config = manifest.config();
        List<Digest> chainIds = List.of();
        if (config != null) {
            try {
                chainIds = ImageManifest.chainIds(ImageManifest.diffIds(documents.read(config.digest())));
            } catch (IOException e) {
                System.getLogger(ImageDoctor.class.getName())
                        .log(System.Logger.Level.DEBUG, "an image's configuration cannot be read", e);
            }
        }
        return new Image(manifest, chainIds);
    }

    private DiagnosedLayer look(Descriptor layer, @Nullable Digest chainId) throws IOException {
        DiagnosedLayer.Builder found = DiagnosedLayer.newBuilder()
                .setLayer(layer.digest().toString())
                .setMediaType(layer.mediaType())
                .setBlobBytes(layer.size());
        boolean indexed = Files.exists(layers.index(layer.digest()));
        boolean tree = Files.exists(layers.tree(layer.digest()));
        found.setHasIndex(indexed).setHasTree(tree);
        if (indexed && tree) {
            count(layer.digest(), found);
        }
        Snapshot unpacked = unpacked(chainId);
        if (unpacked != null) {
            return found.setSeverity(Severity.SEVERITY_PROBLEM)
                    .setText("not lazy: containerd has unpacked it; remove the images that use it and pull them again"
                            + (indexed && tree ? "" : ", after 'coldstart index'"))
                    .build();
        }
        if (indexed && tree) {
            boolean mounted = trees.find(layer.digest()) != null;
            return metadata.catalog().uses(layer.digest()) && !mounted
                    ? found.setSeverity(Severity.SEVERITY_PROBLEM)
                            .setText(
                                    "pulled lazily, but its tree is not mounted; the log of coldstart-snapshotter says why")
                            .build()
                    : found.setSeverity(Severity.SEVERITY_FINE)
                            .setText(mounted ? "lazy, and mounted" : "lazy: a pull reads nothing of it")
                            .build();
        }
        if (!layer.readableLayer()) {
            return found.setSeverity(Severity.SEVERITY_PROBLEM)
                    .setText("not lazy: layers of type " + layer.mediaType()
                            + " cannot be indexed, so that containerd pulls and unpacks it")
                    .build();
        }
        return found.setSeverity(Severity.SEVERITY_WARNING)
                .setText((indexed || tree ? "its index or its tree is missing" : "no index yet")
                        + ": the first pull, or 'coldstart index', reads the whole of it once")
                .setBytesToRead(layer.size())
                .build();
    }

    private void count(Digest layer, DiagnosedLayer.Builder found) throws IOException {
        KnownLayer open = known.find(layer);
        if (open != null) {
            Presence.Held held = presence.look(open);
            found.setBytesPresent(held.bytes()).setBytesTotal(held.bytes() + held.missing());
            return;
        }
        try (LayerIndex index = LayerIndex.open(layers.index(layer))) {
            long total = 0;
            for (int row = 0; row < index.objectCount(); row++) {
                total += index.objectSize(row);
            }
            found.setBytesTotal(total);
        }
    }

    /** The ordinary snapshot that containerd made of this chain; null if there is none. Its name ends with the chain's. */
    private @Nullable Snapshot unpacked(@Nullable Digest chainId) {
        if (chainId == null) {
            return null;
        }
        Catalog catalog = metadata.catalog();
        return catalog.snapshots().stream()
                .filter(snapshot -> snapshot.layer() == null
                        && snapshot.kind() == Snapshot.Kind.COMMITTED
                        && snapshot.name().endsWith("/" + chainId))
                .findFirst()
                .orElse(null);
    }
}
