package dev.coldstart.snapshotter.sharing;

import static dev.coldstart.snapshotter.rootfs.TestNode.LAYERS;
import static dev.coldstart.snapshotter.rootfs.TestNode.withImage;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.content.StoredBlobs;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.rootfs.TestNode;
import dev.coldstart.snapshotter.trace.Traces;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One node has read an image; another pulls it and has neither its blobs nor a registry. */
class PeersTest {
    @TempDir
    Path dir;

    private ClusterKey key;
    private final Map<Digest, byte[]> received = new ConcurrentHashMap<>();
    private final Map<Digest, String> places = new ConcurrentHashMap<>();
    private final Traces traces = new Traces() {
        @Override
        public byte[] read(Digest layer) {
            return ("trace of " + layer).getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public void add(Digest layer, byte[] trace) {
            received.put(layer, trace);
        }

        @Override
        public String prefetch(Digest layer) {
            return "place of " + layer;
        }

        @Override
        public void addPrefetch(Digest layer, String place) {
            places.put(layer, place);
        }
    };

    @BeforeEach
    void makeKey() throws Exception {
        key = key("one");
    }

    private ClusterKey key(String name) throws IOException {
        Path file = dir.resolve(name + ".key");
        Files.writeString(file, name.repeat(40));
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
        return ClusterKey.read(file);
    }

    private static StoredBlobs imageWithoutBlobs() {
        return withImage(new StoredBlobs() {
            @Override
            public InputStream stream(String namespace, Digest digest) throws IOException {
                throw new IOException("there is no blob here");
            }
        });
    }

    private BundleServer serve(TestNode node) throws IOException {
        return BundleServer.start(
                new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), key, node.layers(), traces);
    }

    private static String at(BundleServer server) {
        return "localhost:" + server.address().getPort();
    }

    @Test
    void aNodeGetsIndexTreeAndTraceFromAnotherOne() throws Exception {
        try (TestNode first = new TestNode(dir.resolve("1"), withImage(new StoredBlobs()), List.of());
                BundleServer server = serve(first);
                Peers peers = new Peers(key, List.of("localhost:1", at(server)), traces);
                TestNode second = new TestNode(dir.resolve("2"), imageWithoutBlobs(), List.of(peers))) {
            first.pull();
            second.pull();
            for (Digest layer : LAYERS) {
                assertThat(second.layers().index(layer))
                        .hasSameBinaryContentAs(first.layers().index(layer));
                assertThat(second.layers().tree(layer))
                        .hasSameBinaryContentAs(first.layers().tree(layer));
                assertThat(received.get(layer)).asString().isEqualTo("trace of " + layer);
                assertThat(places.get(layer)).isEqualTo("place of " + layer);
            }
        }
    }

    @Test
    void aNodeWithAnotherKeyIsNotBelieved() throws Exception {
        try (TestNode first = new TestNode(dir.resolve("1"), withImage(new StoredBlobs()), List.of());
                BundleServer server = serve(first);
                Peers peers = new Peers(key("two"), List.of(at(server)), traces);
                TestNode second = new TestNode(dir.resolve("2"), imageWithoutBlobs(), List.of(peers))) {
            first.pull();
            assertThatThrownBy(second::pull).hasMessageContaining("there is no blob here");
            assertThat(second.layers().isIndexed(LAYERS.getFirst())).isFalse();
        }
    }

    @Test
    void whatIsSentToStrangersTellsThemNothing() throws Exception {
        try (TestNode first = new TestNode(dir.resolve("1"), withImage(new StoredBlobs()), List.of());
                BundleServer server = serve(first);
                HttpClient http = HttpClient.newHttpClient()) {
            first.pull();
            HttpResponse<byte[]> bundle = get(http, server, LAYERS.getFirst().toString());
            assertThat(bundle.statusCode()).isEqualTo(200);
            assertThat(new String(bundle.body(), StandardCharsets.ISO_8859_1)).doesNotContain("CSLAYER");
            assertThat(get(http, server, "sha256:" + "0".repeat(64)).statusCode())
                    .isEqualTo(404);
            assertThat(get(http, server, "../../etc/passwd").statusCode()).isEqualTo(400);
        }
    }

    private static HttpResponse<byte[]> get(HttpClient http, BundleServer server, String path) throws Exception {
        return http.send(
                HttpRequest.newBuilder(URI.create("http://" + at(server) + "/v1/layers/" + path))
                        .build(),
                HttpResponse.BodyHandlers.ofByteArray());
    }
}
