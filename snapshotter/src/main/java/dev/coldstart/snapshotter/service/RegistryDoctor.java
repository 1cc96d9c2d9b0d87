package dev.coldstart.snapshotter.service;

import dev.coldstart.proto.v1.Finding;
import dev.coldstart.proto.v1.Severity;
import dev.coldstart.snapshotter.metadata.Catalog;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.registry.ImageReference;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.RegistryException;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Looks whether registries answer, and whether they give us what running containers may still read. */
final class RegistryDoctor {
    private static final String SUBJECT = "registry ";
    private static final int MOST_HOSTS = 16;
    private static final long SECONDS = 20;
    /** A repository that nobody has; a registry that knows itself says so. */
    private static final String NOBODYS = "coldstart/doctor";

    private final RegistryClient client;
    private final Set<String> configured;
    private final Supplier<Catalog> catalog;

    /** @param configured HOST[:PORT] of the registries in the configuration */
    RegistryDoctor(RegistryClient client, Set<String> configured, Supplier<Catalog> catalog) {
        this.client = client;
        this.configured = configured;
        this.catalog = catalog;
    }

    List<Finding> look() {
        Map<String, @Nullable LayerSource> hosts = new TreeMap<>();
        configured.forEach(host -> hosts.put(host, null));
        Catalog now = catalog.get();
        now.snapshots().forEach(snapshot -> {
            if (snapshot.layer() != null) {
                now.sources(snapshot.layer()).forEach(source -> hosts.put(source.host(), source));
            }
        });
        if (hosts.isEmpty()) {
            return List.of(Doctor.finding("registries", Severity.SEVERITY_FINE, "none is known yet"));
        }
        List<CompletableFuture<Finding>> looks = new ArrayList<>();
        List<String> names = List.copyOf(hosts.keySet()).subList(0, Math.min(MOST_HOSTS, hosts.size()));
        for (String host : names) {
            CompletableFuture<Finding> look = new CompletableFuture<>();
            LayerSource layer = hosts.get(host);
            Thread.startVirtualThread(() -> look.complete(look(host, layer)));
            looks.add(look);
        }
        List<Finding> findings = new ArrayList<>();
        for (int i = 0; i < names.size(); i++) {
            findings.add(await(names.get(i), looks.get(i)));
        }
        return findings;
    }

    private static Finding await(String host, CompletableFuture<Finding> look) {
        try {
            return look.get(SECONDS, TimeUnit.SECONDS);
        } catch (TimeoutException | ExecutionException e) {
            return Doctor.finding(
                    SUBJECT + host, Severity.SEVERITY_PROBLEM, "does not answer within " + SECONDS + " s");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return Doctor.finding(SUBJECT + host, Severity.SEVERITY_WARNING, "was not looked at to the end");
        }
    }

    /** @param layer that it is said to have; null if none is known */
    private Finding look(String host, @Nullable LayerSource layer) {
        try {
            if (layer == null) {
                var _ = client.manifest(new ImageReference(host, NOBODYS, "none"));
                return Doctor.finding(SUBJECT + host, Severity.SEVERITY_FINE, "answers");
            }
            try (InputStream first = client.blob(host, layer.repository(), layer.layer(), 0, 1)) {
                return first.read() < 0
                        ? Doctor.finding(
                                SUBJECT + host,
                                Severity.SEVERITY_PROBLEM,
                                "gives no bytes of layers of " + layer.repository())
                        : Doctor.finding(
                                SUBJECT + host,
                                Severity.SEVERITY_FINE,
                                "gives ranges of layers of " + layer.repository());
            }
        } catch (RegistryException e) {
            boolean answers =
                    e.reason() == RegistryException.Reason.NOT_FOUND || e.reason() == RegistryException.Reason.DENIED;
            if (layer == null && answers) {
                return Doctor.finding(
                        SUBJECT + host,
                        Severity.SEVERITY_FINE,
                        e.reason() == RegistryException.Reason.DENIED
                                ? "answers, and wants credentials for what nobody may read"
                                : "answers");
            }
            return Doctor.finding(SUBJECT + host, Severity.SEVERITY_PROBLEM, String.valueOf(e.getMessage()));
        } catch (IOException e) {
            return Doctor.finding(SUBJECT + host, Severity.SEVERITY_PROBLEM, String.valueOf(e.getMessage()));
        }
    }
}
