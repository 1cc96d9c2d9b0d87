package dev.coldstart.integration.node;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.TestHost;
import java.time.Duration;

/** One more coldstart-snapshotter on a node, under a name of its own, with its own store, mounts and sockets. */
public final class Agent {
    private static final Duration UP = Duration.ofSeconds(60);

    private final Node node;
    private final String name;
    private int pid;

    /**
     * Configures it; starts nothing.
     *
     * @param name containerd's name for the snapshotter
     * @param settings further lines of the section {@code [snapshotter]}, or an empty string
     */
    public Agent(Node node, String name, String settings) {
        this.node = node;
        this.name = name;
        node.host().write(config(), """
                [snapshotter]
                root = "%s"
                state = "%s"
                node_name = "%s"
                %s

                [registry."%s"]
                plain_http = false
                """.formatted(
                        root(), state(), name, settings, node.registry().address()));
    }

    public String name() {
        return name;
    }

    /** What survives it. */
    public String root() {
        return "/var/lib/coldstart-" + name;
    }

    /** Its sockets and mounts. */
    public String state() {
        return "/run/coldstart-" + name;
    }

    public String log() {
        return "/var/log/coldstart-" + name + ".log";
    }

    /** In the host. */
    public int pid() {
        return pid;
    }

    private String config() {
        return "/etc/coldstart/" + name + ".toml";
    }

    /**
     * Starts it.
     *
     * @throws HostException with the end of its log if it does not come up
     */
    public void start() {
        start("/opt/coldstart/bin/coldstart-snapshotter");
    }

    /**
     * Starts it by another command than the installed one.
     *
     * @param program takes the arguments of coldstart-snapshotter
     * @throws HostException with the end of its log if it does not come up
     */
    public void start(String program) {
        TestHost host = node.host();
        host.ask("rm", "-f", socket());
        pid = host.spawn(log(), program, "--config", config());
        String running = Integer.toString(pid);
        host.await(
                name + " (see " + log() + ")",
                UP,
                () -> host.run(TestHost.SOON, "test", "-S", socket()).succeeded()
                        || !host.run(TestHost.SOON, "kill", "-0", running).succeeded());
        if (!host.run(TestHost.SOON, "test", "-S", socket()).succeeded()) {
            throw new HostException(
                    "coldstart-snapshotter '" + name + "' ended: " + host.ask("tail", "-n", "3", log()));
        }
    }

    public void stop() {
        node.host().stop(pid);
    }

    /** Empties the store of a stopped agent; indexes, trees and snapshots stay. */
    public void dropObjects() {
        node.host()
                .script(
                        Duration.ofMinutes(2),
                        // Put aside, not deleted: for minutes ext4 looks past inodes that were just freed.
                        "mkdir -p /var/lib/gone; mv \"$1/objects\" \"$1/partial\" \"$(mktemp -d /var/lib/gone/XXXXXX)/\"",
                        root());
    }

    /** Makes an image's indexes and trees, and keeps none of its bytes. */
    public void index(String image) {
        node.host()
                .script(
                        Duration.ofMinutes(5),
                        "/opt/coldstart/bin/coldstart index --node-socket \"$1\" \"$2\" >&2",
                        socket(),
                        image);
    }

    private String socket() {
        return state() + "/node.sock";
    }
}
