package dev.coldstart.snapshotter.registry;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ServerSocketFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import org.jspecify.annotations.Nullable;

/** An HTTP/1.1 server on loopback that does to its connections whatever it is told to. */
public final class ScriptedServer implements AutoCloseable {
    private final ServerSocket socket;
    private final boolean tls;
    private final Script script;
    private final CountDownLatch closed = new CountDownLatch(1);
    private final Set<Socket> connections = ConcurrentHashMap.newKeySet();
    private final AtomicInteger accepted = new AtomicInteger();
    private final AtomicInteger failed = new AtomicInteger();
    private final List<String> offered = new CopyOnWriteArrayList<>();
    private final List<Request> requests = new CopyOnWriteArrayList<>();

    /** What it does with a request. */
    @FunctionalInterface
    public interface Script {
        void play(Request request, Reply reply) throws IOException;
    }

    /**
     * A request.
     *
     * @param target path and query
     * @param headers by name in lower case
     */
    public record Request(String method, String target, Map<String, String> headers, String body) {
        public @Nullable String header(String name) {
            return headers.get(name);
        }

        public String path() {
            return target.replaceFirst("\\?.*", "");
        }
    }

    /** The connection, from the server's side. */
    public final class Reply {
        private final Socket connection;
        private final OutputStream out;

        private Reply(Socket connection) throws IOException {
            this.connection = connection;
            this.out = connection.getOutputStream();
        }

        public void send(int status, Map<String, String> headers, byte[] body) throws IOException {
            Map<String, String> all = new TreeMap<>(headers);
            all.putIfAbsent("Content-Length", Integer.toString(body.length));
            head(status, all);
            write(body, 0, body.length);
        }

        public void send(int status) throws IOException {
            send(status, Map.of(), new byte[0]);
        }

        public void head(int status, Map<String, String> headers) throws IOException {
            StringBuilder head = new StringBuilder("HTTP/1.1 " + status + " x\r\n");
            headers.forEach((name, value) -> head.append(name + ": " + value + "\r\n"));
            out.write((head + "\r\n").getBytes(StandardCharsets.ISO_8859_1));
            out.flush();
        }

        public void write(byte[] bytes, int from, int to) throws IOException {
            out.write(bytes, from, to - from);
            out.flush();
        }

        /** Ends the connection as if the server had died. */
        public void reset() throws IOException {
            connection.setSoLinger(true, 0);
            connection.close();
        }

        public void close() throws IOException {
            connection.close();
        }

        /** Says nothing more, but holds the connection. */
        public void stall() throws IOException {
            try {
                closed.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            connection.close();
        }
    }

    public ScriptedServer(Script script) throws IOException {
        this(null, false, script);
    }

    /** @param clientsProve whether clients must have a certificate */
    public ScriptedServer(@Nullable SSLContext tls, boolean clientsProve, Script script) throws IOException {
        this.script = script;
        this.tls = tls != null;
        ServerSocketFactory factory = tls == null ? ServerSocketFactory.getDefault() : tls.getServerSocketFactory();
        socket = factory.createServerSocket(0, 100, InetAddress.getLoopbackAddress());
        if (socket instanceof SSLServerSocket secure) {
            secure.setNeedClientAuth(clientsProve);
        }
        Thread.ofVirtual().start(this::accept);
    }

    /** HOST:PORT. */
    public String host() {
        return "127.0.0.1:" + socket.getLocalPort();
    }

    public String url() {
        return (tls ? "https://" : "http://") + host();
    }

    public List<Request> requests() {
        return List.copyOf(requests);
    }

    public long count(String pathPart) {
        return requests.stream().filter(r -> r.target().contains(pathPart)).count();
    }

    public int accepted() {
        return accepted.get();
    }

    /** The protocols that clients have offered by ALPN; we speak HTTP/1.1 only. */
    public List<String> offered() {
        return List.copyOf(offered);
    }

    /** Connections that broke, mostly because the client went away. */
    public int failed() {
        return failed.get();
    }

    private void accept() {
        while (!socket.isClosed()) {
            try {
                Socket connection = socket.accept();
                accepted.incrementAndGet();
                connections.add(connection);
                if (connection instanceof SSLSocket secure) {
                    secure.setHandshakeApplicationProtocolSelector((self, protocols) -> {
                        offered.addAll(protocols);
                        return "http/1.1";
                    });
                }
                Thread.ofVirtual().start(() -> serve(connection));
            } catch (IOException e) {
                if (socket.isClosed()) {
                    return;
                }
            }
        }
    }

    private void serve(Socket connection) {
        try (connection) {
            InputStream in = new BufferedInputStream(connection.getInputStream());
            Reply reply = new Reply(connection);
            while (!connection.isClosed()) {
                Request request = read(in);
                if (request == null) {
                    return;
                }
                requests.add(request);
                script.play(request, reply);
            }
        } catch (IOException | RuntimeException e) {
            failed.incrementAndGet();
        } finally {
            connections.remove(connection);
        }
    }

    private static @Nullable Request read(InputStream in) throws IOException {
        String first = line(in);
        if (first.isEmpty()) {
            return null;
        }
        String[] parts = first.split(" ", 3);
        Map<String, String> headers = new TreeMap<>();
        for (String line = line(in); !line.isEmpty(); line = line(in)) {
            int colon = line.indexOf(':');
            headers.put(
                    line.substring(0, colon).toLowerCase(Locale.ROOT),
                    line.substring(colon + 1).strip());
        }
        int length = Integer.parseInt(headers.getOrDefault("content-length", "0"));
        return new Request(parts[0], parts[1], headers, new String(in.readNBytes(length), StandardCharsets.UTF_8));
    }

    private static String line(InputStream in) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        int c = in.read();
        while (c >= 0 && c != '\n') {
            if (c != '\r') {
                line.write(c);
            }
            c = in.read();
        }
        return line.toString(StandardCharsets.ISO_8859_1);
    }

    @Override
    public void close() throws IOException {
        closed.countDown();
        socket.close();
        for (Socket connection : connections) {
            connection.close();
        }
    }
}
