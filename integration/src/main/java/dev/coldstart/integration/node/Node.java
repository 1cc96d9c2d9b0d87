package dev.coldstart.integration.node;

import dev.coldstart.integration.host.Output;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Suite;
import dev.coldstart.integration.host.TestHost;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * A node: a test host with its own containerd, coldstart's programs in {@code /opt/coldstart}, and a link of 1 Gb/s to a
 * registry. Programs are started by name and can be stopped and started again; all of them end with the node.
 */
public final class Node implements AutoCloseable {
    public static final String CONFIG = "/etc/coldstart/config.toml";
    public static final String SOCKET = "/run/coldstart/node.sock";
    /** How long a program may take until it answers, on a busy machine. */
    private static final Duration UP = Duration.ofSeconds(60);

    /** A process is quiet if it takes less than so many seconds of processor in that time. */
    private static final double QUIET_SECONDS = 0.05;

    private static final Duration QUIET = Duration.ofMillis(500);

    private final TestHost host;
    private final Registry registry;
    private int containerd;
    private int keeper;

    private Node(TestHost host, Registry registry) {
        this.host = host;
        this.registry = registry;
    }

    /** Makes a node; starts none of its programs. */
    public static Node create(Repository repository, String name, Suite suite, Registry registry) {
        return create(repository, name, suite, registry, List.of());
    }

    /**
     * Makes a node; starts none of its programs.
     *
     * @param binds what it sees besides coldstart's programs
     */
    public static Node create(
            Repository repository, String name, Suite suite, Registry registry, List<TestHost.Bind> binds) {
        List<TestHost.Bind> all = new ArrayList<>(binds);
        all.add(programs(repository));
        TestHost host = TestHost.create(repository, name, suite, all);
        return create(host, registry, () -> host.link(registry.host(), "1gbit"));
    }

    /**
     * Makes a node that has what measures and tests file systems, and a link as fast as the machine; starts none of its
     * programs.
     *
     * @param binds what it sees besides the programs
     */
    public static Node forFiles(Repository repository, String name, Registry registry, List<TestHost.Bind> binds) {
        List<TestHost.Bind> all = new ArrayList<>(binds);
        all.add(programs(repository));
        TestHost host = TestHost.create(repository, name, Suite.TRIXIE, "files", all);
        return create(host, registry, () -> host.link(registry.host()));
    }

    private static TestHost.Bind programs(Repository repository) {
        return new TestHost.Bind(repository.programs(), "/opt/coldstart");
    }

    private static Node create(TestHost host, Registry registry, Runnable link) {
        try {
            link.run();
            host.write("/usr/local/share/ca-certificates/registry.crt", registry.authority());
            host.ask("update-ca-certificates");
            Node node = new Node(host, registry);
            node.configure("");
            node.configureContainerd();
            return node;
        } catch (RuntimeException e) {
            host.close();
            throw e;
        }
    }

    /**
     * Configures coldstart's programs, from their next start on.
     *
     * @param sections more of the configuration, or an empty string
     */
    public void configure(String sections) {
        // containerd remembers where a blob came from without the port.
        host.write(CONFIG, """
                [snapshotter]
                node_name = "%s"

                [registry."%s"]
                plain_http = false
                %s
                """.formatted(host.name(), registry.address(), sections));
    }

    /** What install.sh tells a user to add, and no CRI plug-in, which would want a network of its own. */
    private void configureContainerd() {
        boolean second = host.ask("containerd", "--version").contains("containerd/v2");
        host.write("/etc/containerd/config.toml", """
                version = %d
                disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
                imports = ["/opt/coldstart/share/containerd/%s.toml"]
                """.formatted(
                        second ? 3 : 2, second ? "containerd-2" : "containerd-1.7"));
    }

    /** Lets containerd use these snapshotters besides its own, by their names; before its start. */
    public void configureContainerd(List<Agent> agents) {
        StringBuilder config = new StringBuilder("""
                version = 2
                disabled_plugins = ["io.containerd.grpc.v1.cri"]
                """);
        for (Agent agent : agents) {
            config.append("""
                    [proxy_plugins.%s]
                    type = "snapshot"
                    address = "%s/snapshotter.sock"
                    """.formatted(agent.name(), agent.state()));
        }
        List<String> snapshotters = new ArrayList<>(List.of("overlayfs"));
        agents.forEach(agent -> snapshotters.add(agent.name()));
        for (String snapshotter : snapshotters) {
            config.append("""
                    [[plugins."io.containerd.transfer.v1.local".unpack_config]]
                    platform = "linux/amd64"
                    snapshotter = "%s"
                    """.formatted(snapshotter));
        }
        host.write("/etc/containerd/config.toml", config.toString());
    }

    public TestHost host() {
        return host;
    }

    Registry registry() {
        return registry;
    }

    /** Pid of containerd, in the host; 0 before its first start. */
    public int containerdPid() {
        return containerd;
    }

    /** Pid of coldstart-snapshotter, in the host; 0 while it is between two lives. */
    public int snapshotterPid() {
        String pid = host.run(TestHost.SOON, "pgrep", "-P", Integer.toString(keeper), "-x", "java")
                .out();
        return pid.isEmpty() ? 0 : Integer.parseInt(pid);
    }

    public void startContainerd() {
        containerd = host.spawn(
                "/var/log/containerd.log",
                "env",
                "PATH=/opt/coldstart/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
                "containerd");
        host.await("containerd", UP, () -> ctr("version").succeeded());
    }

    public void stopContainerd() {
        host.stop(containerd);
    }

    public void startSnapshotter() {
        keeper = startAgent(CONFIG, SOCKET, "/var/log/snapshotter.log");
    }

    /**
     * Waits until coldstart-snapshotter has nothing to do: after its start it has its code compiled, and a node seldom gets an
     * image within its first seconds.
     */
    public void awaitQuiet() {
        int pid = snapshotterPid();
        host.await("coldstart-snapshotter to be quiet", UP, () -> {
            double before = host.processorSeconds(pid);
            pause();
            return host.processorSeconds(pid) - before < QUIET_SECONDS;
        });
    }

    private static void pause() {
        try {
            Thread.sleep(QUIET);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    public void stopSnapshotter() {
        host.stop(keeper);
    }

    /**
     * Waits until containerd, which has been running for longer, asks coldstart-snapshotter again: while that was away it may have
     * failed to connect, and then tries again only after one to three seconds, in which it fails what wants a snapshot.
     */
    public void awaitReconnection() {
        host.await(
                "containerd's next try to connect to coldstart-snapshotter",
                UP,
                () -> ctr("snapshots", "--snapshotter", "coldstart", "ls").succeeded());
    }

    /**
     * Starts one more coldstart-snapshotter, with nothing in its store.
     *
     * @return its socket
     */
    public String startSecondAgent(String name) {
        String socket = "/run/coldstart-" + name + "/node.sock";
        String config = "/etc/coldstart/" + name + ".toml";
        host.write(config, """
                [snapshotter]
                root = "/var/lib/coldstart-%s"
                state = "/run/coldstart-%s"
                node_name = "%s"
                """.formatted(name, name, name));
        startAgent(config, socket, "/var/log/snapshotter-" + name + ".log");
        return socket;
    }

    private int startAgent(String config, String socket, String log) {
        int pid = host.spawn(log, "/opt/coldstart/bin/coldstart-keeper", "--config", config);
        awaitSocket("coldstart-snapshotter", socket, log);
        return pid;
    }

    public void startPlanner() {
        host.spawn("/var/log/planner.log", "/opt/coldstart/bin/coldstart-planner", "--config", CONFIG);
        awaitSocket("coldstart-planner", "/run/coldstart/planner.sock", "/var/log/planner.log");
    }

    private void awaitSocket(String program, String socket, String log) {
        host.await(
                program + " (see " + log + ")",
                UP,
                () -> host.run(TestHost.SOON, "test", "-S", socket).succeeded());
    }

    /**
     * The command that pulls an image through containerd's transfer service, which names each layer to the snapshotter. 2.x does
     * it unasked; 1.7 wants to be told, and also for which platform to unpack.
     */
    public static List<String> pullCommand(String snapshotter, String image) {
        return List.of(
                "ctr",
                "images",
                "pull",
                "--local=false",
                "--platform",
                "linux/amd64",
                "--snapshotter",
                snapshotter,
                image);
    }

    /** Runs containerd's own client. */
    public Output ctr(String... arguments) {
        return host.run(Duration.ofMinutes(5), command("ctr", arguments));
    }

    /** Runs coldstart's command line, which must succeed; gives what it printed. */
    public String coldstart(String... arguments) {
        return host.ask(command("/opt/coldstart/bin/coldstart", arguments));
    }

    private static String[] command(String program, String... arguments) {
        List<String> command = new ArrayList<>(List.of(program));
        command.addAll(List.of(arguments));
        return command.toArray(String[]::new);
    }

    /** Ends a container and removes it, whatever state it is in. */
    public void remove(String container) {
        host.script(Duration.ofMinutes(1), """
                ctr tasks kill -s KILL "$1" 2>/dev/null
                for _ in $(seq 100); do
                    ctr tasks ls | awk -v c="$1" '$1 == c && $3 == "RUNNING" { found = 1 } END { exit !found }' || break
                    sleep 0.1
                done
                ctr tasks rm -f "$1" >/dev/null 2>&1
                ctr containers rm "$1"
                """, container);
    }

    /** Makes containerd and coldstart-snapshotter as on a new node, and starts them. No container may run. */
    public void forget() {
        empty();
        startSnapshotter();
        startContainerd();
    }

    /** Ends containerd and coldstart-snapshotter, and leaves nothing that they kept. No container may run. */
    public void empty() {
        if (containerd != 0) {
            stopContainerd();
            stopSnapshotter();
            containerd = 0;
        }
        host.script(Duration.ofMinutes(5), """
                set -e
                awk '$5 ~ "^/(run|var/lib)/(coldstart|containerd)/" { print $5 }' /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -l
                rm -rf /run/containerd/* /run/coldstart
                # Put aside, not deleted: for minutes ext4 looks past inodes that were just freed, at each file it makes. Their
                # bytes go.
                mkdir -p /var/lib/gone
                gone=$(mktemp -d /var/lib/gone/XXXXXX)
                for old in /var/lib/containerd/* /var/lib/coldstart; do [ ! -e "$old" ] || mv "$old" "$gone/"; done
                find "$gone" -type f -size +0 -print0 | xargs -0 -r truncate -s 0
                """);
    }

    /** Drops what the kernel keeps of files, and reads the registry's again, which in life has another kernel. */
    public void dropCaches() {
        host.script(Duration.ofMinutes(5), "sync; echo 3 >/proc/sys/vm/drop_caches");
        registry.warm();
    }

    @Override
    public void close() {
        host.close();
    }
}
