package dev.coldstart.snapshotter.registry;

import dev.coldstart.snapshotter.registry.RegistryException.Reason;
import java.io.IOException;
import java.net.http.HttpClient;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** HTTP clients, one for each way to speak TLS; each keeps its connections open for the next request. */
final class Connections implements AutoCloseable {
    private final Trust trust;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final Map<Key, Client> clients = new HashMap<>();

    private record Key(Tls tls, Duration dialTimeout) {}

    private record Client(List<FileStamp> stamps, HttpClient http) {}

    Connections(Trust trust) {
        this.trust = trust;
    }

    /** The one for a server, made anew when its certificates' files have changed. */
    synchronized HttpClient to(Endpoint endpoint) throws RegistryException {
        Key key = new Key(endpoint.tls(), endpoint.dialTimeout());
        Client known = clients.get(key);
        List<FileStamp> stamps = key.tls().stamps();
        if (known != null && known.stamps().equals(stamps)) {
            return known.http();
        }
        try {
            HttpClient http = HttpClient.newBuilder()
                    .followRedirects(HttpClient.Redirect.NEVER)
                    .connectTimeout(key.dialTimeout())
                    .executor(threads)
                    .sslContext(trust.context(key.tls()))
                    .build();
            clients.put(key, new Client(stamps, http));
            if (known != null) {
                known.http().shutdown();
            }
            return http;
        } catch (IOException e) {
            throw new RegistryException(
                    Reason.MALFORMED, "cannot connect to registry " + endpoint.authority() + ": " + e.getMessage(), e);
        }
    }

    @Override
    public synchronized void close() {
        clients.values().forEach(client -> client.http().shutdownNow());
        threads.shutdownNow();
    }
}
