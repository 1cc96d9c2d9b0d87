package dev.coldstart.integration.node;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.integration.host.Output;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Root;
import dev.coldstart.integration.host.Suite;
import dev.coldstart.integration.host.TestHost;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * containerd's own tests of containers, tasks and shims, on a containerd that they start themselves and this shim; all that
 * runc's shim passes in the same host.
 */
class TaskSuiteIT {
    private static final Duration LIMIT = Duration.ofMinutes(9);

    /** Those that run containers. The others are about images, content, snapshots and the client. */
    private static final String TESTS =
            "^Test(Container|NewContainer|NewTask|Task|Shim|Daemon|Delete|Kill|Wait|Process|Regression|Issue|Short|Checkpoint"
                    + "|UserNamespaces|UIDNoGID|BindLow|RestartMonitor|RuntimeInfo|ClientReconnect|DefaultRuntime)";

    /** containerd 1.7 asks no shim for its features, and the configuration of the other's containerd is one of 2. */
    private static final String NOT_ON_1 = "^Test(RuntimeInfo|RestartMonitor)$";

    /** A minute each: the first is of containerd's own plug-in, the second the shim has passed on 1.7. */
    private static final String NOT_ON_2 = "^Test(RestartMonitor|ContainerExecLargeOutputWithTTY)$";

    /**
     * Three that want runc, those that want a library of CRIU's which the host has not, and long ones in which the OCI runtime
     * plays no part.
     */
    private static final String NOT_WITH_CRUN = "^Test(Issue9103|Issue10589|KillContainerDeletedByRunc|Checkpoint.*"
            + "|RuntimeInfo|RestartMonitor|ContainerExecLargeOutputWithTTY|RegressionIssue6429|Daemon.*)$";

    @ParameterizedTest(name = "on containerd {0} with {2}")
    @CsvSource({"1.7, TRIXIE, runc, 74", "2.1, SID, runc, 74", "2.1, SID, crun, 58"})
    void theSuitePasses(String release, Suite suite, String runtime, int tests) {
        Root.assume();
        Repository repository = Repository.here();
        TestHost.Bind tasks = Built.orSkip(Clients.TASKS, repository);
        boolean runc = runtime.equals("runc");
        String left = runc ? suite == Suite.TRIXIE ? NOT_ON_1 : NOT_ON_2 : NOT_WITH_CRUN;
        try (Registry registry = Registry.start(repository, "tasks-reg");
                Node node = Node.create(repository, "tasks-node", suite, registry, List.of(tasks))) {
            prepare(node.host(), registry.pushImage("busybox"), runc);
            Output run = node.host().run(LIMIT, "bash", "-c", """
                            cd /var/tmp
                            export PATH=/opt/suite:/opt/coldstart/bin:$PATH IMAGE_LIST=/opt/suite/images.toml
                            export TEST_RUNTIME=io.containerd.coldstart.v1 RUNC_FLAVOR=$3
                            exec /opt/tasks/tasks.test -test.root -test.v -test.timeout=500s -test.run "$1" -test.skip "$2"
                            """, "-", TESTS, left, runtime);
            List<String> results =
                    run.out().lines().filter(line -> line.contains("--- ")).toList();
            assertThat(run.status())
                    .as("%s\n%s", results, complaints(run.out()))
                    .isZero();
            assertThat(results.stream().filter(line -> line.startsWith("--- PASS: ")))
                    .as("tests on %s", release)
                    .hasSize(tests);
            assertThat(results).noneMatch(line -> line.contains("--- SKIP: "));
            assertNothingIsLeft(node.host());
        }
    }

    private static void prepare(TestHost host, String image, boolean runc) {
        host.write("/opt/suite/images.toml", """
                BusyBox = "%1$s"
                VolumeOwnership = "%1$s"
                VolumeCopyUp = "%1$s"
                """.formatted(image));
        // The one question that the suite asks it: which pipes a process has open.
        host.write("/opt/suite/lsof", """
                #!/bin/sh
                find "/proc/$2/fd" -lname 'pipe:*' -printf 'FIFO %l\\n'
                """);
        // Also the tests that name runc's shim get this one.
        host.script(TestHost.SOON, """
                set -e
                chmod 755 /opt/suite/lsof
                ln -s /opt/tasks/runc-fp /opt/suite/
                ln -s /opt/coldstart/bin/containerd-shim-coldstart-v1 /opt/suite/containerd-shim-runc-v2
                """);
        if (!runc) {
            // crun refuses hosts that have groups of both versions.
            host.script(TestHost.SOON, """
                    ln -s "$(command -v crun)" /opt/suite/runc
                    ! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
                    """);
        }
    }

    /** What is not a message of a test that passed, or of containerd's log. */
    private static String complaints(String output) {
        return output.lines()
                .filter(line -> line.contains("_test.go:") || line.startsWith("panic"))
                .collect(Collectors.joining("\n"));
    }

    /** No shim, no socket of one, no mount of a container and no process in one. */
    private static void assertNothingIsLeft(TestHost host) {
        host.await(
                "the end of all shims and containers",
                TestHost.SOON,
                () -> left(host).isEmpty());
    }

    private static String left(TestHost host) {
        return host.ask("sh", "-c", """
                ps -e -o args= | grep -E '^/opt/coldstart/runtime|^(/bin/)?(sleep ([0-9]|inf$)|top|cat)'
                ls /run/containerd/s
                grep /run/containerd-test/ /proc/self/mountinfo
                true
                """);
    }

    @ParameterizedTest
    @EnumSource(Suite.class)
    void whatTheSuiteDoesNotAsk(Suite suite) {
        Root.assume();
        Repository repository = Repository.here();
        TestHost.Bind nerdctl = Built.orSkip(Clients.NERDCTL, repository);
        try (Registry registry = Registry.start(repository, "tasks-reg");
                Node node = Node.create(repository, "tasks-node", suite, registry, List.of(nerdctl))) {
            TestHost host = node.host();
            String image = registry.pushImage("busybox");
            node.startContainerd();
            host.ask("ctr", "images", "pull", image);

            // Without a pid namespace of their own, a container's processes do not die with the first by themselves.
            host.ask(run(
                    image,
                    "hostpid",
                    List.of("-d", "--with-ns", "pid:/proc/1/ns/pid"),
                    "sh",
                    "-c",
                    "sleep 4711 & sleep 4712"));
            host.await("both of its processes", TestHost.SOON, () -> pids(host, "sleep 471[12]") == 2);
            host.ask("ctr", "tasks", "kill", "-s", "KILL", "hostpid");
            host.await("the end of all of its processes", TestHost.SOON, () -> pids(host, "sleep 471[12]") == 0);
            node.remove("hostpid");

            int events = host.spawn("/var/log/events.log", "ctr", "events");
            Output hungry = host.run(
                    TestHost.SOON,
                    run(
                            image,
                            "hungry",
                            List.of("--memory-limit", "33554432"),
                            "dd",
                            "if=/dev/zero",
                            "of=/dev/null",
                            "bs=512M",
                            "count=1"));
            assertThat(hungry.status()).as(hungry.err()).isEqualTo(137);
            List<String> order = List.of("/tasks/create", "/tasks/start", "/tasks/oom", "/tasks/exit");
            host.await(
                    "the events",
                    TestHost.SOON,
                    () -> host.ask("cat", "/var/log/events.log").contains("/tasks/exit"));
            assertThat(host.ask("cat", "/var/log/events.log")).containsSubsequence(order);
            host.stop(events);

            // A terminal whose output goes to a logger, and nobody attached.
            String nerdctlCommand = "/opt/nerdctl/nerdctl --snapshotter overlayfs --cgroup-manager cgroupfs ";
            host.script(
                    TestHost.SOON,
                    nerdctlCommand
                            + "run -d -t --net none --runtime io.containerd.coldstart.v1 --name term \"$1\" sh -c"
                            + " 'tty; seq -s , 2000; sleep 1000'",
                    image);
            host.await(
                    "the terminal's output",
                    TestHost.SOON,
                    () -> host.script(TestHost.SOON, nerdctlCommand + "logs term")
                            .contains(",1999,2000"));
            assertThat(host.script(TestHost.SOON, nerdctlCommand + "logs term")).contains("/dev/pts/0");
            host.script(TestHost.SOON, nerdctlCommand + "rm -f term");
        }
    }

    private static String[] run(String image, String id, List<String> flags, String... command) {
        List<String> all = new ArrayList<>(List.of("ctr", "run", "--runtime", "io.containerd.coldstart.v1"));
        all.addAll(flags);
        all.addAll(List.of(image, id));
        all.addAll(List.of(command));
        return all.toArray(String[]::new);
    }

    private static int pids(TestHost host, String pattern) {
        return Integer.parseInt(host.ask("sh", "-c", "pgrep -c -x -f '" + pattern + "' || true"));
    }
}
