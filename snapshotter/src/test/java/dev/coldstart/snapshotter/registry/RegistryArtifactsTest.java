package dev.coldstart.snapshotter.registry;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import dev.coldstart.snapshotter.content.StoredBlobs;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.registry.ArtifactRegistry.Repository;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A registry that lets everybody read, and those write who have a password. */
class RegistryArtifactsTest {
    private static final String PASSWORD =
            Base64.getEncoder().encodeToString("node:secret".getBytes(StandardCharsets.UTF_8));

    @TempDir
    Path dir;

    private final Map<String, byte[]> stored = new ConcurrentHashMap<>();
    private HttpServer server;
    private Repository repository;
    private volatile boolean hasReferrers;

    @BeforeEach
    void start() throws Exception {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
        server.createContext("/", this::answer);
        server.start();
        repository = new Repository("localhost:" + server.getAddress().getPort(), "team/model");
    }

    @AfterEach
    void stop() {
        server.stop(0);
    }

    private void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            byte[] body = exchange.getRequestBody().readAllBytes();
            String method = exchange.getRequestMethod();
            String path = exchange.getRequestURI().getPath().substring("/v2/team/model/".length());
            boolean may =
                    ("Basic " + PASSWORD).equals(exchange.getRequestHeaders().getFirst("Authorization"));
            if (!method.equals("GET") && !may) {
                exchange.getResponseHeaders().set("WWW-Authenticate", "Basic realm=\"r\"");
                exchange.sendResponseHeaders(401, -1);
            } else if (method.equals("POST")) {
                exchange.getResponseHeaders().set("Location", "/v2/team/model/blobs/uploads/7?state=x");
                exchange.sendResponseHeaders(202, -1);
            } else if (method.equals("PUT")) {
                String query = exchange.getRequestURI().getQuery();
                boolean blob = path.equals("blobs/uploads/7") && query.startsWith("state=x&digest=");
                stored.put(blob ? "blobs/" + query.substring("state=x&digest=".length()) : path, body);
                if (!blob && hasReferrers) {
                    exchange.getResponseHeaders().set("OCI-Subject", "sha256:0");
                }
                exchange.sendResponseHeaders(201, -1);
            } else {
                byte[] found = path.startsWith("referrers/") && !hasReferrers ? null : stored.get(path);
                exchange.sendResponseHeaders(
                        found == null ? 404 : 200, found == null || method.equals("HEAD") ? -1 : found.length);
                if (found != null && method.equals("GET")) {
                    exchange.getResponseBody().write(found);
                }
            }
        }
    }

    private RegistryClient client(boolean knowsPassword) throws IOException {
        Path config = dir.resolve("config.json");
        if (knowsPassword) {
            Files.writeString(config, "{\"auths\":{\"" + repository.host() + "\":{\"auth\":\"" + PASSWORD + "\"}}}");
        }
        return new RegistryClient(
                host -> true, Trust.with(List.of()), Credentials.read(config), Duration.ofSeconds(30));
    }

    @Test
    void whatIsPushedIsFoundByWhatItRefersTo() throws Exception {
        try (RegistryClient client = client(true)) {
            RegistryArtifacts artifacts = new RegistryArtifacts(client);
            Digest image = StoredBlobs.digest("image");
            assertThat(artifacts.referrers(repository, image, "a/type")).isNull();

            Path file = Files.writeString(dir.resolve("blob"), "bytes");
            Digest blob = StoredBlobs.digest("bytes");
            artifacts.put(repository, blob, file);
            artifacts.put(repository, blob, file);
            try (InputStream in = artifacts.blob(repository, blob)) {
                assertThat(in).hasContent("bytes");
            }

            byte[] manifest = "{}".getBytes(StandardCharsets.UTF_8);
            Digest digest = StoredBlobs.digest(manifest);
            assertThat(artifacts.put(repository, digest, manifest)).isFalse();
            assertThat(artifacts.manifest(repository, digest)).isEqualTo(manifest);
            artifacts.putReferrersTag(repository, image, "{\"manifests\":[]}".getBytes(StandardCharsets.UTF_8));
            assertThat(artifacts.referrers(repository, image, "a/type"))
                    .asString()
                    .isEqualTo("{\"manifests\":[]}");

            hasReferrers = true;
            stored.put("referrers/" + image, "{}".getBytes(StandardCharsets.UTF_8));
            assertThat(artifacts.referrers(repository, image, "a/type"))
                    .asString()
                    .isEqualTo("{}");
            assertThat(artifacts.put(repository, digest, manifest)).isTrue();
        }
    }

    @Test
    void whoMayNotPushIsToldSo() throws Exception {
        try (RegistryClient client = client(false)) {
            RegistryArtifacts artifacts = new RegistryArtifacts(client);
            Path file = Files.writeString(dir.resolve("blob"), "bytes");
            assertThatThrownBy(() -> artifacts.put(repository, StoredBlobs.digest("bytes"), file))
                    .isInstanceOfSatisfying(
                            RegistryException.class,
                            e -> assertThat(e.reason()).isEqualTo(RegistryException.Reason.DENIED));
        }
    }
}
