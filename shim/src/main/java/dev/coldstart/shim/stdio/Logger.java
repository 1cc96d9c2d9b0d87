package dev.coldstart.shim.stdio;

import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.Pipe;
import dev.coldstart.linux.Poll;
import dev.coldstart.linux.Spawn;
import dev.coldstart.shim.process.Child;
import dev.coldstart.shim.process.Reaper;
import java.io.IOException;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * A program that reads a container's output ({@code binary:///path?key=value}): stdout as its descriptor 3, stderr as 4,
 * and 5 to say that it is ready.
 */
final class Logger {
    private static final int READY_LIMIT_MILLIS = 30_000;
    private static final Duration TERM_LIMIT = Duration.ofSeconds(12);
    private static final Duration KILL_LIMIT = Duration.ofSeconds(2);
    private static final int SIGTERM = 15;

    private final Child child;
    private final Descriptor stdout;
    private final Descriptor stderr;

    private Logger(Child child, Descriptor stdout, Descriptor stderr) {
        this.child = child;
        this.stdout = stdout;
        this.stderr = stderr;
    }

    /** Starts the program and waits until it has written a byte to, or closed, its descriptor 5. */
    static Logger start(URI uri, Stdio.Owner owner, Reaper reaper) throws IOException {
        List<String> command = new ArrayList<>(List.of(uri.getPath()));
        String query = uri.getRawQuery() == null ? "" : uri.getRawQuery();
        for (String pair : query.split("&", -1)) {
            if (!pair.isEmpty()) {
                int equals = pair.indexOf('=');
                command.add(decode(equals < 0 ? pair : pair.substring(0, equals)));
                String value = equals < 0 ? "" : decode(pair.substring(equals + 1));
                if (!value.isEmpty()) {
                    command.add(value);
                }
            }
        }
        Pipe out = Pipe.open();
        Pipe err = Pipe.open();
        boolean started = false;
        try (Pipe ready = Pipe.open();
                Poll poll = new Poll(1)) {
            Child child = reaper.spawn(new Spawn(command)
                    .environment(Map.of("CONTAINER_ID", owner.container(), "CONTAINER_NAMESPACE", owner.namespace()))
                    .descriptor(3, out.read())
                    .descriptor(4, err.read())
                    .descriptor(5, ready.write()));
            ready.write().close();
            poll.watch(0, ready.read(), Poll.READABLE);
            if (!poll.await(READY_LIMIT_MILLIS)) {
                child.signal(SIGTERM);
                throw new IOException("The logger " + uri.getPath() + " was not ready within 30 s.");
            }
            started = true;
            return new Logger(child, out.write(), err.write());
        } finally {
            out.read().close();
            err.read().close();
            if (!started) {
                out.write().close();
                err.write().close();
            }
        }
    }

    private static String decode(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }

    Descriptor stdout() {
        return stdout;
    }

    Descriptor stderr() {
        return stderr;
    }

    /** Asks the program to end and waits for it. */
    void close() throws IOException {
        stdout.close();
        stderr.close();
        try {
            // It sees the end of both streams now; most loggers end by themselves, with everything written.
            if (child.await(KILL_LIMIT).isEmpty()) {
                child.signal(SIGTERM);
                child.awaitOrKill(TERM_LIMIT);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
