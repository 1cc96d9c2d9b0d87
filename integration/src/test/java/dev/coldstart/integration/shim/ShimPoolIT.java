package dev.coldstart.integration.shim;

import static dev.coldstart.integration.shim.Runtimes.OURS;
import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Root;
import dev.coldstart.integration.host.TestHost;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.opentest4j.TestAbortedException;

/** Containers behind shims of a pool, on real containerd and runc, and what is left when any part of the pool dies. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ShimPoolIT {
    private static final Duration LIMIT = Duration.ofMinutes(3);
    private static final int SIZE = 2;

    private Runtimes runtimes;

    @BeforeAll
    void create() {
        Root.assume();
        try {
            runtimes = Runtimes.create(Repository.here(), "pool-it");
        } catch (HostException e) {
            if (String.valueOf(e.getMessage()).contains("could not be built")) {
                throw new TestAbortedException(e.getMessage(), e);
            }
            throw e;
        }
    }

    @AfterAll
    void destroy() {
        if (runtimes != null) {
            runtimes.close();
        }
    }

    @AfterEach
    void nothingIsLeft() {
        runtimes.stopPool();
        runtimes.host().await("the end of all shims", LIMIT, () -> shims() == 0);
        assertThat(runtimes.host()
                        .script(TestHost.SOON, "cd /run/coldstart/pool && ls")
                        .lines())
                .containsOnly("home", "wake");
        assertThat(runtimes.host().script(TestHost.SOON, "ls /run/containerd/s 2>/dev/null || true"))
                .isEmpty();
    }

    private int shims() {
        return Integer.parseInt(runtimes.host().script(TestHost.SOON, "pgrep -fc '[S]himMain' || true"));
    }

    private void live() {
        assertThat(runtimes.shims("lives", "1", "/none", OURS)).startsWith(OURS);
    }

    @Test
    void aContainerLivesBehindAShimOfThePool() {
        runtimes.startPool(SIZE);
        List<Integer> before = runtimes.waiting();
        live();
        runtimes.awaitPool(SIZE);
        assertThat(runtimes.waiting()).as("one was taken").isNotEqualTo(before);
    }

    /** One for the node, which goes with the pool, and never another runtime than the one that is installed. */
    @Test
    void thePoolKeepsOneSealedCopyOfTheRuntime() {
        runtimes.startPool(SIZE);
        TestHost host = runtimes.host();
        String kept = "/proc/" + runtimes.keeper() + "/fd/8";
        host.await("the keeper to hold the copy", LIMIT, () -> kept.equals(copy()));
        assertThat(host.ask("cmp", "/usr/sbin/runc", kept)).isEmpty();
        live();
        host.script(TestHost.SOON, """
                cp -a /usr/sbin/runc /usr/sbin/runc.installed
                { cat /usr/sbin/runc.installed; echo; } >/usr/sbin/runc.new
                chmod 755 /usr/sbin/runc.new
                mv /usr/sbin/runc.new /usr/sbin/runc
                """);
        try {
            live();
            host.await(
                    "a copy of the new one",
                    LIMIT,
                    () -> kept.equals(copy())
                            && host.run(TestHost.SOON, "cmp", "/usr/sbin/runc", kept)
                                    .succeeded());
            live();
        } finally {
            host.ask("mv", "/usr/sbin/runc.installed", "/usr/sbin/runc");
        }
    }

    private String copy() {
        return runtimes.host()
                .run(TestHost.SOON, "readlink", "/run/coldstart/pool/runtime")
                .out()
                .strip();
    }

    @Test
    void manyStartsAtOnceAreMoreThanThePoolHas() {
        runtimes.startPool(SIZE);
        assertThat(runtimes.shims("parallel", "12", OURS).lines()).hasSize(12);
    }

    @Test
    void aShimThatHangsHoldsAStartUpForItsLimitOnly() {
        runtimes.startPool(SIZE);
        List<Integer> hung = runtimes.waiting();
        hung.forEach(pid -> runtimes.host().ask("kill", "-STOP", Integer.toString(pid)));
        live();
    }

    /** A rehearsal whose last event was late went on for 20 s, one in ten. */
    @Test
    void theNextPoolIsSoonThere() {
        for (int i = 0; i < 10; i++) {
            long start = System.nanoTime();
            runtimes.startPool(SIZE);
            assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(15));
            runtimes.stopPool();
            runtimes.host().await("the end of all shims", LIMIT, () -> shims() == 0);
        }
        runtimes.startPool(SIZE);
    }

    @Test
    void thePoolServesWithoutItsKeeperAndTheNextKeeperGoesOn() {
        runtimes.startPool(SIZE);
        runtimes.host().kill(runtimes.keeper());
        for (int i = 0; i <= SIZE; i++) {
            live();
        }
        assertThat(runtimes.waiting()).isEmpty();
        runtimes.startPool(SIZE);
        live();
    }

    @Test
    void aRequestThatEndsHalfWayCostsOneShimThatIsReplaced() {
        runtimes.startPool(SIZE);
        int half = runtimes.waiting().getFirst();
        runtimes.host().script(TestHost.SOON, """
                cd /run/coldstart/pool
                set -C
                : >"$1.claim"
                printf '1\\nshims\\n' 1<>"$1.in"
                """, Integer.toString(half));
        live();
        runtimes.host().await("another in its place", LIMIT, () -> {
            List<Integer> waiting = runtimes.waiting();
            return waiting.size() == SIZE && !waiting.contains(half);
        });
    }

    @Test
    void containerdFindsTheShimAfterItsRestart() {
        runtimes.startPool(SIZE);
        runtimes.host().script(LIMIT, """
                mkfifo /tmp/hold
                /opt/shims/shims /run/containerd/containerd.sock hold 1 kept "$1" </tmp/hold >/tmp/held 2>&1 &
                exec 5>/tmp/hold
                until grep -q held /tmp/held; do kill -0 $! || exit 1; sleep 0.1; done
                kill -9 $!
                """, OURS);
        runtimes.stopContainerd();
        runtimes.startContainerd();
        assertThat(runtimes.host().ask("ctr", "-n", "shims", "task", "ls"))
                .contains("kept")
                .contains("RUNNING");
        runtimes.host().script(LIMIT, """
                ctr -n shims task kill -s KILL kept
                until ctr -n shims task ls | grep -q STOPPED; do sleep 0.1; done
                ctr -n shims task rm kept
                ctr -n shims container rm kept
                ctr -n shims snapshot rm kept 2>/dev/null || true
                rm -rf /tmp/hold /tmp/held /tmp/shims*
                """);
    }
}
