package dev.coldstart.shim.ttrpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import com.google.protobuf.BytesValue;
import com.google.protobuf.Empty;
import com.google.protobuf.Int64Value;
import com.google.protobuf.MessageLite;
import com.google.protobuf.StringValue;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Streams of our client and our server, and of peers that break the protocol. */
@Timeout(60)
class StreamTest {
    private static final Duration LIMIT = Duration.ofSeconds(30);

    @TempDir
    Path directory;

    /** Held by a handler that is stuck. */
    private final Semaphore stuck = new Semaphore(1);

    private final CountDownLatch release = new CountDownLatch(1);
    private Path socket;
    private Server server;

    @BeforeEach
    void start() throws IOException {
        socket = directory.resolve("s");
        server = Server.start(
                socket,
                new Methods()
                        .add("test", "Unary", StringValue::parseFrom)
                        .addCall("test", "Metadata", StreamTest::metadata)
                        .addStream("test", "Echo", StreamTest::echo)
                        .addStream("test", "Sum", StreamTest::sum)
                        .addStream("test", "Count", StreamTest::count)
                        .addStream("test", "Metadata2", stream -> metadata(stream, ByteString.EMPTY))
                        .addStream("test", "Fail", stream -> {
                            stream.send(StringValue.of("before"));
                            throw new StatusException(Code.NOT_FOUND, "no such thing");
                        })
                        .addStream("test", "Big", stream -> {
                            stream.send(bytes(Frame.MAX_DATA_BYTES));
                            return null;
                        })
                        .addStream("test", "Stuck", stream -> {
                            stuck.acquire();
                            try {
                                release.await();
                            } finally {
                                stuck.release();
                            }
                            return Empty.getDefaultInstance();
                        }));
    }

    @AfterEach
    void stop() throws IOException {
        release.countDown();
        server.close();
    }

    private static @Nullable MessageLite echo(ServerStream stream)
            throws StatusException, IOException, InterruptedException {
        for (ByteString message = stream.receive(); message != null; message = stream.receive()) {
            stream.send(BytesValue.parseFrom(message));
        }
        return null;
    }

    private static MessageLite sum(ServerStream stream) throws StatusException, IOException, InterruptedException {
        long sum = 0;
        for (ByteString message = stream.receive(); message != null; message = stream.receive()) {
            sum += Int64Value.parseFrom(message).getValue();
        }
        return Int64Value.of(sum);
    }

    private static @Nullable MessageLite count(ServerStream stream)
            throws StatusException, IOException, InterruptedException {
        @Nullable ByteString request = stream.receive();
        if (request == null || stream.receive() != null) {
            throw new StatusException(Code.INVALID_ARGUMENT, "one message is to be sent");
        }
        for (long i = 0; i < Int64Value.parseFrom(request).getValue(); i++) {
            stream.send(Int64Value.of(i));
        }
        return null;
    }

    private static MessageLite metadata(Call call, ByteString payload) {
        return StringValue.of(call.metadata("Key") + " " + call.peer().user().getName());
    }

    private static BytesValue bytes(int length) {
        return BytesValue.of(ByteString.copyFrom(new byte[length]));
    }

    private static ByteString next(ClientStream stream) throws Exception {
        @Nullable ByteString message = stream.receive();
        if (message == null) {
            throw new AssertionError("the stream has ended");
        }
        return message;
    }

    private ClientStream open(Client client, String method) throws Exception {
        return client.stream("test", method, Map.of(), LIMIT);
    }

    @Test
    void echoesMessagesOfEverySizeInOrder() throws Exception {
        try (Client client = Client.connect(socket);
                ClientStream stream = open(client, "Echo")) {
            // An empty message is a message; the largest has 4 MiB with its field's tag and length.
            for (int length : new int[] {0, 1, 100, 0, 70_000, Frame.MAX_DATA_BYTES - 5, 3}) {
                stream.send(bytes(length));
                assertThat(BytesValue.parseFrom(next(stream)).getValue().size()).isEqualTo(length);
            }
            assertCode(() -> stream.send(bytes(Frame.MAX_DATA_BYTES)), Code.RESOURCE_EXHAUSTED);
            stream.closeSend();
            assertThat(stream.receive()).isNull();
            assertThat(stream.receive()).isNull();
            assertThatThrownBy(() -> stream.send(bytes(1))).isInstanceOf(IllegalStateException.class);
        }
    }

    @Test
    void answersAClientStreamOnce() throws Exception {
        try (Client client = Client.connect(socket);
                ClientStream stream = open(client, "Sum")) {
            for (int i = 1; i <= 50_000; i++) {
                stream.send(Int64Value.of(i));
            }
            stream.closeSend();
            assertThat(Int64Value.parseFrom(next(stream)).getValue()).isEqualTo(50_000L * 50_001 / 2);
            assertThat(stream.receive()).isNull();
        }
    }

    @Test
    void answersWithAStream() throws Exception {
        try (Client client = Client.connect(socket);
                ClientStream stream = client.serverStream("test", "Count", Int64Value.of(50_000), Map.of(), LIMIT)) {
            for (int i = 0; i < 50_000; i++) {
                assertThat(Int64Value.parseFrom(next(stream)).getValue()).isEqualTo(i);
            }
            assertThat(stream.receive()).isNull();
            assertThatThrownBy(() -> stream.send(bytes(1))).isInstanceOf(IllegalStateException.class);
        }
    }

    @Test
    void streamsAndCallsShareAConnection() throws Exception {
        try (Client client = Client.connect(socket);
                var executor = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<?>> all = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                int number = i;
                all.add(executor.submit(() -> {
                    try (ClientStream stream = open(client, "Echo")) {
                        for (int j = 0; j < 100; j++) {
                            stream.send(BytesValue.of(ByteString.copyFromUtf8(number + "." + j)));
                        }
                        stream.closeSend();
                        for (int j = 0; j < 100; j++) {
                            assertThat(BytesValue.parseFrom(next(stream))
                                            .getValue()
                                            .toStringUtf8())
                                    .isEqualTo(number + "." + j);
                        }
                        assertThat(stream.receive()).isNull();
                    }
                    return null;
                }));
                all.add(executor.submit(() -> {
                    for (int j = 0; j < 100; j++) {
                        assertThat(unary(client, number + "-" + j)).isEqualTo(number + "-" + j);
                    }
                    return null;
                }));
            }
            for (Future<?> one : all) {
                one.get();
            }
        }
    }

    private static String unary(Client client, String text) throws Exception {
        return StringValue.parseFrom(client.call("test", "Unary", StringValue.of(text), Map.of(), LIMIT))
                .getValue();
    }

    @Test
    void aFailureComesAfterWhatWasSentBefore() throws Exception {
        try (Client client = Client.connect(socket);
                ClientStream stream = open(client, "Fail")) {
            assertThat(StringValue.parseFrom(next(stream)).getValue()).isEqualTo("before");
            assertCode(stream::receive, Code.NOT_FOUND);
            assertCode(() -> stream.send(bytes(1)), Code.NOT_FOUND);
            stream.closeSend();
            assertThat(unary(client, "alive")).isEqualTo("alive");
        }
    }

    @Test
    void tellsMissingMethodsAndWrongKindsApart() throws Exception {
        try (Client client = Client.connect(socket)) {
            try (ClientStream stream = open(client, "None")) {
                assertCode(stream::receive, Code.UNIMPLEMENTED);
            }
            try (ClientStream stream = open(client, "Unary")) {
                assertCode(stream::receive, Code.UNIMPLEMENTED);
            }
            assertCode(
                    () -> client.call("test", "Echo", Empty.getDefaultInstance(), Map.of(), LIMIT), Code.UNIMPLEMENTED);
            try (ClientStream stream = open(client, "Big")) {
                assertCode(stream::receive, Code.RESOURCE_EXHAUSTED);
            }
        }
    }

    @Test
    void handlersOfBothKindsSeeMetadataAndPeer() throws Exception {
        String user = System.getProperty("user.name");
        try (Client client = Client.connect(socket)) {
            ByteString answer =
                    client.call("test", "Metadata", Empty.getDefaultInstance(), Map.of("KEY", "value"), LIMIT);
            assertThat(StringValue.parseFrom(answer).getValue()).isEqualTo("[value] " + user);
            try (ClientStream stream = client.stream("test", "Metadata2", Map.of("key", "Value"), LIMIT)) {
                assertThat(StringValue.parseFrom(next(stream)).getValue()).isEqualTo("[Value] " + user);
            }
        }
    }

    @Test
    void theDeadlineEndsBothSides() throws Exception {
        try (Client client = Client.connect(socket);
                ClientStream stream = client.stream("test", "Stuck", Map.of(), Duration.ofMillis(50))) {
            assertCode(stream::receive, Code.DEADLINE_EXCEEDED);
            assertNobodyIsStuck();
            assertThat(unary(client, "alive")).isEqualTo("alive");
        }
        try (RawPeer peer = RawPeer.connect(socket)) {
            peer.request(1, Frame.REMOTE_OPEN, "Echo", Empty.getDefaultInstance(), 50_000_000);
            assertThat(peer.receiveFailure(1)).isEqualTo(Code.DEADLINE_EXCEEDED);
            peer.request(3, Frame.REMOTE_OPEN, "Echo", Empty.getDefaultInstance(), -1);
            assertThat(peer.receiveFailure(3)).isEqualTo(Code.DEADLINE_EXCEEDED);
        }
    }

    @Test
    void aStreamEndsWithItsConnection() throws Exception {
        try (RawPeer peer = RawPeer.connect(socket)) {
            peer.request(1, Frame.REMOTE_OPEN, "Stuck", Empty.getDefaultInstance(), 0);
            peer.request(3, 0, "Unary", Empty.getDefaultInstance(), 0);
            assertThat(peer.receiveFailure(3)).isZero();
        }
        assertNobodyIsStuck();
    }

    /** A handler that has not begun when its stream ends may never begin. */
    private void assertNobodyIsStuck() throws InterruptedException {
        assertThat(stuck.tryAcquire(30, TimeUnit.SECONDS)).isTrue();
        stuck.release();
    }

    @Test
    void aHandlerThatTakesNothingLosesItsStreamAndNothingElse() throws Exception {
        try (Client client = Client.connect(socket);
                ClientStream stream = client.stream("test", "Stuck", Map.of(), Duration.ZERO)) {
            assertThatThrownBy(() -> {
                        while (true) {
                            stream.send(bytes(100_000));
                        }
                    })
                    .isInstanceOfSatisfying(
                            StatusException.class, e -> assertThat(e.code()).isEqualTo(Code.RESOURCE_EXHAUSTED));
            assertNobodyIsStuck();
            assertThat(unary(client, "alive")).isEqualTo("alive");
        }
    }

    @Test
    void aSlowHandlerHoldsItsClientBack() throws Exception {
        server.close();
        server = Server.start(socket, new Methods().addStream("test", "Slow", stream -> {
                    long length = 0;
                    for (ByteString message = stream.receive(); message != null; message = stream.receive()) {
                        length += message.size();
                        Thread.sleep(1);
                    }
                    return Int64Value.of(length);
                }));
        try (Client client = Client.connect(socket);
                ClientStream stream = open(client, "Slow")) {
            for (int i = 0; i < 200; i++) {
                stream.send(bytes(99_996));
            }
            stream.closeSend();
            assertThat(Int64Value.parseFrom(next(stream)).getValue()).isEqualTo(200 * 100_000L);
        }
    }

    @Test
    void refusesDataThatBelongsNowhere() throws Exception {
        try (RawPeer peer = RawPeer.connect(socket)) {
            peer.data(1, bytes(1));
            assertThat(peer.receiveFailure(1)).isEqualTo(Code.INVALID_ARGUMENT);
            peer.data(2, bytes(1));
            assertThat(peer.receiveFailure(2)).isEqualTo(Code.INVALID_ARGUMENT);
            // Data after the last, while the handler still runs.
            peer.request(3, Frame.REMOTE_CLOSED, "Stuck", Empty.getDefaultInstance(), 0);
            peer.data(3, bytes(1));
            assertThat(peer.receiveFailure(3)).isEqualTo(Code.INVALID_ARGUMENT);
            assertNobodyIsStuck();
            // Data of a stream that has ended is dropped.
            peer.data(3, bytes(1));
            peer.request(5, Frame.REMOTE_OPEN, "Echo", Empty.getDefaultInstance(), 0);
            peer.send(5, Frame.DATA, 0, new byte[Frame.MAX_DATA_BYTES + 1]);
            assertThat(peer.receiveFailure(5)).isEqualTo(Code.RESOURCE_EXHAUSTED);
        }
    }

    @Test
    void speaksAsGoDoes() throws Exception {
        try (RawPeer peer = RawPeer.connect(socket)) {
            // The request of a client stream may have the first message; the last data may have one, too.
            peer.request(1, Frame.REMOTE_OPEN, "Sum", Int64Value.of(1), 0);
            peer.data(1, Int64Value.of(2));
            peer.send(1, Frame.DATA, Frame.REMOTE_CLOSED, Int64Value.of(4).toByteArray());
            RawPeer.Received sum = peer.receive();
            assertThat(sum.frame()).isEqualTo(new Frame(4, 1, Frame.RESPONSE, (byte) 0));
            assertThat(sum.data().toByteArray()).containsExactly(0x12, 2, 8, 7);
            // Zero is a message without bytes.
            peer.request(3, Frame.REMOTE_CLOSED, "Count", Int64Value.of(1), 0);
            assertThat(peer.receive().frame()).isEqualTo(new Frame(0, 3, Frame.DATA, (byte) 0));
            assertThat(peer.receive().frame())
                    .isEqualTo(new Frame(0, 3, Frame.DATA, (byte) (Frame.REMOTE_CLOSED | Frame.NO_DATA)));
        }
    }

    private static void assertCode(org.assertj.core.api.ThrowableAssert.ThrowingCallable call, int code) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        StatusException.class, e -> assertThat(e.code()).isEqualTo(code));
    }
}
