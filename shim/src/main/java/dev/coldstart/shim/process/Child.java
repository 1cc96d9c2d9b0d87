package dev.coldstart.shim.process;

import dev.coldstart.linux.Errno;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.PidFd;
import java.io.IOException;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * A process that the shim started, until it has ended.
 *
 * @param exit completed by the thread that reaps all of them: what depends on it must not wait
 */
public record Child(int pid, CompletableFuture<Exit> exit) {
    private static final int SIGKILL = 9;

    /** Waits for the end; empty if it does not come in time. */
    public Optional<Exit> await(Duration limit) throws InterruptedException {
        try {
            return Optional.of(exit.get(limit.toNanos(), TimeUnit.NANOSECONDS));
        } catch (TimeoutException e) {
            return Optional.empty();
        } catch (ExecutionException e) {
            throw new IllegalStateException("an exit is never exceptional", e);
        }
    }

    /** Waits for the end, and kills the process if it does not come in time or the thread is interrupted. */
    public Exit awaitOrKill(Duration limit) throws IOException, InterruptedException {
        try {
            Optional<Exit> ended = await(limit);
            if (ended.isPresent()) {
                return ended.get();
            }
        } catch (InterruptedException e) {
            signal(SIGKILL);
            throw e;
        }
        signal(SIGKILL);
        return exit.join();
    }

    /** Sends a signal; nothing happens if the process has ended. */
    public void signal(int signal) throws IOException {
        if (exit.isDone()) {
            return;
        }
        try (PidFd process = PidFd.open(pid)) {
            process.signal(signal);
        } catch (LinuxException e) {
            if (e.errno() != Errno.ESRCH) {
                throw e;
            }
        }
    }
}
