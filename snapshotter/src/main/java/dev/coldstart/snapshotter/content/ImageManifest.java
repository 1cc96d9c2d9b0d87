package dev.coldstart.snapshotter.content;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.json.JsonFactory;

/**
 * What we read of an image manifest or index (OCI image-spec; docker's schema 2 has the same fields).
 *
 * @param mediaType what it is; OCI's type of an image manifest if it does not say so
 * @param config null in an index
 * @param layers from the base up
 * @param manifests in an index, one for each platform
 * @param annotations of the manifest itself
 */
public record ImageManifest(
        String mediaType,
        @Nullable Descriptor config,
        List<Descriptor> layers,
        List<Descriptor> manifests,
        Map<String, String> annotations) {
    private static final int MAX_ELEMENTS = 4096;
    private static final JsonFactory JSON = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(64)
                    .maxStringLength(1 << 20)
                    .build())
            .build();
    private static final Set<String> READABLE_LAYERS = Set.of(
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.diff.tar.zstd",
            "application/vnd.docker.image.rootfs.foreign.diff.tar",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");

    /**
     * A blob that a manifest names.
     *
     * @param platform {@code os/architecture}, or empty
     * @param artifactType of a manifest that is no image, or empty
     */
    public record Descriptor(
            String mediaType,
            Digest digest,
            long size,
            String platform,
            String artifactType,
            Map<String, String> annotations) {
        /** Whether we can index the layer: gzip, zstd or plain tar. */
        public boolean readableLayer() {
            return READABLE_LAYERS.contains(mediaType);
        }
    }

    /** Reads a manifest or an index. */
    public static ImageManifest parse(byte[] json) throws IOException {
        String mediaType = "application/vnd.oci.image.manifest.v1+json";
        Descriptor config = null;
        List<Descriptor> layers = List.of();
        List<Descriptor> manifests = List.of();
        Map<String, String> annotations = Map.of();
        try (JsonParser parser = JSON.createParser(ObjectReadContext.empty(), json)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new IOException("not a JSON object");
            }
            while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
                String field = parser.currentName();
                JsonToken value = parser.nextToken();
                if (field.equals("mediaType") && value == JsonToken.VALUE_STRING) {
                    mediaType = parser.getString();
                } else if (field.equals("config") && value == JsonToken.START_OBJECT) {
                    config = descriptor(parser);
                } else if (field.equals("layers") && value == JsonToken.START_ARRAY) {
                    layers = descriptors(parser);
                } else if (field.equals("manifests") && value == JsonToken.START_ARRAY) {
                    manifests = descriptors(parser);
                } else if (field.equals("annotations") && value == JsonToken.START_OBJECT) {
                    annotations = strings(parser);
                } else {
                    parser.skipChildren();
                }
            }
            return new ImageManifest(mediaType, config, layers, manifests, annotations);
        } catch (JacksonException | IllegalArgumentException e) {
            throw new IOException("not an image manifest: " + e.getMessage(), e);
        }
    }

    /** The diffIDs in an image configuration, from the base up. */
    public static List<Digest> diffIds(byte[] json) throws IOException {
        try (JsonParser parser = JSON.createParser(ObjectReadContext.empty(), json)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new IOException("not a JSON object");
            }
            List<Digest> found = new ArrayList<>();
            while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
                boolean rootfs = parser.currentName().equals("rootfs");
                if (parser.nextToken() != JsonToken.START_OBJECT || !rootfs) {
                    parser.skipChildren();
                    continue;
                }
                while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
                    boolean ids = parser.currentName().equals("diff_ids");
                    if (parser.nextToken() != JsonToken.START_ARRAY || !ids) {
                        parser.skipChildren();
                        continue;
                    }
                    while (parser.nextToken() == JsonToken.VALUE_STRING && found.size() < MAX_ELEMENTS) {
                        found.add(Digest.parse(parser.getString()));
                    }
                }
            }
            return found;
        } catch (JacksonException | IllegalArgumentException e) {
            throw new IOException("not an image configuration: " + e.getMessage(), e);
        }
    }

    /** The chain IDs that these diffIDs have, from the base up (OCI image-spec, config.md, Layer ChainID). */
    public static List<Digest> chainIds(List<Digest> diffIds) {
        List<Digest> chain = new ArrayList<>();
        for (Digest diffId : diffIds) {
            if (chain.isEmpty()) {
                chain.add(diffId);
                continue;
            }
            chain.add(Digest.ofContent((chain.getLast() + " " + diffId).getBytes(StandardCharsets.US_ASCII)));
        }
        return chain;
    }

    private static List<Descriptor> descriptors(JsonParser parser) throws IOException {
        List<Descriptor> all = new ArrayList<>();
        while (parser.nextToken() == JsonToken.START_OBJECT) {
            if (all.size() == MAX_ELEMENTS) {
                throw new IOException("more than " + MAX_ELEMENTS + " descriptors");
            }
            all.add(descriptor(parser));
        }
        return all;
    }

    private static Descriptor descriptor(JsonParser parser) throws IOException {
        String mediaType = "";
        Digest digest = null;
        long size = -1;
        String os = "";
        String architecture = "";
        String artifactType = "";
        Map<String, String> annotations = Map.of();
        while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
            String field = parser.currentName();
            JsonToken value = parser.nextToken();
            if (field.equals("mediaType") && value == JsonToken.VALUE_STRING) {
                mediaType = parser.getString();
            } else if (field.equals("digest") && value == JsonToken.VALUE_STRING) {
                digest = Digest.parse(parser.getString());
            } else if (field.equals("size") && value == JsonToken.VALUE_NUMBER_INT) {
                size = parser.getLongValue();
            } else if (field.equals("artifactType") && value == JsonToken.VALUE_STRING) {
                artifactType = parser.getString();
            } else if (field.equals("annotations") && value == JsonToken.START_OBJECT) {
                annotations = strings(parser);
            } else if (field.equals("platform") && value == JsonToken.START_OBJECT) {
                while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
                    String part = parser.currentName();
                    if (parser.nextToken() != JsonToken.VALUE_STRING) {
                        parser.skipChildren();
                    } else if (part.equals("os")) {
                        os = parser.getString();
                    } else if (part.equals("architecture")) {
                        architecture = parser.getString();
                    }
                }
            } else {
                parser.skipChildren();
            }
        }
        if (digest == null || size < 0) {
            throw new IOException("a descriptor without digest or size");
        }
        return new Descriptor(
                mediaType, digest, size, os.isEmpty() ? "" : os + "/" + architecture, artifactType, annotations);
    }

    private static Map<String, String> strings(JsonParser parser) throws IOException {
        Map<String, String> all = new HashMap<>();
        while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
            String key = parser.currentName();
            if (parser.nextToken() != JsonToken.VALUE_STRING) {
                parser.skipChildren();
            } else if (all.size() == MAX_ELEMENTS) {
                throw new IOException("more than " + MAX_ELEMENTS + " annotations");
            } else {
                all.put(key, parser.getString());
            }
        }
        return Map.copyOf(all);
    }
}
