package dev.coldstart.integration.node;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.Output;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Root;
import dev.coldstart.integration.host.Suite;
import dev.coldstart.integration.host.TestHost;
import dev.coldstart.integration.start.Prediction;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestMethodOrder;

/** A model server's life on one node, whose image stays pulled: what a user types, and what may go wrong meanwhile. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
abstract class ModelServerScenarios {
    private static final Duration ANSWERS_WITHIN = Duration.ofSeconds(90);
    private static final String SNAPSHOTS = "/var/lib/coldstart/snapshots";

    private final Suite suite;
    private final String prefix;
    private @Nullable Registry registry;
    private @Nullable Node node;
    private String image = "";

    ModelServerScenarios(Suite suite, String prefix) {
        this.suite = suite;
        this.prefix = prefix;
    }

    @BeforeAll
    void startNode() {
        Root.assume();
        Repository repository = Repository.here();
        registry = Registry.start(repository, prefix + "-reg");
        image = registry.pushModelServer();
        node = Node.create(repository, prefix + "-node", suite, registry);
        node.startSnapshotter();
        node.startContainerd();
        node.coldstart("index", image);
        long before = node.host().bytesFrom(registry.host());
        pull("coldstart");
        assertThat(node.host().bytesFrom(registry.host()) - before)
                .as("bytes that the pull fetched, of an image of hundreds of MiB")
                .isLessThan(8L << 20);
    }

    @AfterAll
    void destroy() {
        if (node != null) {
            node.close();
        }
        if (registry != null) {
            registry.close();
        }
    }

    @BeforeEach
    void noContainers() {
        assertThat(node().host().ask("ctr", "containers", "ls", "-q")).isEmpty();
    }

    @AfterEach
    void removeContainers() {
        if (node != null) {
            for (String container :
                    node.host().ask("ctr", "containers", "ls", "-q").lines().toList()) {
                node.remove(container);
            }
        }
    }

    @Test
    @Order(1)
    void isRestoredWithWhatItHadInMemory() {
        run("first");
        Prediction original = answer();
        assertThat(original.initialised()).isEqualTo(1);
        awaitSnapshot();
        assertThat(answer()).as("the original goes on after its snapshot").isEqualTo(original);
        node().remove("first");

        run("second");
        assertThat(answer()).isEqualTo(original);
    }

    @Test
    @Order(2)
    void aRestoredContainerIsAContainerAsAnyOther() {
        runAndAnswer("restored");
        TestHost host = node().host();
        assertThat(host.ask("ctr", "tasks", "exec", "--exec-id", "e", "restored", "sh", "-c", "ls /app"))
                .isEqualTo("server.py");
        Output failed =
                host.run(TestHost.SOON, "ctr", "tasks", "exec", "--exec-id", "f", "restored", "sh", "-c", "exit 7");
        assertThat(failed.status()).isEqualTo(7);
        assertThat(host.ask("ctr", "tasks", "ls")).containsPattern("restored +[0-9]+ +RUNNING");
        assertThat(host.ask("ctr", "tasks", "metrics", "restored")).isNotEmpty();
        host.ask("ctr", "tasks", "pause", "restored");
        assertThat(host.ask("ctr", "tasks", "ls")).containsPattern("restored +[0-9]+ +PAUSED");
        host.ask("ctr", "tasks", "resume", "restored");
        answer();
        host.ask("ctr", "tasks", "kill", "-s", "SIGKILL", "restored");
        host.await(
                "the container's end",
                TestHost.SOON,
                () -> host.ask("ctr", "tasks", "ls").contains("STOPPED"));
        assertThat(host.run(TestHost.SOON, "ctr", "tasks", "rm", "restored").err())
                .contains("137");
    }

    @Test
    @Order(3)
    void twoRestoresOfOneSnapshotAreTwoContainers() {
        Prediction first = runAndAnswer("first");
        node().remove("first");
        assertThat(runAndAnswer("second")).isEqualTo(first);
    }

    @Test
    @Order(4)
    void aRestartedContainerdFindsTheContainer() {
        Prediction before = runAndAnswer("kept");
        node().stopContainerd();
        assertThat(answer()).isEqualTo(before);
        node().startContainerd();
        assertThat(node().host().ask("ctr", "tasks", "ls")).containsPattern("kept +[0-9]+ +RUNNING");
        assertThat(node().host().ask("ctr", "tasks", "exec", "--exec-id", "e", "kept", "echo", "hello"))
                .isEqualTo("hello");
    }

    @Test
    @Order(5)
    void aRestartedSnapshotterServesWhatWasMounted() {
        Prediction before = runAndAnswer("kept");
        node().stopSnapshotter();
        assertThat(answer()).as("the process needs no snapshotter").isEqualTo(before);
        node().startSnapshotter();
        node().awaitReconnection();
        assertThat(answer()).isEqualTo(before);
        node().remove("kept");
        assertThat(runAndAnswer("next")).isEqualTo(before);
    }

    @Test
    @Order(6)
    void aSnapshotThatIsDamagedIsNotUsed() {
        Prediction restored = runAndAnswer("restored");
        node().remove("restored");
        TestHost host = node().host();
        host.ask("sh", "-c", "cp -a " + SNAPSHOTS + " /var/lib/kept-snapshots");
        host.ask("sh", "-c", "for f in " + SNAPSHOTS + "/*/checkpoint/*.img; do : >\"$f\"; done");
        Prediction started = runAndAnswer("damaged");
        assertThat(started.instance()).isNotEqualTo(restored.instance());
        assertThat(started.prediction()).isEqualTo(restored.prediction());
        putSnapshotsBack();
    }

    @Test
    @Order(7)
    void anotherEnvironmentIsAnotherKey() {
        Prediction restored = runAndAnswer("same");
        node().remove("same");
        run("other", "--env", "ANOTHER=1");
        assertThat(answer().instance()).isNotEqualTo(restored.instance());
    }

    @Test
    @Order(8)
    void anAnnotationThatMeansNothingIsAWarning() {
        TestHost host = node().host();
        List<String> command = command("odd");
        command.set(command.indexOf("coldstart.dev/snapshot=auto"), "coldstart.dev/snapshot=sometimes");
        host.ask(command.toArray(String[]::new));
        answer();
        assertThat(host.ask("cat", "/var/log/containerd.log")).contains("coldstart.dev/snapshot");
    }

    @Test
    @Order(9)
    void whatWasReadOnceIsReadWithoutTheRegistry() {
        runAndAnswer("online");
        node().remove("online");
        registry().down();
        try {
            // From the objects on disk, not from a snapshot.
            node().host().ask("sh", "-c", "mv " + SNAPSHOTS + " /var/lib/kept-snapshots");
            node().dropCaches();
            assertThat(runAndAnswer("offline").initialised()).isEqualTo(1);
            Output pull = pullAs("coldstart", image.replace(":latest", ":none"));
            assertThat(pull.succeeded()).isFalse();
            Output index = node().host().run(TestHost.SOON, "/opt/coldstart/bin/coldstart", "index", image);
            assertThat(index.succeeded()).isFalse();
            assertThat(index.err()).contains(registry().host().name()).hasLineCount(1);
        } finally {
            putSnapshotsBack();
            registry().up();
        }
    }

    @Test
    @Order(10)
    void aSnapshotIsTakenShownAndRemovedByHand() {
        List<String> command = command("by-hand", "--env", "BY_HAND=1");
        int ready = command.indexOf("coldstart.dev/ready=http::8000/health");
        command.subList(ready - 1, ready + 1).clear();
        node().host().ask(command.toArray(String[]::new));
        Prediction original = answer();

        String id = node().coldstart("snapshot", "create", "by-hand");
        assertThat(id).matches("[0-9a-f]{64}");
        assertThat(answer()).as("the container goes on").isEqualTo(original);
        assertThat(node().coldstart("snapshot", "ls")).contains("by-hand");
        assertThat(node().coldstart("snapshot", "inspect", id.substring(0, 12)))
                .contains("default/by-hand", "BY_HAND")
                .doesNotContain("?");
        node().remove("by-hand");

        node().host().ask(command.toArray(String[]::new));
        assertThat(answer()).isEqualTo(original);
        node().coldstart("snapshot", "rm", id.substring(0, 12));
        assertThat(node().coldstart("snapshot", "ls")).doesNotContain(id.substring(0, 12));
        assertThat(node().host().ask("ctr", "tasks", "exec", "--exec-id", "e", "by-hand", "ls", "/app"))
                .as("the container outlives its snapshot")
                .isEqualTo("server.py");
        Output gone = node().host().run(TestHost.SOON, "/opt/coldstart/bin/coldstart", "snapshot", "inspect", id);
        assertThat(gone.succeeded()).isFalse();
        assertThat(gone.err()).hasLineCount(1);
    }

    @Test
    @Order(11)
    void aMissingRuntimeIsOneSentence() {
        TestHost host = node().host();
        host.ask("mv", "/usr/sbin/runc", "/usr/sbin/runc.away");
        try {
            Output run = host.run(ANSWERS_WITHIN, command("none").toArray(String[]::new));
            assertThat(run.succeeded()).isFalse();
            assertThat(run.err()).contains("runc").hasLineCount(1);
        } finally {
            host.ask("mv", "/usr/sbin/runc.away", "/usr/sbin/runc");
        }
    }

    @Test
    @Order(12)
    void whatAContainerWroteIsALayer() {
        runAndAnswer("writer");
        TestHost host = node().host();
        String write = "echo new >/app/new && rm /app/server.py && chmod 711 /app && mv /etc/hostname /etc/moved";
        host.ask("ctr", "tasks", "exec", "--exec-id", "w", "writer", "sh", "-c", write);
        String layer =
                host.script(ANSWERS_WITHIN, "ctr snapshots --snapshotter coldstart diff writer | tar -tzf - | sort");
        assertThat(layer.lines().map(String::strip))
                .contains("app/", "app/new", "app/.wh.server.py", "etc/moved", "etc/.wh.hostname");
        assertThat(layer.lines().count())
                .as("names in a layer of a few changes")
                .isLessThan(60);
    }

    /** Containers go first: one that was not restored is being snapshotted. */
    private void putSnapshotsBack() {
        removeContainers();
        node().host().script(TestHost.SOON, """
                        for _ in $(seq 100); do rm -rf "$1" && break; sleep 0.1; done
                        mv /var/lib/kept-snapshots "$1"
                        """, SNAPSHOTS);
    }

    private Node node() {
        if (node == null) {
            throw new IllegalStateException("the node was not started");
        }
        return node;
    }

    private Registry registry() {
        if (registry == null) {
            throw new IllegalStateException("the registry was not started");
        }
        return registry;
    }

    private void pull(String snapshotter) {
        Output output = pullAs(snapshotter, image);
        assertThat(output.status()).as(output.err()).isZero();
    }

    private Output pullAs(String snapshotter, String name) {
        return node().ctr(
                        "images",
                        "pull",
                        "--local=false",
                        "--platform",
                        "linux/amd64",
                        "--snapshotter",
                        snapshotter,
                        name);
    }

    private static List<String> base() {
        return new ArrayList<>(List.of(
                "ctr",
                "run",
                "--detach",
                "--net-host",
                "--snapshotter",
                "coldstart",
                "--runtime",
                "io.containerd.coldstart.v1",
                "--annotation",
                "coldstart.dev/snapshot=auto",
                "--annotation",
                "coldstart.dev/ready=http::8000/health"));
    }

    private List<String> command(String container, String... options) {
        List<String> command = base();
        command.addAll(List.of(options));
        command.addAll(List.of(image, container));
        return command;
    }

    private void run(String container, String... options) {
        Output output =
                node().host().run(ANSWERS_WITHIN, command(container, options).toArray(String[]::new));
        assertThat(output.status()).as(output.err()).isZero();
    }

    private Prediction runAndAnswer(String container) {
        run(container);
        return answer();
    }

    private Prediction answer() {
        TestHost host = node().host();
        String[] ask = {"curl", "-fsS", "-m", "20", "http://127.0.0.1:8000/predict?x=0.5"};
        host.await(
                "an answer", ANSWERS_WITHIN, () -> host.run(TestHost.SOON, ask).succeeded());
        return Prediction.parse(host.ask(ask));
    }

    private void awaitSnapshot() {
        TestHost host = node().host();
        try {
            host.await(
                    "a snapshot",
                    Duration.ofMinutes(2),
                    () -> host.run(TestHost.SOON, "sh", "-c", "ls " + SNAPSHOTS + "/*/manifest.pb")
                            .succeeded());
        } catch (HostException e) {
            String log = host.ask("tail", "-n", "15", "/var/log/containerd.log");
            throw new AssertionError(e.getMessage() + "; containerd's log ends with\n" + log, e);
        }
        assertThat(node().coldstart("snapshot", "ls"))
                .contains(host.ask("ls", SNAPSHOTS).substring(0, 12));
    }
}
