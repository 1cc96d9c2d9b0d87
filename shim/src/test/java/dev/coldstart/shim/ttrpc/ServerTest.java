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
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class ServerTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    @TempDir
    Path directory;

    private final CountDownLatch interrupted = new CountDownLatch(1);
    private final CountDownLatch release = new CountDownLatch(1);
    private Path socket;
    private Server server;

    @BeforeEach
    void start() throws IOException {
        socket = directory.resolve("s");
        server = Server.start(
                socket,
                new Methods()
                        .add("test.Echo", "Echo", StringValue::parseFrom)
                        .add("test.Echo", "Nothing", payload -> Empty.getDefaultInstance())
                        .add("test.Echo", "Fail", payload -> {
                            throw new StatusException(Code.NOT_FOUND, "no such thing: not found");
                        })
                        .add("test.Echo", "Bug", payload -> {
                            throw new IllegalStateException("a bug");
                        })
                        .add(
                                "test.Echo",
                                "Big",
                                payload -> BytesValue.of(ByteString.copyFrom(new byte[Frame.MAX_DATA_BYTES + 1])))
                        .add("test.Echo", "Slow", payload -> {
                            release.await();
                            return Empty.getDefaultInstance();
                        })
                        .addWaiting("test.Echo", "Wait", payload -> {
                            try {
                                new CountDownLatch(1).await();
                            } catch (InterruptedException e) {
                                interrupted.countDown();
                                throw e;
                            }
                            return Empty.getDefaultInstance();
                        }));
    }

    @AfterEach
    void stop() throws IOException {
        release.countDown();
        server.close();
    }

    private static String echo(Client client, String text) throws Exception {
        return StringValue.parseFrom(client.call("test.Echo", "Echo", StringValue.of(text), Map.of(), LIMIT))
                .getValue();
    }

    @Test
    void answersManyCallsOfOneConnectionAtOnce() throws Exception {
        try (Client client = Client.connect(socket);
                var executor = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<String>> answers = new ArrayList<>();
            for (int i = 0; i < 500; i++) {
                String text = "x".repeat(i * 37) + i;
                answers.add(executor.submit(() -> echo(client, text)));
            }
            for (int i = 0; i < answers.size(); i++) {
                assertThat(answers.get(i).get()).isEqualTo("x".repeat(i * 37) + i);
            }
        }
    }

    @Test
    void waitingCallsHoldNothingUp() throws Exception {
        try (Client client = Client.connect(socket);
                var executor = Executors.newVirtualThreadPerTaskExecutor()) {
            for (int i = 0; i < 50; i++) {
                var _ = executor.submit(
                        () -> client.call("test.Echo", "Wait", Empty.getDefaultInstance(), Map.of(), Duration.ZERO));
            }
            assertThat(echo(client, "still here")).isEqualTo("still here");
            executor.shutdownNow();
        }
        assertThat(interrupted.await(10, TimeUnit.SECONDS)).isTrue();
    }

    @Test
    void tellsFailuresApart() throws Exception {
        try (Client client = Client.connect(socket)) {
            assertCode(client, "test.Echo", "Fail", Code.NOT_FOUND, "no such thing: not found");
            assertCode(client, "test.Echo", "Bug", Code.INTERNAL, "Bug failed: java.lang.IllegalStateException: a bug");
            assertCode(client, "test.Echo", "Other", Code.UNIMPLEMENTED, "method Other");
            assertCode(client, "test.Other", "Echo", Code.UNIMPLEMENTED, "service test.Other");
            assertCode(client, "test.Echo", "Big", Code.RESOURCE_EXHAUSTED, "the answer to Big exceeds 4 MiB");
            assertThat(echo(client, "alive")).isEqualTo("alive");
        }
    }

    private static void assertCode(Client client, String service, String method, int code, String message) {
        assertThatThrownBy(() -> client.call(service, method, Empty.getDefaultInstance(), Map.of(), LIMIT))
                .isInstanceOfSatisfying(
                        StatusException.class, e -> assertThat(e.code()).isEqualTo(code))
                .hasMessage(message);
    }

    @Test
    void answersTheDeadlineWhenTheHandlerDoesNot() throws Exception {
        try (RawPeer raw = connect()) {
            raw.send(1, 1, 0, request("Slow", 50_000_000L));
            assertThat(receive(raw).getStatus().getCode()).isEqualTo(Code.DEADLINE_EXCEEDED);
            raw.send(3, 1, 0, request("Wait", 50_000_000L));
            assertThat(receive(raw).getStatus().getCode()).isEqualTo(Code.DEADLINE_EXCEEDED);
            assertThat(interrupted.await(10, TimeUnit.SECONDS)).isTrue();
        }
    }

    @Test
    void anEmptySuccessIsAFrameWithoutData() throws Exception {
        try (RawPeer raw = connect()) {
            raw.send(1, 1, 0, request("Nothing", 0));
            assertThat(raw.receive().frame()).isEqualTo(new Frame(0, 1, Frame.RESPONSE, (byte) 0));
        }
    }

    @Test
    void refusesEvenAndRepeatedStreams() throws Exception {
        try (RawPeer raw = connect()) {
            raw.send(2, 1, 0, request("Nothing", 0));
            assertThat(receive(raw).getStatus().getCode()).isEqualTo(Code.INVALID_ARGUMENT);
            raw.send(5, 1, 0, request("Nothing", 0));
            assertThat(receive(raw)).isEqualTo(Response.getDefaultInstance());
            raw.send(5, 1, 0, request("Nothing", 0));
            assertThat(receive(raw).getStatus().getCode()).isEqualTo(Code.INVALID_ARGUMENT);
        }
    }

    @Test
    void readsPastWhatItDoesNotTake() throws Exception {
        try (RawPeer raw = connect()) {
            raw.send(1, 1, 0, new byte[Frame.MAX_DATA_BYTES + 1]);
            assertThat(receive(raw).getStatus().getCode()).isEqualTo(Code.RESOURCE_EXHAUSTED);
            // An unknown type, and data of a call that is over: ignored.
            raw.send(3, 99, 0, new byte[10]);
            raw.send(1, 3, 1, new byte[10]);
            raw.send(3, 1, 2, request("Nothing", 0));
            assertThat(receive(raw).getStatus().getCode()).isEqualTo(Code.UNIMPLEMENTED);
            raw.send(5, 1, 0, new byte[] {(byte) 0xff, 1, 2});
            assertThat(receive(raw).getStatus().getCode()).isEqualTo(Code.INVALID_ARGUMENT);
            raw.send(7, 1, 0, request("Nothing", 0));
            assertThat(receive(raw)).isEqualTo(Response.getDefaultInstance());
        }
    }

    @Test
    void aConnectionCutOffInAFrameLeavesTheOthersAlone() throws Exception {
        try (Client client = Client.connect(socket)) {
            try (RawPeer raw = connect()) {
                raw.sendBytes(ByteBuffer.wrap(new byte[] {0, 0, 1, 0, 0, 0}));
            }
            assertThat(echo(client, "alive")).isEqualTo("alive");
        }
    }

    @Test
    void onlyItsOwnerMayUseTheSocket() throws Exception {
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(socket)))
                .isEqualTo("rw-------");
    }

    @Test
    void drainWaitsForAnswers() throws Exception {
        try (RawPeer raw = connect()) {
            raw.send(1, 1, 0, request("Slow", 0));
            raw.send(3, 1, 0, request("Nothing", 0));
            assertThat(receive(raw)).isEqualTo(Response.getDefaultInstance());
            Thread drain = Thread.ofVirtual().start(() -> {
                try {
                    server.drain(LIMIT);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            });
            assertThat(drain.join(Duration.ofMillis(50))).isFalse();
            release.countDown();
            assertThat(drain.join(LIMIT)).isTrue();
            assertThat(receive(raw)).isEqualTo(Response.getDefaultInstance());
        }
    }

    private RawPeer connect() throws IOException {
        return RawPeer.connect(socket);
    }

    private static byte[] request(String method, long timeoutNanos) {
        return Request.newBuilder()
                .setService("test.Echo")
                .setMethod(method)
                .setTimeoutNano(timeoutNanos)
                .build()
                .toByteArray();
    }

    private static Response receive(RawPeer raw) throws IOException {
        RawPeer.Received received = raw.receive();
        assertThat(received.frame().type()).isEqualTo(Frame.RESPONSE);
        return Response.parseFrom(received.data());
    }
}
