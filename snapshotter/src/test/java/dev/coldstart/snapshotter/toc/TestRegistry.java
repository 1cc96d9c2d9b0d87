package dev.coldstart.snapshotter.toc;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A registry with one repository, {@code r}, on loopback. */
final class TestRegistry implements AutoCloseable {
    private static final Pattern RANGE = Pattern.compile("bytes=(\\d+)-(\\d+)");

    private final HttpServer server;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final Map<String, byte[]> documents = new ConcurrentHashMap<>();
    /** Paths asked for, queries included. */
    final List<String> requests = new CopyOnWriteArrayList<>();

    TestRegistry() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(threads);
        server.createContext("/v2/r/", this::answer);
        server.start();
    }

    String host() {
        return "127.0.0.1:" + server.getAddress().getPort();
    }

    Digest blob(byte[] bytes) {
        Digest digest = TestLayer.sha256(bytes);
        documents.put("blobs/" + digest, bytes);
        return digest;
    }

    Digest manifest(String json) {
        Digest digest = TestLayer.sha256(json.getBytes(StandardCharsets.UTF_8));
        put("manifests/" + digest, json);
        return digest;
    }

    void put(String path, String json) {
        documents.put(path, json.getBytes(StandardCharsets.UTF_8));
    }

    private void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            requests.add(exchange.getRequestURI().toString());
            byte[] body = documents.get(exchange.getRequestURI().getPath().substring("/v2/r/".length()));
            if (body == null) {
                exchange.sendResponseHeaders(404, -1);
                return;
            }
            String header = exchange.getRequestHeaders().getFirst("Range");
            Matcher range = RANGE.matcher(header == null ? "" : header);
            if (range.matches()) {
                int from = Integer.parseInt(range.group(1));
                int to = Math.min(body.length, Integer.parseInt(range.group(2)) + 1);
                exchange.getResponseHeaders()
                        .set("Content-Range", "bytes " + from + "-" + (to - 1) + "/" + body.length);
                exchange.sendResponseHeaders(206, to - from);
                exchange.getResponseBody().write(Arrays.copyOfRange(body, from, to));
            } else {
                exchange.sendResponseHeaders(200, body.length);
                exchange.getResponseBody().write(body);
            }
        }
    }

    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
    }
}
