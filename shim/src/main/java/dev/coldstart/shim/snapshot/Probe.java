package dev.coldstart.shim.snapshot;

import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Namespaces;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Waits until a container is ready. */
public final class Probe {
    private static final Duration INTERVAL = Duration.ofMillis(50);
    private static final int HTTP_MILLIS = 2000;
    private static final int LINE_CHARS = 64 << 10;

    private Probe() {}

    /** The output of the container's first process, as pieces of bytes; null ends it. */
    @FunctionalInterface
    public interface Output {
        void observe(@Nullable Consumer<byte[]> consumer);
    }

    /**
     * Waits until the condition holds; false if the container ends first.
     *
     * @param pid the container's first process
     * @param ended done when it has ended
     * @param output where {@link Readiness.Log} looks
     */
    public static boolean await(Readiness condition, int pid, CompletableFuture<?> ended, Output output)
            throws LinuxException, InterruptedException {
        return switch (condition) {
            case Readiness.After after -> !endsWithin(ended, after.time());
            case Readiness.File file -> {
                Path path = Path.of("/proc/" + pid + "/root" + file.path());
                while (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
                    if (endsWithin(ended, INTERVAL)) {
                        yield false;
                    }
                }
                yield true;
            }
            case Readiness.Log log -> awaitLine(log.pattern(), ended, output);
            case Readiness.Http http -> awaitHttp(http, pid, ended);
        };
    }

    private static boolean endsWithin(CompletableFuture<?> ended, Duration time) throws InterruptedException {
        try {
            var _ = ended.get(time.toNanos(), TimeUnit.NANOSECONDS);
            return true;
        } catch (TimeoutException e) {
            return false;
        } catch (ExecutionException e) {
            return true;
        }
    }

    private static boolean awaitLine(Pattern pattern, CompletableFuture<?> ended, Output output)
            throws InterruptedException {
        CompletableFuture<Boolean> found = new CompletableFuture<>();
        StringBuilder line = new StringBuilder();
        // Stdout and stderr are copied by two threads.
        Object turn = new Object();
        output.observe(bytes -> {
            synchronized (turn) {
                String text = new String(bytes, StandardCharsets.UTF_8);
                for (int i = 0; i < text.length() && !found.isDone(); i++) {
                    char c = text.charAt(i);
                    if (c != '\n' && line.length() < LINE_CHARS) {
                        line.append(c);
                        continue;
                    }
                    if (pattern.matcher(line).find()) {
                        found.complete(true);
                    }
                    line.setLength(0);
                }
            }
        });
        try {
            var _ = CompletableFuture.anyOf(found, ended).get();
            return found.isDone();
        } catch (ExecutionException e) {
            return false;
        } finally {
            output.observe(null);
        }
    }

    /** On a platform thread of its own, which stays in the container's network namespace. */
    private static boolean awaitHttp(Readiness.Http http, int pid, CompletableFuture<?> ended)
            throws LinuxException, InterruptedException {
        CompletableFuture<Boolean> answered = new CompletableFuture<>();
        Thread thread = Thread.ofPlatform().daemon().name("readiness").unstarted(() -> {
            try {
                Namespaces.enterNetwork("/proc/" + pid + "/ns/net");
                while (!answers(http)) {
                    if (endsWithin(ended, INTERVAL)) {
                        answered.complete(false);
                        return;
                    }
                }
                answered.complete(true);
            } catch (LinuxException | InterruptedException | RuntimeException e) {
                answered.completeExceptionally(e);
            }
        });
        thread.start();
        try {
            return answered.get();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof LinuxException failure) {
                throw failure;
            }
            throw new IllegalStateException(e.getCause());
        } finally {
            thread.interrupt();
        }
    }

    private static boolean answers(Readiness.Http http) {
        try (Socket socket = new Socket()) {
            socket.setSoTimeout(HTTP_MILLIS);
            socket.connect(new InetSocketAddress(InetAddress.ofLiteral("127.0.0.1"), http.port()), HTTP_MILLIS);
            String request = "GET " + http.path() + " HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            InputStream in = socket.getInputStream();
            // "HTTP/1.1 200"
            String status = new String(in.readNBytes(12), StandardCharsets.US_ASCII);
            // To the end, so that the container has no half-read connection when it is frozen.
            in.transferTo(java.io.OutputStream.nullOutputStream());
            return status.matches("HTTP/1\\.[01] [23][0-9]{2}");
        } catch (IOException e) {
            return false;
        }
    }
}
