package dev.coldstart.integration.node;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.integration.host.Output;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Root;
import dev.coldstart.integration.host.Suite;
import dev.coldstart.integration.host.TestHost;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

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

    @ParameterizedTest(name = "on containerd {0}")
    @CsvSource({"1.7, TRIXIE, 74", "2.1, SID, 76"})
    void theSuitePasses(String release, Suite suite, int tests) {
        Root.assume();
        Repository repository = Repository.here();
        TestHost.Bind tasks = Built.orSkip(Clients.TASKS, repository);
        try (Registry registry = Registry.start(repository, "tasks-reg");
                Node node = Node.create(repository, "tasks-node", suite, registry, List.of(tasks))) {
            prepare(node.host(), registry.pushImage("busybox"));
            Output run = node.host().run(LIMIT, "bash", "-c", """
                            cd /var/tmp
                            export PATH=/opt/suite:/opt/coldstart/bin:$PATH IMAGE_LIST=/opt/suite/images.toml
                            export TEST_RUNTIME=io.containerd.coldstart.v1
                            exec /opt/tasks/tasks.test -test.root -test.v -test.timeout=500s -test.run "$1" -test.skip "$2"
                            """, "-", TESTS, suite == Suite.TRIXIE ? NOT_ON_1 : "^$");
            List<String> results =
                    run.out().lines().filter(line -> line.contains("--- ")).toList();
            assertThat(run.status())
                    .as("%s\n%s", results, tail(run.out() + run.err()))
                    .isZero();
            assertThat(results.stream().filter(line -> line.startsWith("--- PASS: ")))
                    .as("tests on %s", release)
                    .hasSize(tests);
            assertThat(results).noneMatch(line -> line.contains("--- SKIP: "));
            assertNothingIsLeft(node.host());
        }
    }

    private static void prepare(TestHost host, String image) {
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
    }

    /** No shim, no socket of one, no mount of a container and no process in one. */
    private static void assertNothingIsLeft(TestHost host) {
        host.await(
                "the end of all shims and containers",
                TestHost.SOON,
                () -> host.ask("sh", "-c", """
                        pgrep -f 'ShimMain|containerd-shim' | grep -v "^$$\\$"
                        ls /run/containerd/s
                        grep /run/containerd-test/ /proc/self/mountinfo
                        pgrep -x sleep | grep -v -w "$(pgrep -P 1 -x sleep | head -n 1)"
                        true
                        """).isEmpty());
    }

    private static String tail(String text) {
        return text.substring(Math.max(0, text.length() - 4000));
    }
}
