package dev.coldstart.integration.node;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Root;
import dev.coldstart.integration.host.Suite;
import dev.coldstart.integration.host.TestHost;
import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The snapshotter dies again and again under processes that read from it. */
class HandOverIT {
    private static final int DEATHS = 100;
    private static final int READERS = 8;
    private static final long SEED = 20261122;
    private static final Duration MINUTES = Duration.ofMinutes(3);

    @Test
    void readersNoticeNothingOfItsDeaths() throws Exception {
        Root.assume();
        Repository repository = Repository.here();
        try (Registry registry = Registry.start(repository, "hand-reg");
                Node node = Node.create(repository, "hand-node", Suite.TRIXIE, registry)) {
            String image = registry.pushModelServer();
            TestHost host = node.host();
            node.startSnapshotter();
            node.startContainerd();
            for (String snapshotter : List.of("overlayfs", "coldstart")) {
                if (snapshotter.equals("coldstart")) {
                    node.coldstart("index", image);
                }
                host.script(MINUTES, """
                        set -e
                        ctr images pull --local=false --platform linux/amd64 --snapshotter "$1" "$2"
                        mkdir -p "/mnt/$1"
                        ctr images mount --snapshotter "$1" --platform linux/amd64 "$2" "/mnt/$1"
                        """, snapshotter, image);
            }
            // Slow, so that bytes are on their way whenever it dies, from the first death to the last.
            registry.host()
                    .script(
                            TestHost.SOON,
                            "tc qdisc replace dev to-hand-node root tbf rate 400mbit burst 500kb latency 100ms");
            host.write("/usr/local/bin/checking-reader", Files.readString(repository.script("checking-reader")));
            assertThat(complaints(node))
                    .as("reads that failed or gave wrong bytes, seed %s", SEED)
                    .isEmpty();
            host.script(MINUTES, "umount /mnt/coldstart /mnt/overlayfs");
        }
    }

    /** The readers' complaints. */
    private static String complaints(Node node) {
        TestHost host = node.host();
        host.ask("chmod", "755", "/usr/local/bin/checking-reader");
        host.script(MINUTES, "cd /mnt/overlayfs && find . -type f -size +8k >/var/tmp/list");
        List<Integer> readers = new ArrayList<>();
        for (int i = 0; i < READERS; i++) {
            readers.add(host.spawn(
                    "/var/log/reader-" + i,
                    "sh",
                    "-c",
                    "exec checking-reader /mnt/coldstart /mnt/overlayfs %d </var/tmp/list".formatted(SEED + i)));
        }
        // Then some of what they read is here and some is not.
        pause(6000);
        Random random = new Random(SEED);
        int last = 0;
        int took = 0;
        for (int death = 0; death < DEATHS; death++) {
            int dead = last;
            host.await("the next snapshotter", Duration.ofSeconds(30), () -> {
                int pid = node.snapshotterPid();
                return pid != 0 && pid != dead;
            });
            last = node.snapshotterPid();
            // Some die before they serve.
            if (death % 4 != 0 && death > 0) {
                int before = took;
                host.await("its taking over", Duration.ofSeconds(30), () -> takeOvers(host) > before);
            }
            took = takeOvers(host);
            pause(random.nextInt(600));
            host.kill(last);
        }
        readers.forEach(host::stop);
        int reads = 0;
        StringBuilder complaints = new StringBuilder();
        for (int i = 0; i < READERS; i++) {
            String said = host.ask("cat", "/var/log/reader-" + i);
            if (said.matches("\\d+ 0 0")) {
                reads += Integer.parseInt(said.split(" ", -1)[0]);
            } else {
                complaints.append(said).append('\n');
            }
        }
        assertThat(reads).as("reads in all").isGreaterThan(10 * DEATHS);
        return complaints.toString();
    }

    private static int takeOvers(TestHost host) {
        return Integer.parseInt(host.run(TestHost.SOON, "grep", "-c", "took over", "/var/log/snapshotter.log")
                .out());
    }

    private static void pause(int millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted between two deaths", e);
        }
    }
}
