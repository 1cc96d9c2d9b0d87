package dev.coldstart.shim.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class ProbeTest {
    @TempDir
    Path directory;

    private final int pid = (int) ProcessHandle.current().pid();
    private final CompletableFuture<String> ended = new CompletableFuture<>();
    private final BlockingQueue<Consumer<byte[]>> observers = new LinkedBlockingQueue<>();

    private void observe(@Nullable Consumer<byte[]> consumer) {
        if (consumer != null) {
            observers.add(consumer);
        }
    }

    private CompletableFuture<Boolean> await(Readiness condition) {
        CompletableFuture<Boolean> result = new CompletableFuture<>();
        Thread.ofVirtual().start(() -> {
            try {
                result.complete(Probe.await(condition, pid, ended, this::observe));
            } catch (IOException | InterruptedException e) {
                result.completeExceptionally(e);
            }
        });
        return result;
    }

    @Test
    void aFileAppears() throws Exception {
        Path file = directory.resolve("ready");
        CompletableFuture<Boolean> ready = await(new Readiness.File(file.toString()));
        assertThat(ready).isNotDone();
        Files.createFile(file);
        assertThat(ready.get()).isTrue();
    }

    @Test
    void timePassesOrTheContainerEnds() throws Exception {
        assertThat(await(new Readiness.After(Duration.ofMillis(1))).get()).isTrue();
        CompletableFuture<Boolean> long1 = await(new Readiness.After(Duration.ofHours(1)));
        CompletableFuture<Boolean> long2 = await(new Readiness.File("/nowhere"));
        CompletableFuture<Boolean> long3 = await(new Readiness.Log(Pattern.compile("never")));
        ended.complete("over");
        assertThat(long1.get()).isFalse();
        assertThat(long2.get()).isFalse();
        assertThat(long3.get()).isFalse();
    }

    @Test
    void aLineMatchesThoughItComesInPieces() throws Exception {
        CompletableFuture<Boolean> ready = await(new Readiness.Log(Pattern.compile("^server ready$")));
        Consumer<byte[]> output = observers.take();
        for (String piece : new String[] {"x server ready\n", "server", " ready", "\nmore"}) {
            assertThat(ready).isNotDone();
            output.accept(piece.getBytes(StandardCharsets.UTF_8));
        }
        assertThat(ready.get()).isTrue();
    }

    @Test
    void httpAnswersWithSuccessInTheNamespaceOfTheContainer() throws Exception {
        assumeTrue("root".equals(System.getProperty("user.name")), "setns needs root");
        try (ServerSocket server = new ServerSocket(0, 10, InetAddress.getLoopbackAddress())) {
            CompletableFuture<Boolean> ready = await(new Readiness.Http(server.getLocalPort(), "/health"));
            for (String status : new String[] {"503 Loading", "200 OK"}) {
                assertThat(ready).isNotDone();
                try (Socket peer = server.accept()) {
                    byte[] request = new byte[11];
                    assertThat(peer.getInputStream().readNBytes(request, 0, 11)).isEqualTo(11);
                    assertThat(new String(request, StandardCharsets.US_ASCII)).isEqualTo("GET /health");
                    peer.getOutputStream()
                            .write(("HTTP/1.1 " + status + "\r\n\r\nbody").getBytes(StandardCharsets.US_ASCII));
                }
            }
            assertThat(ready.get()).isTrue();
        }
    }
}
