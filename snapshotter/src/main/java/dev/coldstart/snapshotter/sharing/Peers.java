package dev.coldstart.snapshotter.sharing;

import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.registry.StallGuard;
import dev.coldstart.snapshotter.rootfs.IndexOrigin;
import dev.coldstart.snapshotter.trace.Traces;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Indexes from other nodes of the cluster. All are asked at once whether they have a layer, and the first that has it
 * sends it; a node that cannot be reached is left alone for a while, so that it costs a pull half a second at most, once.
 */
public final class Peers implements IndexOrigin, AutoCloseable {
    private static final Duration CONNECT = Duration.ofMillis(500);
    private static final Duration ANSWER = Duration.ofSeconds(2);
    private static final Duration SILENCE = Duration.ofSeconds(5);
    private static final long REST_NANOS = TimeUnit.SECONDS.toNanos(30);
    private static final int MOST = 256;

    private final ClusterKey key;
    private final List<String> names;
    private final Traces traces;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("peers-clock").factory());
    private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(CONNECT)
            .executor(threads)
            .build();
    /** When an address failed, by {@link System#nanoTime}. */
    private final ConcurrentHashMap<String, Long> failed = new ConcurrentHashMap<>();

    /**
     * Asks nobody yet.
     *
     * @param names HOST:PORT; a name with several addresses stands for them all
     */
    public Peers(ClusterKey key, List<String> names, Traces traces) {
        this.key = key;
        this.names = List.copyOf(names);
        this.traces = traces;
    }

    @Override
    public String name() {
        return "the index of another node";
    }

    @Override
    public boolean provide(ResolvedLayer layer, Path index, Path tree) throws IOException {
        List<String> addresses = addresses();
        BlockingQueue<Answer> answers = new LinkedBlockingQueue<>();
        addresses.forEach(address -> threads.execute(() -> answers.add(ask(address, layer.layer()))));
        IOException last = null;
        for (int i = 0; i < addresses.size(); i++) {
            Answer answer;
            try {
                answer = answers.take();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IOException("interrupted while asking other nodes", e);
            }
            if (!answer.hasLayer()) {
                continue;
            }
            try {
                LayerBundle.read(get(answer.address(), layer.layer()), key, layer, index, tree, traces);
                return true;
            } catch (IOException e) {
                last = new IOException("node " + answer.address() + ": " + e.getMessage(), e);
            }
        }
        if (last != null) {
            throw last;
        }
        return false;
    }

    private record Answer(String address, boolean hasLayer) {}

    private List<String> addresses() {
        List<String> found = new ArrayList<>();
        for (String name : names) {
            int colon = name.lastIndexOf(':');
            try {
                for (InetAddress address : InetAddress.getAllByName(name.substring(0, colon))) {
                    String literal = address.getHostAddress();
                    found.add((literal.contains(":") ? "[" + literal + "]" : literal) + name.substring(colon));
                }
            } catch (UnknownHostException e) {
                System.getLogger(Peers.class.getName())
                        .log(System.Logger.Level.DEBUG, "no address of other nodes: {0}", e.getMessage());
            }
        }
        long now = System.nanoTime();
        found.removeIf(address -> {
            Long since = failed.get(address);
            return since != null && now - since < REST_NANOS;
        });
        Collections.shuffle(found);
        return found.subList(0, Math.min(MOST, found.size()));
    }

    private Answer ask(String address, Digest layer) {
        try {
            HttpResponse<Void> response = http.send(
                    request(address, layer)
                            .method("HEAD", HttpRequest.BodyPublishers.noBody())
                            .build(),
                    HttpResponse.BodyHandlers.discarding());
            failed.remove(address);
            return new Answer(address, response.statusCode() == 200);
        } catch (IOException e) {
            failed.put(address, System.nanoTime());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return new Answer(address, false);
    }

    private InputStream get(String address, Digest layer) throws IOException {
        try {
            HttpResponse<InputStream> response =
                    http.send(request(address, layer).GET().build(), HttpResponse.BodyHandlers.ofInputStream());
            if (response.statusCode() != 200) {
                response.body().close();
                throw new IOException("it answered " + response.statusCode());
            }
            return new StallGuard(response.body(), clock, "node " + address, SILENCE);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
    }

    private static HttpRequest.Builder request(String address, Digest layer) {
        return HttpRequest.newBuilder(URI.create("http://" + address + BundleServer.PATH + layer))
                .timeout(ANSWER);
    }

    @Override
    public void close() {
        http.shutdownNow();
        threads.shutdownNow();
        clock.shutdownNow();
    }
}
