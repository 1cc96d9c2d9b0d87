package dev.coldstart.integration.shim;

import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Suite;
import dev.coldstart.integration.host.TestHost;
import dev.coldstart.integration.node.Clients;
import java.time.Duration;
import java.util.List;

/** A host with containerd, overlayfs, both shims, and the pool of ours. */
public final class Runtimes implements AutoCloseable {
    public static final String OURS = "io.containerd.coldstart.v1";
    public static final String RUNC = "io.containerd.runc.v2";
    public static final String POOL = "/run/coldstart/pool";
    private static final Duration LIMIT = Duration.ofMinutes(20);
    private static final Duration UP = Duration.ofMinutes(2);

    private final TestHost host;
    private int keeper;
    private int containerd;

    private Runtimes(TestHost host) {
        this.host = host;
    }

    /** Makes the host, and starts its containerd, but not the pool. */
    public static Runtimes create(Repository repository, String name) {
        List<TestHost.Bind> binds =
                List.of(new TestHost.Bind(repository.programs(), "/opt/coldstart"), Clients.SHIMS.bind(repository));
        TestHost host = TestHost.create(repository, name, Suite.TRIXIE, binds);
        try {
            Runtimes runtimes = new Runtimes(host);
            host.write("/etc/containerd/config.toml", """
                    version = 2
                    disabled_plugins = ["io.containerd.grpc.v1.cri"]
                    """);
            runtimes.startContainerd();
            runtimes.shims("image");
            return runtimes;
        } catch (RuntimeException e) {
            host.close();
            throw e;
        }
    }

    public TestHost host() {
        return host;
    }

    public void startContainerd() {
        containerd = host.spawn(
                "/var/log/containerd.log",
                "env",
                "PATH=/opt/coldstart/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
                "containerd");
        host.await(
                "containerd",
                UP,
                () -> host.run(TestHost.SOON, "ctr", "version").succeeded());
    }

    public void stopContainerd() {
        host.stop(containerd);
    }

    /** Starts the pool's keeper and waits until that many shims wait. */
    public void startPool(int size) {
        host.write("/etc/coldstart/config.toml", "[shim]\npool = " + size + "\npool_memory = \"1 GiB\"\n");
        keeper = host.spawn("/var/log/pool.log", "/opt/coldstart/bin/coldstart-shim-pool");
        awaitPool(size);
    }

    public void awaitPool(int size) {
        host.await(size + " shims that wait", UP, () -> waiting().size() == size);
    }

    /** Pids of the shims that wait. */
    public List<Integer> waiting() {
        return host.script(TestHost.SOON, "cd " + POOL + " && ls -- *.ready 2>/dev/null || true")
                .lines()
                .map(line -> Integer.parseInt(line.substring(0, line.indexOf('.'))))
                .toList();
    }

    public int keeper() {
        return keeper;
    }

    /** Ends the keeper and the shims that wait. */
    public void stopPool() {
        host.stop(keeper);
    }

    /** Runs the program {@code shims}; gives what it printed. */
    public String shims(String... arguments) {
        return host.script(LIMIT, "exec /opt/shims/shims /run/containerd/containerd.sock \"$@\"", arguments);
    }

    /** MiB that the shim of a pod of so many containers takes when it rests: its proportional set size. */
    double pssMebibytes(int containers, String runtime, String pattern) {
        return Double.parseDouble(host.script(LIMIT, """
                set -e
                mkfifo /tmp/hold
                /opt/shims/shims /run/containerd/containerd.sock hold "$1" pod "$2" </tmp/hold >/tmp/held &
                exec 5>/tmp/hold
                until grep -q held /tmp/held; do kill -0 $! && sleep 0.1; done
                sleep 15
                for pid in $(pgrep -f "$3"); do
                    [ -e "$4/$pid.in" ] || sed -n 's/^Pss: *//p' "/proc/$pid/smaps_rollup"
                done | awk '{ sum += $1 } END { print sum / 1024 }'
                exec 5>&-
                wait $!
                rm /tmp/hold /tmp/held
                """, Integer.toString(containers), runtime, pattern, POOL));
    }

    @Override
    public void close() {
        host.close();
    }
}
