package dev.coldstart.shim.ttrpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import com.google.protobuf.BytesValue;
import com.google.protobuf.Empty;
import com.google.protobuf.StringValue;
import dev.coldstart.proto.ttrpc.Request;
import dev.coldstart.proto.ttrpc.Response;
import java.io.IOException;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The client with servers that do what ours does not. */
@Timeout(60)
class ClientTest {
    private static final Duration LIMIT = Duration.ofSeconds(30);

    @TempDir
    Path directory;

    private final ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor();
    private ServerSocketChannel listener;
    private Client client;
    private RawPeer server;

    @BeforeEach
    void connect() throws IOException {
        listener = RawPeer.listen(directory.resolve("s"));
        client = Client.connect(directory.resolve("s"));
        server = new RawPeer(listener.accept());
    }

    @AfterEach
    void stop() throws IOException {
        client.close();
        server.close();
        listener.close();
        executor.shutdownNow();
    }

    private Future<String> call(String text, Duration limit) {
        return executor.submit(
                () -> StringValue.parseFrom(client.call("test", "M", StringValue.of(text), Map.of(), limit))
                        .getValue());
    }

    /** Answers the next request with its own payload. */
    private void echo() throws IOException {
        RawPeer.Received received = server.receive();
        server.send(received.frame().stream(), Frame.RESPONSE, 0, answer(received));
    }

    private static byte[] answer(RawPeer.Received request) throws IOException {
        return Response.newBuilder()
                .setPayload(Request.parseFrom(request.data()).getPayload())
                .build()
                .toByteArray();
    }

    @Test
    void callsFailAtOnceWhenTheConnectionDies() throws Exception {
        List<Future<String>> calls = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            calls.add(call("x", Duration.ZERO));
        }
        Future<ByteString> stream = executor.submit((Callable<ByteString>) () -> {
            try (ClientStream open = client.stream("test", "S", Map.of(), Duration.ZERO)) {
                return open.receive();
            }
        });
        for (int i = 0; i < 21; i++) {
            server.receive();
        }
        server.close();
        for (Future<String> call : calls) {
            assertThatThrownBy(call::get)
                    .hasCauseInstanceOf(IOException.class)
                    .hasMessageContaining("M was not answered: the peer closed the connection");
        }
        assertThatThrownBy(stream::get).hasCauseInstanceOf(IOException.class).hasMessageContaining("the peer closed");
        assertThatThrownBy(call("x", Duration.ZERO)::get)
                .hasCauseInstanceOf(IOException.class)
                .hasMessageContaining("the connection has ended: the peer closed the connection");
    }

    @Test
    void closingTheClientEndsItsCalls() throws Exception {
        Future<String> call = call("x", Duration.ZERO);
        server.receive();
        client.close();
        assertThatThrownBy(call::get)
                .hasCauseInstanceOf(IOException.class)
                .hasMessageContaining("this client was closed");
    }

    @Test
    void anInterruptedCallerLeavesTheConnectionToTheOthers() throws Exception {
        for (int i = 0; i < 200; i++) {
            // Before, while and after its request is written.
            Thread caller = Thread.ofVirtual().start(() -> {
                try {
                    client.call("test", "M", StringValue.of("x".repeat(100_000)), Map.of(), Duration.ZERO);
                } catch (StatusException | IOException e) {
                    throw new AssertionError(e);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            });
            LockSupport.parkNanos(i * 1_000L);
            caller.interrupt();
            Future<String> other = call("alive " + i, LIMIT);
            RawPeer.Received received = server.receive();
            while (received.data().size() > 100_000) {
                received = server.receive();
            }
            server.send(received.frame().stream(), Frame.RESPONSE, 0, answer(received));
            assertThat(other.get()).isEqualTo("alive " + i);
            caller.join();
        }
    }

    @Test
    void theDeadlineHoldsWhileTheServerReadsNothing() throws Exception {
        BytesValue large = BytesValue.of(ByteString.copyFrom(new byte[4_000_000]));
        for (int i = 0; i < 3; i++) {
            assertThatThrownBy(() -> client.call("test", "M", large, Map.of(), Duration.ofMillis(50)))
                    .isInstanceOfSatisfying(
                            StatusException.class, e -> assertThat(e.code()).isEqualTo(Code.DEADLINE_EXCEEDED));
        }
        // A late answer is nobody's.
        server.send(server.receive().frame().stream(), Frame.RESPONSE, 0, new byte[0]);
        Future<String> call = call("alive", LIMIT);
        RawPeer.Received received = server.receive();
        while (received.data().size() > 1_000_000) {
            received = server.receive();
        }
        server.send(received.frame().stream(), Frame.RESPONSE, 0, answer(received));
        assertThat(call.get()).isEqualTo("alive");
    }

    @Test
    void aWrongAnswerIsItsOwnCallsOnly() throws Exception {
        Future<String> oversized = call("x", LIMIT);
        server.send(server.receive().frame().stream(), Frame.RESPONSE, 0, new byte[Frame.MAX_DATA_BYTES + 1]);
        assertCode(oversized, Code.RESOURCE_EXHAUSTED);
        Future<String> streamed = call("x", LIMIT);
        server.send(server.receive().frame().stream(), Frame.DATA, 0, new byte[1]);
        assertCode(streamed, Code.INTERNAL);
        Future<String> garbled = call("x", LIMIT);
        server.send(server.receive().frame().stream(), Frame.RESPONSE, 0, new byte[] {(byte) 0xff, 1, 2});
        assertThatThrownBy(garbled::get).hasCauseInstanceOf(IOException.class);
        server.send(99, Frame.RESPONSE, 0, new byte[1]);
        server.send(1, 77, 0, new byte[1]);
        Future<String> right = call("alive", LIMIT);
        echo();
        assertThat(right.get()).isEqualTo("alive");
        assertThatThrownBy(() -> client.call(
                        "test",
                        "M",
                        BytesValue.of(ByteString.copyFrom(new byte[Frame.MAX_DATA_BYTES])),
                        Map.of(),
                        LIMIT))
                .hasMessage("the request to M exceeds 4 MiB");
    }

    @Test
    void whoTakesNothingLosesTheStreamAndNothingElse() throws Exception {
        try (ClientStream stream = client.stream("test", "S", Map.of(), Duration.ZERO)) {
            server.receive();
            Future<String> call = call("alive", Duration.ZERO);
            RawPeer.Received request = server.receive();
            // The answer comes behind more than is kept for a stream.
            for (int i = 0; i < 20; i++) {
                server.send(1, Frame.DATA, 0, new byte[100_000]);
            }
            server.send(request.frame().stream(), Frame.RESPONSE, 0, answer(request));
            assertThat(call.get()).isEqualTo("alive");
            assertThatThrownBy(stream::receive)
                    .isInstanceOfSatisfying(
                            StatusException.class, e -> assertThat(e.code()).isEqualTo(Code.RESOURCE_EXHAUSTED));
        }
    }

    private static void assertCode(Future<String> call, int code) {
        assertThatThrownBy(call::get)
                .isInstanceOf(ExecutionException.class)
                .cause()
                .isInstanceOfSatisfying(
                        StatusException.class, e -> assertThat(e.code()).isEqualTo(code));
    }

    @Test
    void asksAsTheProtocolSays() throws Exception {
        Future<ByteString> call = executor.submit(() ->
                client.call("s", "m", Empty.getDefaultInstance(), Map.of("Key", "Value"), Duration.ofSeconds(20)));
        RawPeer.Received received = server.receive();
        assertThat(received.frame().stream()).isEqualTo(1);
        assertThat(received.frame().flags()).isZero();
        Request request = Request.parseFrom(received.data());
        assertThat(request.getTimeoutNano()).isEqualTo(20_000_000_000L);
        assertThat(request.getMetadata(0).getKey()).isEqualTo("key");
        assertThat(request.getMetadata(0).getValue()).isEqualTo("Value");
        server.send(1, Frame.RESPONSE, 0, new byte[0]);
        assertThat(call.get()).isEmpty();
        try (ClientStream stream = client.stream("s", "m", Map.of(), LIMIT)) {
            assertThat(server.receive().frame().flags()).isEqualTo(Frame.REMOTE_OPEN);
            stream.closeSend();
            assertThat(server.receive().frame())
                    .isEqualTo(new Frame(0, 3, Frame.DATA, (byte) (Frame.REMOTE_CLOSED | Frame.NO_DATA)));
            server.send(3, Frame.DATA, Frame.REMOTE_CLOSED, new byte[] {7});
            assertThat(stream.receive()).isEqualTo(ByteString.copyFrom(new byte[] {7}));
            assertThat(stream.receive()).isNull();
        }
        try (ClientStream _ = client.serverStream("s", "m", Empty.getDefaultInstance(), Map.of(), LIMIT)) {
            assertThat(server.receive().frame().flags()).isEqualTo(Frame.REMOTE_CLOSED);
        }
    }
}
