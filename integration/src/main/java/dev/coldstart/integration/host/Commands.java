package dev.coldstart.integration.host;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

/** Runs a command of this machine to its end, within a limit. */
final class Commands {
    private static final Executor READERS = Thread::startVirtualThread;

    private Commands() {}

    static Output run(List<String> command, String input, Duration limit) {
        Process process;
        try {
            process = new ProcessBuilder(command).start();
        } catch (IOException e) {
            throw new HostException("cannot run " + command.getFirst() + ": " + e.getMessage(), e);
        }
        CompletableFuture<String> out = read(process.getInputStream());
        CompletableFuture<String> err = read(process.getErrorStream());
        CompletableFuture<Void> in = CompletableFuture.runAsync(() -> write(process.getOutputStream(), input), READERS);
        try {
            if (!process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS)) {
                throw new HostException(
                        "'" + String.join(" ", command) + "' did not end within " + limit.toSeconds() + " s");
            }
            // Whoever inherited the pipes may hold them open for longer than the command lives.
            String text = out.completeOnTimeout("", 10, TimeUnit.SECONDS).join();
            String errors = err.completeOnTimeout("", 10, TimeUnit.SECONDS).join();
            return new Output(process.exitValue(), text, errors);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new HostException("interrupted while '" + String.join(" ", command) + "' ran", e);
        } finally {
            process.destroyForcibly();
            in.cancel(true);
        }
    }

    private static CompletableFuture<String> read(InputStream stream) {
        return CompletableFuture.supplyAsync(
                () -> {
                    try (stream) {
                        return new String(stream.readAllBytes(), StandardCharsets.UTF_8).stripTrailing();
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                },
                READERS);
    }

    private static void write(OutputStream stream, String input) {
        try (stream) {
            stream.write(input.getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            // The command did not want to read it.
        }
    }
}
