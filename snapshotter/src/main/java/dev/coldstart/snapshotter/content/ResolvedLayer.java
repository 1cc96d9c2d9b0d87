package dev.coldstart.snapshotter.content;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.LayerSource;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A layer that a chain ID ends with.
 *
 * @param diffId of its tar, if known
 * @param mediaType of its blob; empty if not known
 * @param size bytes of its blob; 0 if not known
 * @param annotations of the layer's descriptor
 * @param image that names the layer, if known
 * @param sources registries that may have it, the likeliest first; empty if nothing names one
 */
public record ResolvedLayer(
        Digest layer,
        @Nullable Digest diffId,
        String mediaType,
        long size,
        Map<String, String> annotations,
        @Nullable Image image,
        List<LayerSource> sources) {

    /**
     * The image by which a layer was found.
     *
     * @param manifest digest of its manifest
     * @param mediaType of its manifest
     * @param size bytes of its manifest
     * @param annotations of the manifest
     * @param layers all layers of the image, from the base up
     * @param diffIds of the layers in the same order; empty if not known
     */
    public record Image(
            Digest manifest,
            String mediaType,
            long size,
            Map<String, String> annotations,
            List<ImageManifest.Descriptor> layers,
            List<Digest> diffIds) {

        /** One layer of the image. */
        public ResolvedLayer layer(int at, List<LayerSource> sources) {
            ImageManifest.Descriptor layer = layers.get(at);
            return new ResolvedLayer(
                    layer.digest(),
                    diffIds.isEmpty() ? null : diffIds.get(at),
                    layer.mediaType(),
                    layer.size(),
                    layer.annotations(),
                    this,
                    sources);
        }
    }
}
