import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.rehearsal.GeneratedLayer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * A generated image.
 *
 * @param manifest its digest
 * @param documents manifest and configuration, by digest: what containerd fetches itself
 * @param layers from the base up
 */
record ImageFiles(Digest manifest, Map<Digest, byte[]> documents, List<GeneratedLayer> layers) {
    private static final String MANIFEST = "application/vnd.oci.image.manifest.v1+json";
    private static final String CONFIG = "application/vnd.oci.image.config.v1+json";
    private static final String LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";

    static ImageFiles of(List<GeneratedLayer> layers) {
        String diffIds = layers.stream()
                .map(layer -> "\"" + layer.diffId() + '"')
                .collect(Collectors.joining(","));
        byte[] config = "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}"
                .formatted(diffIds)
                .getBytes(StandardCharsets.UTF_8);
        String descriptors = layers.stream()
                .map(layer -> descriptor(LAYER, layer.digest(), layer.blob().length))
                .collect(Collectors.joining(","));
        byte[] manifest = "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":%s,\"layers\":[%s]}"
                .formatted(MANIFEST, descriptor(CONFIG, Digest.ofContent(config), config.length), descriptors)
                .getBytes(StandardCharsets.UTF_8);
        Map<Digest, byte[]> documents = new HashMap<>();
        documents.put(Digest.ofContent(config), config);
        documents.put(Digest.ofContent(manifest), manifest);
        return new ImageFiles(Digest.ofContent(manifest), documents, layers);
    }

    /** What containerd names the snapshots of its layers by, from the base up (OCI image-spec, config.md). */
    List<String> chainIds() {
        List<String> ids = new ArrayList<>();
        for (GeneratedLayer layer : layers) {
            String diffId = layer.diffId().toString();
            ids.add(
                    ids.isEmpty()
                            ? diffId
                            : Digest.ofContent((ids.getLast() + " " + diffId).getBytes(StandardCharsets.UTF_8))
                                    .toString());
        }
        return ids;
    }

    private static String descriptor(String type, Digest digest, int size) {
        return "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%d}".formatted(type, digest, size);
    }
}
