package dev.coldstart.snapshotter.toc;

import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.fetch.BlobSource;
import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.Digest;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.zip.GZIPInputStream;

/**
 * A layer made by somebody else's tool; {@code src/test/fixtures} says how.
 *
 * @param annotations of its descriptor
 */
@SuppressWarnings("ArrayRecordComponent") // compared by nobody
record Fixture(String mediaType, byte[] blob, Map<String, String> annotations) {
    static final String GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
    static final String ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd";

    static Fixture of(String name) throws IOException {
        Map<String, String> annotations = new HashMap<>();
        String text = new String(bytes(name + ".annotations"), StandardCharsets.UTF_8);
        for (String line : text.split("\n", -1)) {
            int equals = line.indexOf('=');
            if (equals > 0) {
                annotations.put(line.substring(0, equals), line.substring(equals + 1));
            }
        }
        return new Fixture(name.startsWith("zstd") ? ZSTD : GZIP, bytes(name), annotations);
    }

    static byte[] bytes(String name) throws IOException {
        try (InputStream in = Objects.requireNonNull(Fixture.class.getResourceAsStream(name), name)) {
            return in.readAllBytes();
        }
    }

    static byte[] unpacked(byte[] gzip) throws IOException {
        try (InputStream in = new GZIPInputStream(new ByteArrayInputStream(gzip))) {
            return in.readAllBytes();
        }
    }

    Digest digest() {
        return TestLayer.sha256(blob);
    }

    Fixture with(byte[] other) {
        return new Fixture(mediaType, other, annotations);
    }

    Fixture without(String annotation) {
        Map<String, String> fewer = new HashMap<>(annotations);
        fewer.keySet().removeIf(key -> key.endsWith(annotation));
        return new Fixture(mediaType, blob, fewer);
    }

    ResolvedLayer layer() {
        return new ResolvedLayer(
                digest(), TestLayer.sha256(new byte[] {1}), mediaType, blob.length, annotations, null, List.of());
    }

    /** Answers with the ranges asked for. */
    BlobSource source() {
        return (layer, from, to) ->
                new ByteArrayInputStream(Arrays.copyOfRange(blob, (int) from, (int) Math.min(to, blob.length)));
    }
}
