package dev.coldstart.snapshotter.rehearsal;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * A registry on the loopback, with TLS and tokens as most have (OCI distribution-spec; docker's token authentication). Every
 * repository has the same content. Answers ranges that a snapshotter asks for, and no others.
 */
public final class LoopbackRegistry implements AutoCloseable {
    private final Map<String, byte[]> content = new ConcurrentHashMap<>();
    private final LoopbackCertificate certificate;
    private final HttpsServer server;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();

    /** Serves with a key of its own. */
    public LoopbackRegistry() throws IOException {
        try {
            certificate = LoopbackCertificate.create();
        } catch (GeneralSecurityException e) {
            throw new IOException("cannot make a certificate: " + e.getMessage(), e);
        }
        server = HttpsServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setHttpsConfigurator(new HttpsConfigurator(certificate.context()));
        server.setExecutor(threads);
        server.createContext("/", this::answer);
        server.start();
    }

    /** HOST:PORT */
    public String host() {
        return "localhost:" + server.getAddress().getPort();
    }

    /** The certificate that a client must trust, in PEM. */
    public String certificate() {
        return certificate.pem();
    }

    /** Has a manifest or a blob from now on. */
    public void put(Digest digest, byte[] bytes) {
        content.put(digest.toString(), bytes);
    }

    private void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            String path = exchange.getRequestURI().getPath();
            byte[] bytes = content.get(path.substring(path.lastIndexOf('/') + 1));
            if (path.equals("/token")) {
                byte[] token = "{\"token\":\"t\",\"expires_in\":3600}".getBytes(StandardCharsets.UTF_8);
                send(exchange, 200, token, 0, token.length);
            } else if (!exchange.getRequestHeaders().containsKey("Authorization")) {
                exchange.getResponseHeaders()
                        .set("WWW-Authenticate", "Bearer realm=\"https://" + host() + "/token\",service=\"rehearsal\"");
                exchange.sendResponseHeaders(401, -1);
            } else if (bytes == null || path.contains("/referrers/")) {
                exchange.sendResponseHeaders(404, -1);
            } else {
                send(exchange, path.contains("/manifests/"), bytes);
            }
        }
    }

    private static void send(HttpExchange exchange, boolean manifest, byte[] bytes) throws IOException {
        exchange.getResponseHeaders()
                .set(
                        "Content-Type",
                        manifest ? "application/vnd.oci.image.manifest.v1+json" : "application/octet-stream");
        String range = exchange.getRequestHeaders().getFirst("Range");
        if (range == null) {
            send(exchange, 200, bytes, 0, bytes.length);
            return;
        }
        String[] bounds = range.substring("bytes=".length()).split("-", 2);
        int from = Integer.parseInt(bounds[0]);
        int end = bounds[1].isEmpty() ? bytes.length : Math.min(bytes.length, Integer.parseInt(bounds[1]) + 1);
        exchange.getResponseHeaders().set("Content-Range", "bytes " + from + "-" + (end - 1) + "/" + bytes.length);
        send(exchange, 206, bytes, from, end);
    }

    private static void send(HttpExchange exchange, int status, byte[] bytes, int from, int end) throws IOException {
        boolean head = exchange.getRequestMethod().equals("HEAD");
        exchange.sendResponseHeaders(status, head ? -1 : end - from);
        if (!head) {
            exchange.getResponseBody().write(bytes, from, end - from);
        }
    }

    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
        // The server's threads end in their own time, and hold it until then.
        content.clear();
    }
}
