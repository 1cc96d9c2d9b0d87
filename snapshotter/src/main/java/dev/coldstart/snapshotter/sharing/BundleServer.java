package dev.coldstart.snapshotter.sharing;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.rootfs.RemoteLayers;
import dev.coldstart.snapshotter.trace.Traces;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;

/**
 * Gives other nodes the bundles of layers that are indexed here: {@code GET /v1/layers/DIGEST}, which is answered 200, 404
 * (not here) or 503 (too many ask at once). Who has not the cluster's key learns from it which layers are here, no more.
 */
public final class BundleServer implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(BundleServer.class.getName());
    /** Each compresses and encrypts, which takes a core. */
    private static final int AT_ONCE = 4;

    static final String PATH = "/v1/layers/";

    private final HttpServer server;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final ClusterKey key;
    private final RemoteLayers layers;
    private final Traces traces;
    private final Semaphore permits = new Semaphore(AT_ONCE);

    private BundleServer(HttpServer server, ClusterKey key, RemoteLayers layers, Traces traces) {
        this.server = server;
        this.key = key;
        this.layers = layers;
        this.traces = traces;
    }

    /**
     * Starts to serve.
     *
     * @throws IOException if the address cannot be listened at
     */
    public static BundleServer start(InetSocketAddress listen, ClusterKey key, RemoteLayers layers, Traces traces)
            throws IOException {
        HttpServer http;
        try {
            http = HttpServer.create(listen, 0);
        } catch (IOException e) {
            throw new IOException("cannot listen for other nodes at " + listen + ": " + e.getMessage(), e);
        }
        BundleServer server = new BundleServer(http, key, layers, traces);
        http.setExecutor(server.threads);
        http.createContext(PATH, server::answer);
        http.start();
        return server;
    }

    /** Where it listens. */
    public InetSocketAddress address() {
        return server.getAddress();
    }

    private void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            Digest layer = null;
            try {
                layer = Digest.parse(exchange.getRequestURI().getPath().substring(PATH.length()));
            } catch (IllegalArgumentException e) {
                exchange.sendResponseHeaders(400, -1);
            }
            String method = exchange.getRequestMethod();
            if (layer == null) {
                return;
            }
            if (!layers.isIndexed(layer)) {
                exchange.sendResponseHeaders(404, -1);
            } else if (method.equals("HEAD")) {
                exchange.sendResponseHeaders(200, -1);
            } else if (!method.equals("GET")) {
                exchange.sendResponseHeaders(405, -1);
            } else if (!permits.tryAcquire()) {
                exchange.sendResponseHeaders(503, -1);
            } else {
                try {
                    send(exchange, layer);
                } finally {
                    permits.release();
                }
            }
        }
    }

    private void send(HttpExchange exchange, Digest layer) throws IOException {
        exchange.getResponseHeaders().set("Content-Type", LayerBundle.MEDIA_TYPE);
        exchange.sendResponseHeaders(200, 0);
        try (OutputStream body = exchange.getResponseBody()) {
            LayerBundle.write(body, key, layer, layers.index(layer), layers.tree(layer), traces);
        } catch (IOException e) {
            // The other side sees that the sealed stream is cut.
            LOG.log(System.Logger.Level.DEBUG, "sending layer {0} to another node: {1}", layer, e.getMessage());
        }
    }

    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
    }
}
