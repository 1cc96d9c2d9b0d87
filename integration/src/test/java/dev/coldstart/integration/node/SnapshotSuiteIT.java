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

/** containerd's own snapshot tests, each on a coldstart-snapshotter of its own, over gRPC as containerd speaks it. */
class SnapshotSuiteIT {
    private static final Duration LIMIT = Duration.ofMinutes(8);

    @ParameterizedTest(name = "of containerd {0}")
    @CsvSource({"1.7, suite1.test", "2.1, suite2.test"})
    void theSuitePasses(String release, String program) {
        Root.assume();
        Repository repository = Repository.here();
        TestHost.Bind suites = Built.orSkip(Clients.SNAPSHOTS, repository);
        try (TestHost host = TestHost.create(
                repository,
                "snapsuite",
                Suite.TRIXIE,
                List.of(suites, new TestHost.Bind(repository.programs(), "/opt/coldstart")))) {
            Output run = host.run(
                    LIMIT,
                    "sh",
                    "-c",
                    "mkdir /var/lib/suite && TMPDIR=/var/lib/suite exec /opt/snapshots/" + program
                            + " -test.v -test.timeout=450s");
            assertThat(run.status()).as(run.out() + run.err()).isZero();
            assertThat(run.out().lines().filter(line -> line.startsWith("    --- PASS: TestSnapshotter/")))
                    .as("tests of %s, none skipped", release)
                    .hasSize(21);
        }
    }
}
