package dev.coldstart.snapshotter.toc;

import dev.coldstart.snapshotter.content.ImageManifest;
import dev.coldstart.snapshotter.content.Referrers;
import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.fetch.BlobSource;
import dev.coldstart.snapshotter.layer.CheckpointedLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerException;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.registry.ImageReference;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.rootfs.IndexOrigin;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Layers with a SOCI index (soci-snapshotter, {@code soci/soci_index.go}): a manifest whose layers are one {@link Ztoc} for
 * each layer of the image above some size, each annotated with the layer's digest. Of version 2 the image's manifest says
 * the index's digest; one of version 1 refers to the image, so that who may write to the repository vouches for it.
 */
public final class SociOrigin implements IndexOrigin {
    private static final String PINNED = "com.amazon.soci.index-digest";
    private static final String TYPE_1 = "application/vnd.amazon.soci.index.v1+json";
    private static final String LAYER = "com.amazon.soci.image-layer-digest";
    private static final String ZTOC = "application/octet-stream";
    private static final long MAX_ZTOC =
            Math.min(256L << 20, Runtime.getRuntime().maxMemory() / 8);
    private static final int REMEMBERED = 64;
    private static final long REMEMBERED_NANOS = Duration.ofMinutes(1).toNanos();

    private final RegistryClient registry;
    private final BlobSource blobs;
    /** Null for indexes that the image names. */
    private final @Nullable Referrers referrers;
    /** The layers of an image are asked for one after the other. Guarded by itself. */
    private final Map<Place, Found> found = new LinkedHashMap<>(16, 0.75f, true) {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Place, Found> eldest) {
            return size() > REMEMBERED;
        }
    };

    /** @param index null if the image has none, or none could be had */
    private record Found(@Nullable ImageManifest index, long at) {}

    private record Place(String host, String repository, Digest image) {}

    private SociOrigin(RegistryClient registry, BlobSource blobs, @Nullable Referrers referrers) {
        this.registry = registry;
        this.blobs = blobs;
        this.referrers = referrers;
    }

    /** Indexes of version 2, which images name. */
    public static SociOrigin pinned(RegistryClient registry, BlobSource blobs) {
        return new SociOrigin(registry, blobs, null);
    }

    /** Indexes of version 1, which refer to images. */
    public static SociOrigin referring(RegistryClient registry, BlobSource blobs, Referrers referrers) {
        return new SociOrigin(registry, blobs, referrers);
    }

    @Override
    public String name() {
        return "the SOCI index";
    }

    @Override
    public boolean provide(ResolvedLayer layer, Path index, Path tree) throws IOException {
        ResolvedLayer.Image image = layer.image();
        String pin = image == null ? null : image.annotations().get(PINNED);
        Digest diffId = layer.diffId();
        if (image == null || diffId == null || layer.size() <= 0 || (referrers == null && pin == null)) {
            return false;
        }
        IOException told = null;
        for (LayerSource source : layer.sources()) {
            try {
                ImageManifest soci = index(source, image, pin);
                return soci != null && provide(layer, diffId, source, soci, index, tree);
            } catch (LayerException e) {
                throw e;
            } catch (IOException e) {
                if (told == null) {
                    told = e;
                } else {
                    told.addSuppressed(e);
                }
            }
        }
        if (told != null) {
            throw told;
        }
        return false;
    }

    private @Nullable ImageManifest index(LayerSource source, ResolvedLayer.Image image, @Nullable String pin)
            throws IOException {
        Place place = new Place(source.host(), source.repository(), image.manifest());
        synchronized (found) {
            Found known = found.get(place);
            if (known != null && System.nanoTime() - known.at() < REMEMBERED_NANOS) {
                return known.index();
            }
        }
        ImageManifest index = null;
        try {
            Digest digest = digest(source, image, pin);
            index = digest == null
                    ? null
                    : ImageManifest.parse(
                            registry.manifest(new ImageReference(source.host(), source.repository(), digest.toString()))
                                    .json()
                                    .getBytes(StandardCharsets.UTF_8));
        } finally {
            // A failure is remembered too: it would come again, and late, for every layer.
            synchronized (found) {
                found.put(place, new Found(index, System.nanoTime()));
            }
        }
        return index;
    }

    private @Nullable Digest digest(LayerSource source, ResolvedLayer.Image image, @Nullable String pin)
            throws IOException {
        if (referrers == null) {
            try {
                return Digest.parse(pin == null ? "" : pin);
            } catch (IllegalArgumentException e) {
                throw new LayerException("its image names a SOCI index by something else than a digest", e);
            }
        }
        List<ImageManifest.Descriptor> list =
                referrers.list(source.host(), source.repository(), image.manifest(), TYPE_1);
        return list.isEmpty() ? null : list.getFirst().digest();
    }

    private boolean provide(
            ResolvedLayer layer, Digest diffId, LayerSource source, ImageManifest soci, Path index, Path tree)
            throws IOException {
        for (ImageManifest.Descriptor ztoc : soci.layers()) {
            if (ztoc.mediaType().equals(ZTOC)
                    && layer.layer().toString().equals(ztoc.annotations().get(LAYER))) {
                make(layer, diffId, Ztoc.of(read(source, ztoc)), ztoc.digest(), index, tree);
                return true;
            }
        }
        return false;
    }

    private byte[] read(LayerSource source, ImageManifest.Descriptor ztoc) throws IOException {
        if (ztoc.size() > MAX_ZTOC) {
            throw new LayerException("its zTOC has " + ztoc.size() + " bytes");
        }
        byte[] bytes;
        try (InputStream in = registry.blob(source.host(), source.repository(), ztoc.digest())) {
            bytes = in.readNBytes((int) ztoc.size() + 1);
        }
        if (!Digest.ofContent(bytes).equals(ztoc.digest())) {
            throw new IOException("registry " + source.host() + " sent another zTOC than " + ztoc.digest());
        }
        return bytes;
    }

    private void make(ResolvedLayer layer, Digest diffId, Ztoc ztoc, Digest digest, Path index, Path tree)
            throws IOException {
        if (ztoc.blobSize() != layer.size()) {
            throw new LayerException(
                    "its zTOC is of a blob of " + ztoc.blobSize() + " bytes, and it has " + layer.size());
        }
        byte[] header = BlobRange.read(blobs, layer.layer(), 0, ztoc.headerBytes());
        try (CheckpointedLayer checkpointed = new CheckpointedLayer(index, tree, layer.layer(), digest)) {
            ztoc.addTo(checkpointed, header, diffId);
        }
    }
}
