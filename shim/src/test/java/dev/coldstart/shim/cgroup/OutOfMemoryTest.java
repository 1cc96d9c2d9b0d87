package dev.coldstart.shim.cgroup;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.linux.MountTable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OutOfMemoryTest {
    @TempDir
    Path root;

    private Cgroup unified() throws IOException {
        var mount =
                new MountTable.Entry(1, 0, "0:30", "/", root.toString(), "rw", List.of(), "cgroup2", "cgroup2", "rw");
        return Cgroup.of(List.of("0::/c"), List.of(mount));
    }

    /** What is told after a look must not overtake what somebody else found at the same time. */
    @Test
    void aLookReturnsAfterAllKillsWereTold() throws Exception {
        Files.createDirectories(root.resolve("c"));
        Files.writeString(root.resolve("c/memory.events"), "oom 1\noom_kill 1\n");
        Cgroup group = unified();
        OutOfMemoryKills kills = new OutOfMemoryKills();
        CompletableFuture<Void> telling = new CompletableFuture<>();
        CompletableFuture<Void> told = new CompletableFuture<>();
        Thread first = Thread.startVirtualThread(() -> look(kills, group, () -> {
            telling.complete(null);
            told.join();
        }));
        telling.get(1, TimeUnit.MINUTES);
        CompletableFuture<Boolean> second = new CompletableFuture<>();
        Thread other = Thread.startVirtualThread(() -> {
            look(kills, group, () -> second.completeExceptionally(new AssertionError("told twice")));
            second.complete(told.isDone());
        });
        // It has no way on but through the other's look.
        while (other.isAlive() && other.getState() != Thread.State.WAITING) {
            Thread.onSpinWait();
        }
        told.complete(null);
        assertThat(second.get(1, TimeUnit.MINUTES)).isTrue();
        first.join();
    }

    private static void look(OutOfMemoryKills kills, Cgroup group, Runnable tell) {
        try {
            kills.look(group, tell);
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    /** A real file of the kernel's, which signals its changes as memory.events does: cgroup.events. */
    @Test
    void theWatchSleepsUntilTheNextEvent() throws Exception {
        Path real = newGroup();
        Process process = new ProcessBuilder("sleep", "1000").start();
        try {
            Files.createDirectories(root.resolve("c"));
            Files.createSymbolicLink(root.resolve("c/memory.events"), real.resolve("cgroup.events"));
            Semaphore looks = new Semaphore(0);
            try (OutOfMemoryWatch _ = OutOfMemoryWatch.start(unified(), _ -> looks.release())) {
                assertThat(looks.tryAcquire(1, TimeUnit.MINUTES))
                        .as("the first look")
                        .isTrue();
                Files.writeString(real.resolve("cgroup.procs"), Long.toString(process.pid()));
                assertThat(looks.tryAcquire(1, TimeUnit.MINUTES)).isTrue();
                assertThat(looks.tryAcquire(100, 300, TimeUnit.MILLISECONDS))
                        .as("looks without an event")
                        .isFalse();
                looks.drainPermits();
                process.destroyForcibly().waitFor();
                assertThat(looks.tryAcquire(1, TimeUnit.MINUTES)).isTrue();
            }
        } finally {
            process.destroyForcibly().waitFor();
            remove(real);
        }
    }

    private static Path newGroup() throws IOException {
        Optional<MountTable.Entry> mount = MountTable.read().stream()
                .filter(entry -> entry.type().equals("cgroup2"))
                .findFirst();
        assumeTrue(mount.isPresent(), "no cgroup v2 is mounted");
        Path parent = Path.of(mount.get().mountPoint());
        assumeTrue(Files.isWritable(parent), "no right to make a cgroup");
        return Files.createTempDirectory(parent, "coldstart-test");
    }

    /** A group outlives its last process by a moment. */
    private static void remove(Path group) throws IOException, InterruptedException {
        for (int attempt = 0; ; attempt++) {
            try {
                Files.deleteIfExists(group);
                return;
            } catch (IOException e) {
                if (attempt == 500) {
                    throw e;
                }
                Thread.sleep(20);
            }
        }
    }
}
