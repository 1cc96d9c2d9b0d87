package dev.coldstart.integration.pull;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Suite;
import dev.coldstart.integration.host.TestHost;
import dev.coldstart.integration.node.Agent;
import dev.coldstart.integration.node.Node;
import dev.coldstart.integration.node.Registry;
import dev.coldstart.integration.start.Start;
import java.time.Duration;
import java.util.List;

/** A registry, and a node that is made to know of an image what each {@link Way} says. */
final class Hosts implements AutoCloseable {
    private static final Duration LONG = Duration.ofMinutes(20);
    private static final String CONTAINER = "pulled";
    private static final String NO_REPLAY = """
            [fetch]
            replay = false
            """;
    /** What nodes of a cluster have in common: the second finds what the first has packed of its start. */
    private static final String CLUSTER = """
            [index]
            key_file = "/etc/coldstart/key"
            """;

    private static final String PUBLISH = CLUSTER + """
            publish = true
            """;
    /** Whether the manifest of what was published for an image, which comes last, names what a start read. */
    private static final String PUBLISHED = """
            set -euo pipefail
            name=${0#*/}
            manifests="https://${0%%/*}/v2/${name%:*}/manifests"
            image=$(curl -fsSI -H "Accept: application/vnd.oci.image.manifest.v1+json" "$manifests/${name##*:}" |
                tr -d '\\r' | sed -n 's/^[Dd]ocker-[Cc]ontent-[Dd]igest: //p')
            artifact=$(curl -fsS -H "Accept: application/vnd.oci.image.index.v1+json" "$manifests/${image/:/-}" |
                grep -o '"digest":"sha256:[0-9a-f]*"' | cut -d '"' -f 4)
            curl -fsS -H "Accept: application/vnd.oci.image.manifest.v1+json" "$manifests/$artifact" | grep -q coldstart.prefetch
            """;

    private static final String KNOWLEDGE = "/var/lib/knowledge";

    /** Names as well as bytes, of what the container sees; the walk is a part of it. */
    private static final String READ_ALL = """
            set -euo pipefail
            cd "/run/containerd/io.containerd.runtime.v2.task/default/$2/rootfs"
            digest=$(find . -type f -print0 | LC_ALL=C sort -z |
                { tee >(tr '\\0' '\\n' | sha256sum >/tmp/names) | xargs -0 cat; } | sha256sum)
            end=$EPOCHREALTIME
            while [ ! -s /tmp/names ]; do sleep 0.01; done
            echo "$end $(cat "/sys/class/net/to-$1/statistics/rx_bytes") ${digest%% *}$(cut -c 1-64 /tmp/names)"
            rm /tmp/names
            """;

    private final Registry registry;
    private final Node node;
    private final boolean replays;

    private Hosts(Registry registry, Node node) {
        this.registry = registry;
        this.node = node;
        this.replays = knowsReplay(node);
    }

    static Hosts prepare(Repository repository) {
        Registry registry = Registry.start(repository, "pull-reg");
        try {
            Node node = Node.create(repository, "pull-node", Suite.TRIXIE, registry);
            try {
                return new Hosts(registry, node);
            } catch (RuntimeException e) {
                node.close();
                throw e;
            }
        } catch (RuntimeException e) {
            registry.close();
            throw e;
        }
    }

    private static boolean knowsReplay(Node node) {
        Agent agent = new Agent(node, "probe", NO_REPLAY);
        try {
            agent.start();
        } catch (HostException e) {
            return false;
        }
        agent.stop();
        return true;
    }

    /** Whether start-ups are recorded and replayed: if not, there is no {@link Way#NO_TRACE}. */
    boolean replays() {
        return replays;
    }

    /** Pushes an image, and keeps what a start of it teaches aside from the node. */
    String learn(Size size) {
        String image = registry.pushImage(size.image());
        shape(Link.GBIT_10);
        node.host().script(TestHost.SOON, "umask 077; printf %064d 7 >/etc/coldstart/key");
        node.configure(replays ? PUBLISH : "");
        node.forget();
        node.host().script(LONG, "/opt/coldstart/bin/coldstart index \"$1\" >&2", image);
        if (replays) {
            start(Way.SECOND_NODE, image);
            node.host()
                    .await(
                            "what the start read to be published",
                            LONG,
                            () -> node.host()
                                    .run(TestHost.SOON, "bash", "-c", PUBLISHED, image)
                                    .succeeded());
            node.remove(CONTAINER);
        }
        node.stopContainerd();
        node.stopSnapshotter();
        // All but bytes, and what the node has of its own.
        node.host().script(LONG, """
                set -e
                rm -rf "$1" && mkdir "$1"
                cd /var/lib/coldstart
                find . -mindepth 1 -maxdepth 1 ! -name objects ! -name partial ! -name fs ! -name implied ! -name snapshots \\
                    -exec cp -a -t "$1" {} +
                rm -f "$1"/meta/snapshots.log "$1"/meta/synced "$1"/meta/pins
                """, KNOWLEDGE);
        return image;
    }

    void shape(Link link) {
        registry.host().shape(node.host(), link.rate());
    }

    /** Starts an image on a node that knows of it what the way says, reads all its files, and removes the container. */
    Measurement measure(Way way, String image) {
        node.configure(
                switch (way) {
                    case OVERLAYFS, FIRST_EVER -> "";
                    case SECOND_NODE -> CLUSTER;
                    case NO_TRACE -> CLUSTER + NO_REPLAY;
                });
        switch (way) {
            case OVERLAYFS, FIRST_EVER -> node.forget();
            case SECOND_NODE, NO_TRACE -> becomeSecondNode();
        }
        node.awaitQuiet();
        node.dropCaches();
        TestHost host = node.host();
        double containerd = host.processorSeconds(node.containerdPid());
        double snapshotter = host.processorSeconds(node.snapshotterPid());
        double served = registry.host().processorSeconds(registry.pid());
        long received = host.bytesFrom(registry.host());
        Start start = start(way, image);
        String[] read =
                host.script(LONG, READ_ALL, registry.host().name(), CONTAINER).split(" ", -1);
        Measurement measurement = new Measurement(
                start,
                Double.parseDouble(read[0]) - start.begun(),
                Long.parseLong(read[1]) - received,
                read[2],
                host.processorSeconds(node.containerdPid()) - containerd,
                host.processorSeconds(node.snapshotterPid()) - snapshotter,
                registry.host().processorSeconds(registry.pid()) - served);
        node.remove(CONTAINER);
        return measurement;
    }

    /** A node that never had the image, and to which what another one learnt of it is handed. */
    private void becomeSecondNode() {
        node.empty();
        node.host().ask("cp", "-a", KNOWLEDGE, "/var/lib/coldstart");
        node.startSnapshotter();
        node.startContainerd();
    }

    private Start start(Way way, String image) {
        List<String> run = List.of(
                "ctr",
                "run",
                "--detach",
                "--net-host",
                "--snapshotter",
                way.snapshotter(),
                "--runtime",
                "io.containerd.runc.v2",
                image,
                CONTAINER);
        return Start.measure(node, registry, Node.pullCommand(way.snapshotter(), image), run);
    }

    @Override
    public void close() {
        try (registry) {
            node.close();
        }
    }
}
