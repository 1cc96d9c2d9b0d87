package dev.coldstart.snapshotter.fetch;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A registry of one repository, {@code team/model}, that can be told to misbehave. */
public final class FaultyRegistry implements AutoCloseable {
    private static final Pattern RANGE = Pattern.compile("bytes=(\\d+)-(\\d+)");

    /** What the next answers to blob requests are; SOUND once they are used up. */
    public enum Fault {
        SOUND,
        UNAVAILABLE,
        SHORT,
        WRONG_RANGE,
        FLIPPED,
        NOT_FOUND,
        /** Says nothing until it is closed. */
        SILENT
    }

    private final HttpServer server;
    private final Map<String, byte[]> blobs = new ConcurrentHashMap<>();
    private final Map<String, byte[]> manifests = new ConcurrentHashMap<>();
    private final AtomicReference<Fault> fault = new AtomicReference<>(Fault.SOUND);
    private final AtomicInteger faultsLeft = new AtomicInteger();
    private final AtomicInteger requests = new AtomicInteger();
    private final CountDownLatch closed = new CountDownLatch(1);
    private final boolean wantsToken;

    public FaultyRegistry(boolean wantsToken) throws IOException {
        this.wantsToken = wantsToken;
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
        server.createContext("/", this::handle);
        server.start();
    }

    public String host() {
        return "127.0.0.1:" + server.getAddress().getPort();
    }

    public void blob(String digest, byte[] bytes) {
        blobs.put(digest, bytes);
    }

    public void manifest(String reference, byte[] bytes) {
        manifests.put(reference, bytes);
    }

    public void misbehave(Fault how, int times) {
        fault.set(how);
        faultsLeft.set(times);
    }

    /** Requests for blobs since the start. */
    public int requests() {
        return requests.get();
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            String path = exchange.getRequestURI().getPath();
            if (path.equals("/token")) {
                answer(exchange, 200, "{\"token\":\"secret\",\"expires_in\":300}".getBytes(StandardCharsets.UTF_8));
                return;
            }
            String authorization = exchange.getRequestHeaders().getFirst("Authorization");
            if (wantsToken && !"Bearer secret".equals(authorization)) {
                exchange.getResponseHeaders()
                        .add(
                                "WWW-Authenticate",
                                "Bearer realm=\"http://" + host()
                                        + "/token\",service=\"r\",scope=\"repository:team/model:pull\"");
                answer(exchange, 401, new byte[0]);
                return;
            }
            String what = path.substring(path.lastIndexOf('/') + 1);
            byte[] manifest = manifests.get(what);
            byte[] blob = blobs.get(what);
            if (path.startsWith("/v2/team/model/manifests/") && manifest != null) {
                answer(exchange, 200, manifest);
            } else if (path.startsWith("/v2/team/model/blobs/") && blob != null) {
                requests.incrementAndGet();
                blob(exchange, blob);
            } else {
                answer(exchange, 404, new byte[0]);
            }
        }
    }

    private void blob(HttpExchange exchange, byte[] blob) throws IOException {
        Fault now = faultsLeft.getAndDecrement() > 0 ? fault.get() : Fault.SOUND;
        if (now == Fault.UNAVAILABLE || now == Fault.NOT_FOUND) {
            answer(exchange, now == Fault.UNAVAILABLE ? 503 : 404, new byte[0]);
            return;
        }
        if (now == Fault.SILENT) {
            try {
                closed.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            return;
        }
        String range = exchange.getRequestHeaders().getFirst("Range");
        Matcher matcher = RANGE.matcher(range == null ? "" : range);
        int from = matcher.matches() ? Integer.parseInt(matcher.group(1)) : 0;
        int to = matcher.matches() ? Math.min(blob.length, Integer.parseInt(matcher.group(2)) + 1) : blob.length;
        byte[] part = java.util.Arrays.copyOfRange(blob, from, to);
        if (now == Fault.FLIPPED) {
            part[part.length / 2] ^= 1;
        }
        if (matcher.matches()) {
            int claimed = now == Fault.WRONG_RANGE ? from + 1 : from;
            exchange.getResponseHeaders().add("Content-Range", "bytes " + claimed + "-" + (to - 1) + "/" + blob.length);
        }
        exchange.sendResponseHeaders(matcher.matches() ? 206 : 200, part.length);
        OutputStream body = exchange.getResponseBody();
        if (now == Fault.SHORT) {
            // The connection ends before the announced length.
            body.write(part, 0, part.length / 2);
            body.flush();
            return;
        }
        body.write(part);
        body.close();
    }

    private static void answer(HttpExchange exchange, int status, byte[] body) throws IOException {
        exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
        if (body.length > 0) {
            exchange.getResponseBody().write(body);
        }
    }

    @Override
    public void close() {
        closed.countDown();
        server.stop(0);
    }
}
