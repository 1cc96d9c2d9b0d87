import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

/** A registry on the loopback, with TLS and tokens as most have (OCI distribution-spec; docker's token authentication). */
final class TlsRegistry implements AutoCloseable {
    private static final String PASSWORD = "training";

    private final Map<String, byte[]> blobs = new ConcurrentHashMap<>();
    private final HttpsServer server =
            HttpsServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final String host = "localhost:" + server.getAddress().getPort();

    /** Serves with a key of its own, which the directory, one as containerd's {@code certs.d}, says is this registry's. */
    TlsRegistry(Path directory) throws Exception {
        server.setHttpsConfigurator(new HttpsConfigurator(tls(Files.createDirectories(directory.resolve(host)))));
        server.setExecutor(threads);
        server.createContext("/", this::answer);
        server.start();
    }

    /** HOST:PORT */
    String host() {
        return host;
    }

    void push(ImageFiles image) {
        blobs.putAll(image.documents());
        image.layers().forEach(layer -> blobs.put(layer.digest(), layer.blob()));
    }

    private static SSLContext tls(Path directory) throws Exception {
        Path file = directory.resolve("key.p12");
        List<String> keytool = new ArrayList<>();
        keytool.add(Path.of(System.getProperty("java.home"), "bin", "keytool").toString());
        keytool.addAll(List.of("-genkeypair", "-alias", "key", "-keyalg", "EC", "-dname", "CN=localhost"));
        keytool.addAll(List.of("-ext", "san=dns:localhost", "-storepass", PASSWORD, "-keystore", file.toString()));
        if (new ProcessBuilder(keytool).inheritIO().start().waitFor() != 0) {
            throw new IOException("keytool made no key");
        }
        KeyStore store = KeyStore.getInstance(file.toFile(), PASSWORD.toCharArray());
        String certificate =
                Base64.getMimeEncoder().encodeToString(store.getCertificate("key").getEncoded());
        Files.writeString(
                directory.resolve("ca.crt"),
                "-----BEGIN CERTIFICATE-----\n" + certificate + "\n-----END CERTIFICATE-----\n");
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, PASSWORD.toCharArray());
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);
        return context;
    }

    private void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            String path = exchange.getRequestURI().getPath();
            byte[] bytes = blobs.get(path.substring(path.lastIndexOf('/') + 1));
            if (path.equals("/token")) {
                byte[] token = "{\"token\":\"t\",\"expires_in\":3600}".getBytes(StandardCharsets.UTF_8);
                send(exchange, 200, token, 0, token.length);
            } else if (!exchange.getRequestHeaders().containsKey("Authorization")) {
                exchange.getResponseHeaders()
                        .set("WWW-Authenticate", "Bearer realm=\"https://" + host + "/token\",service=\"training\"");
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
                .set("Content-Type", manifest ? ImageFiles.MANIFEST : "application/octet-stream");
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
        threads.close();
    }
}
