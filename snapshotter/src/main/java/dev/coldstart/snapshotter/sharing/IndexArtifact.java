package dev.coldstart.snapshotter.sharing;

import dev.coldstart.snapshotter.content.ImageManifest;
import dev.coldstart.snapshotter.content.ImageManifest.Descriptor;
import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.layer.Digest;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.json.JsonFactory;

/**
 * The manifest that names the bundles and the prefetch blobs of an image's layers: an OCI artifact (image-spec 1.1) whose
 * subject is the image's manifest, with a layer for each.
 *
 * @param bundles by the layer that each is of
 * @param prefetches by the layer that each is of: the bundles say where they are, so that they are named here only to be kept,
 *     and not read
 */
record IndexArtifact(Map<Digest, Blob> bundles, Map<Digest, Blob> prefetches) {
    static final String TYPE = "application/vnd.coldstart.index.v1";

    static final byte[] CONFIG = "{}".getBytes(StandardCharsets.US_ASCII);
    private static final String CONFIG_TYPE = "application/vnd.oci.empty.v1+json";
    private static final String MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
    private static final String INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
    private static final String LAYER = "dev.coldstart.layer";

    /** A blob of the artifact. */
    record Blob(Digest digest, long size) {}

    IndexArtifact {
        bundles = Map.copyOf(bundles);
        prefetches = Map.copyOf(prefetches);
    }

    /** Reads a manifest; blobs of other kinds are passed over. */
    static IndexArtifact parse(byte[] manifest) throws IOException {
        Map<Digest, Blob> bundles = new LinkedHashMap<>();
        for (Descriptor blob : ImageManifest.parse(manifest).layers()) {
            String layer = blob.annotations().get(LAYER);
            if (layer == null || !blob.mediaType().equals(LayerBundle.MEDIA_TYPE)) {
                continue;
            }
            try {
                bundles.put(Digest.parse(layer), new Blob(blob.digest(), blob.size()));
            } catch (IllegalArgumentException e) {
                throw new IOException("an artifact names a layer that cannot be: " + e.getMessage(), e);
            }
        }
        return new IndexArtifact(bundles, Map.of());
    }

    /** The manifest. */
    byte[] manifest(ResolvedLayer.Image subject) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (JsonGenerator json = new JsonFactory().createGenerator(ObjectWriteContext.empty(), out)) {
            json.writeStartObject();
            json.writeNumberProperty("schemaVersion", 2);
            json.writeStringProperty("mediaType", MANIFEST_TYPE);
            json.writeStringProperty("artifactType", TYPE);
            json.writeName("config");
            descriptor(json, CONFIG_TYPE, Digest.ofContent(CONFIG), CONFIG.length);
            json.writeEndObject();
            json.writeArrayPropertyStart("layers");
            for (Descriptor layer : subject.layers()) {
                blob(json, LayerBundle.MEDIA_TYPE, layer.digest(), bundles.get(layer.digest()));
                blob(json, PublishedPrefetches.MEDIA_TYPE, layer.digest(), prefetches.get(layer.digest()));
            }
            json.writeEndArray();
            json.writeName("subject");
            descriptor(json, subject.mediaType(), subject.manifest(), subject.size());
            json.writeEndObject();
            json.writeEndObject();
        }
        return out.toByteArray();
    }

    private static void blob(JsonGenerator json, String mediaType, Digest layer, @Nullable Blob blob) {
        if (blob != null) {
            descriptor(json, mediaType, blob.digest(), blob.size());
            json.writeObjectPropertyStart("annotations");
            json.writeStringProperty(LAYER, layer.toString());
            json.writeEndObject();
            json.writeEndObject();
        }
    }

    /**
     * The index that stands in for the referrers API (distribution-spec 1.1, Referrers Tag Schema), with this artifact
     * instead of an earlier one.
     *
     * @param before as it is
     */
    static byte[] referrers(ImageManifest before, byte[] artifact) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (JsonGenerator json = new JsonFactory().createGenerator(ObjectWriteContext.empty(), out)) {
            json.writeStartObject();
            json.writeNumberProperty("schemaVersion", 2);
            json.writeStringProperty("mediaType", INDEX_TYPE);
            json.writeArrayPropertyStart("manifests");
            for (Descriptor other : before.manifests()) {
                if (!other.artifactType().equals(TYPE)) {
                    referrer(json, other);
                }
            }
            referrer(
                    json,
                    new Descriptor(MANIFEST_TYPE, Digest.ofContent(artifact), artifact.length, "", TYPE, Map.of()));
            json.writeEndArray();
            json.writeEndObject();
        }
        return out.toByteArray();
    }

    private static void referrer(JsonGenerator json, Descriptor descriptor) {
        descriptor(json, descriptor.mediaType(), descriptor.digest(), descriptor.size());
        if (!descriptor.artifactType().isEmpty()) {
            json.writeStringProperty("artifactType", descriptor.artifactType());
        }
        if (!descriptor.annotations().isEmpty()) {
            json.writeObjectPropertyStart("annotations");
            descriptor.annotations().forEach(json::writeStringProperty);
            json.writeEndObject();
        }
        json.writeEndObject();
    }

    /** Begins a descriptor, which the caller ends. */
    private static void descriptor(JsonGenerator json, String mediaType, Digest digest, long size) {
        json.writeStartObject();
        json.writeStringProperty("mediaType", mediaType);
        json.writeStringProperty("digest", digest.toString());
        json.writeNumberProperty("size", size);
    }
}
