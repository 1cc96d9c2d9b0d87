package dev.coldstart.shim.process;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.linux.Spawn;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReaperTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int SIGKILL = 9;

    @TempDir
    Path directory;

    /** The pid that a shell script wrote to the file {@code pid}. */
    private int run(String script) throws IOException, InterruptedException {
        Exit exit = Children.reaper()
                .spawn(new Spawn(List.of("sh", "-c", script))
                        .environment(Map.of("PATH", "/usr/bin:/bin"))
                        .directory(directory))
                .awaitOrKill(LIMIT);
        assertThat(exit.status()).isZero();
        return Integer.parseInt(Files.readString(directory.resolve("pid")).strip());
    }

    /** dash does so, now and then, with what ends in its background. */
    @Test
    void theEndOfAProcessThatItsRuntimeHasReapedIsUnknownAtOnce() throws Exception {
        // While there is any child, the kernel does not say that this one is none.
        Child other = Children.reaper().spawn(new Spawn(List.of("/bin/sleep", "1000")));
        try (Reaper.Watch watch = Children.reaper().watch()) {
            Child child = watch.claim(run("true & echo $! >pid; wait"));
            assertThat(child.await(LIMIT))
                    .hasValueSatisfying(exit -> assertThat(exit.status()).isEqualTo(Exit.UNKNOWN));
        } finally {
            other.signal(SIGKILL);
        }
        assertThat(other.await(LIMIT))
                .hasValueSatisfying(exit -> assertThat(exit.status()).isEqualTo(128 + SIGKILL));
    }

    @Test
    void theEndOfAProcessIsSeenWhetherItComesBeforeOrAfterItsRuntimes() throws Exception {
        for (int i = 0; i < 20; i++) {
            try (Reaper.Watch watch = Children.reaper().watch()) {
                // No command of the shell's own: after one it might reap.
                String script = "{ sleep 0.00" + i % 10 + "; exit 7; } & exec env printf %s $! >pid";
                Child child = watch.claim(run(script));
                assertThat(child.await(LIMIT))
                        .hasValueSatisfying(exit -> assertThat(exit.status()).isEqualTo(7));
            }
        }
    }
}
