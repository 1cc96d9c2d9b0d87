package dev.coldstart.integration.start;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Suite;
import dev.coldstart.integration.host.TestHost;
import dev.coldstart.integration.node.Node;
import dev.coldstart.integration.node.Registry;
import java.time.Duration;

/** A registry and a node on which one image is started in every {@link Way}. */
final class Comparison implements AutoCloseable {
    private static final Duration SNAPSHOT_WITHIN = Duration.ofMinutes(3);

    private final Registry registry;
    private final Node node;
    private final String image;

    private Comparison(Registry registry, Node node, String image) {
        this.registry = registry;
        this.node = node;
        this.image = image;
    }

    /** Makes both hosts and pushes the image. */
    static Comparison prepare(Repository repository) {
        Registry registry = Registry.start(repository, "registry");
        try {
            String image = registry.pushModelServer();
            Node node = Node.create(repository, "node", Suite.TRIXIE, registry);
            return new Comparison(registry, node, image);
        } catch (RuntimeException e) {
            registry.close();
            throw e;
        }
    }

    Node node() {
        return node;
    }

    String image() {
        return image;
    }

    /** Starts the image in every way, each as if the node had never seen it. What was restored is left running as {@code restored}. */
    Run run() {
        fresh();
        Start plain = start(Way.OVERLAYFS, "plain");
        node.remove("plain");

        fresh();
        // Reads every layer and keeps none of its bytes: the store is as empty as before.
        node.host().script(Duration.ofMinutes(5), "/opt/coldstart/bin/coldstart index \"$1\" >&2", image);
        node.dropCaches();
        Start lazy = start(Way.LAZY, "lazy");
        node.host()
                .await(
                        "a snapshot of the container",
                        SNAPSHOT_WITHIN,
                        () -> node.host()
                                .run(TestHost.SOON, "sh", "-c", "ls /var/lib/coldstart/snapshots/*/manifest.pb")
                                .succeeded());
        node.remove("lazy");

        node.dropCaches();
        Start restored = start(Way.RESTORE, "restored");
        if (!restored.prediction().equals(lazy.prediction())) {
            throw new HostException("the container was not restored: the original answered " + lazy.prediction()
                    + ", the new one " + restored.prediction() + "\n"
                    + node.host().ask("tail", "-n", "20", "/var/log/containerd.log"));
        }
        return new Run(plain, lazy, restored);
    }

    void removeRestored() {
        node.remove("restored");
    }

    private void fresh() {
        node.forget();
        node.awaitQuiet();
        node.dropCaches();
    }

    private Start start(Way way, String container) {
        return Start.measure(node, registry, way.pull(image), way.run(image, container));
    }

    @Override
    public void close() {
        try (registry) {
            node.close();
        }
    }
}
