package dev.coldstart.integration.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import com.google.protobuf.BytesValue;
import com.google.protobuf.Empty;
import com.google.protobuf.Int64Value;
import com.google.protobuf.MessageLite;
import com.google.protobuf.StringValue;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Root;
import dev.coldstart.shim.ttrpc.Call;
import dev.coldstart.shim.ttrpc.Client;
import dev.coldstart.shim.ttrpc.ClientStream;
import dev.coldstart.shim.ttrpc.Code;
import dev.coldstart.shim.ttrpc.Methods;
import dev.coldstart.shim.ttrpc.Server;
import dev.coldstart.shim.ttrpc.ServerStream;
import dev.coldstart.shim.ttrpc.StatusException;
import java.io.BufferedReader;
import java.io.IOException;
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
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Our ttrpc with containerd's own: its client with our server, our client with its server. No test host. */
@Timeout(300)
class TtrpcIT {
    private static final String SERVICE = "coldstart.test.Echo";
    private static final int MAX_DATA_BYTES = 4 << 20;
    private static final Duration LIMIT = Duration.ofMinutes(2);
    private static final int CHECKS = 18;

    private static Path program;

    @TempDir
    Path directory;

    @BeforeAll
    static void build() {
        program = Built.orSkip(Clients.TTRPC, Repository.here()).source().resolve("ttrpc");
    }

    private static Methods methods() {
        return new Methods()
                .add(SERVICE, "Echo", payload -> StringValue.parseFrom(payload))
                .add(SERVICE, "Nothing", payload -> Empty.getDefaultInstance())
                .add(SERVICE, "Fail", payload -> {
                    throw new StatusException(Code.NOT_FOUND, "no such thing: not found");
                })
                .add(
                        SERVICE,
                        "Big",
                        payload -> bytes((int) Int64Value.parseFrom(payload).getValue()))
                .addCall(SERVICE, "Metadata", (call, payload) -> metadata(call))
                .addWaiting(SERVICE, "Slow", payload -> {
                    new CountDownLatch(1).await();
                    return Empty.getDefaultInstance();
                })
                .addStream(SERVICE, "EchoStream", TtrpcIT::echo)
                .addStream(SERVICE, "Sum", TtrpcIT::sum)
                .addStream(SERVICE, "Count", TtrpcIT::count)
                .addStream(SERVICE, "FailStream", stream -> {
                    stream.send(Int64Value.of(1));
                    throw new StatusException(Code.NOT_FOUND, "no such thing: not found");
                })
                .addStream(SERVICE, "MetadataStream", stream -> {
                    stream.send(metadata(stream));
                    return null;
                })
                .addStream(SERVICE, "SlowStream", stream -> {
                    new CountDownLatch(1).await();
                    return null;
                });
    }

    private static StringValue metadata(Call call) {
        return StringValue.of(call.metadata("key").getFirst());
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
        long end = request == null ? 0 : Int64Value.parseFrom(request).getValue();
        for (long i = 0; i < end; i++) {
            stream.send(Int64Value.of(i));
        }
        return null;
    }

    private static BytesValue bytes(int length) {
        return BytesValue.of(ByteString.copyFrom(new byte[length]));
    }

    @Test
    void containerdsClientIsServed() throws Exception {
        Path socket = directory.resolve("s");
        try (Server _ = Server.start(socket, methods())) {
            Path output = directory.resolve("output");
            int status = run(output, List.of(program.toString(), "client", socket.toString()));
            assertThat(Files.readString(output)).doesNotContain("FAILED");
            assertThat(status).isZero();
            assertThat(Files.readAllLines(output).stream().filter(line -> line.startsWith("ok ")))
                    .hasSize(CHECKS);
        }
    }

    @Test
    void otherUsersAreNotServed() throws Exception {
        Root.assume();
        Path socket = directory.resolve("s");
        // Where everybody may come to: only the server itself is between.
        Path copy = Files.copy(program, directory.resolve("ttrpc"));
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-xr-x"));
        try (Server _ = Server.start(socket, methods())) {
            Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rw-rw-rw-"));
            Path output = directory.resolve("output");
            List<String> dial = List.of(copy.toString(), "dial", socket.toString());
            assertThat(run(output, dial)).isZero();
            List<String> other =
                    new ArrayList<>(List.of("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"));
            other.addAll(dial);
            assertThat(run(output, other)).isEqualTo(1);
            assertThat(Files.readString(output)).contains("ttrpc: closed");
        }
    }

    private static int run(Path output, List<String> command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        try {
            assertThat(process.waitFor(LIMIT.toMillis(), TimeUnit.MILLISECONDS)).isTrue();
            return process.exitValue();
        } finally {
            process.destroyForcibly();
        }
    }

    @Test
    void containerdsServerIsCalled() throws Exception {
        Path socket = directory.resolve("s");
        Process server = new ProcessBuilder(program.toString(), "serve", socket.toString())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        try (BufferedReader output = server.inputReader()) {
            assertThat(output.readLine()).isEqualTo("serving");
            // The socket is there; its server accepts soon after.
            try (Client client = Client.connect(socket)) {
                unary(client);
                streams(client);
                failingStreams(client);
                many(client);
            }
            try (Client client = Client.connect(socket)) {
                Thread caller = Thread.ofVirtual()
                        .start(() -> assertThatThrownBy(() -> client.call(
                                        SERVICE, "Slow", Empty.getDefaultInstance(), Map.of(), Duration.ZERO))
                                .isInstanceOf(IOException.class));
                assertThat(echo(client, "in flight")).isEqualTo("in flight");
                server.destroyForcibly();
                assertThat(caller.join(LIMIT)).isTrue();
            }
        } finally {
            server.destroyForcibly().waitFor();
        }
    }

    private static String echo(Client client, String text) throws Exception {
        return StringValue.parseFrom(client.call(SERVICE, "Echo", StringValue.of(text), Map.of(), LIMIT))
                .getValue();
    }

    private static void unary(Client client) throws Exception {
        assertThat(echo(client, "hello")).isEqualTo("hello");
        assertThat(client.call(SERVICE, "Nothing", Empty.getDefaultInstance(), Map.of(), LIMIT))
                .isEmpty();
        assertFailure(client, "Fail", Empty.getDefaultInstance(), Code.NOT_FOUND, "no such thing: not found");
        assertFailure(client, "None", Empty.getDefaultInstance(), Code.UNIMPLEMENTED, "method None");
        // The answer's envelope takes a tag and a length, as the message itself does.
        ByteString answer = client.call(SERVICE, "Big", Int64Value.of(MAX_DATA_BYTES - 10), Map.of(), LIMIT);
        assertThat(BytesValue.parseFrom(answer).getValue().size()).isEqualTo(MAX_DATA_BYTES - 10);
        assertFailure(client, "Echo", bytes(MAX_DATA_BYTES), Code.RESOURCE_EXHAUSTED, "exceeds 4 MiB");
        answer = client.call(SERVICE, "Metadata", Empty.getDefaultInstance(), Map.of("Key", "value"), LIMIT);
        assertThat(StringValue.parseFrom(answer).getValue()).isEqualTo("value");
        assertThatThrownBy(
                        () -> client.call(SERVICE, "Slow", Empty.getDefaultInstance(), Map.of(), Duration.ofMillis(50)))
                .isInstanceOfSatisfying(
                        StatusException.class, e -> assertThat(e.code()).isEqualTo(Code.DEADLINE_EXCEEDED));
        assertThat(echo(client, "alive")).isEqualTo("alive");
    }

    private static void assertFailure(Client client, String method, MessageLite request, int code, String message) {
        assertThatThrownBy(() -> client.call(SERVICE, method, request, Map.of(), LIMIT))
                .hasMessageContaining(message)
                .isInstanceOfSatisfying(
                        StatusException.class, e -> assertThat(e.code()).isEqualTo(code));
    }

    private static void streams(Client client) throws Exception {
        echoStream(client, 200);
        try (ClientStream stream = client.stream(SERVICE, "EchoStream", Map.of(), LIMIT)) {
            stream.send(bytes(MAX_DATA_BYTES - 5));
            assertThat(next(stream).size()).isEqualTo(MAX_DATA_BYTES);
            stream.closeSend();
            assertThat(stream.receive()).isNull();
        }
        try (ClientStream stream = client.stream(SERVICE, "Sum", Map.of(), LIMIT)) {
            for (int i = 0; i < 10_000; i++) {
                stream.send(Int64Value.of(i));
            }
            stream.closeSend();
            assertThat(Int64Value.parseFrom(next(stream)).getValue()).isEqualTo(10_000L * 9_999 / 2);
            assertThat(stream.receive()).isNull();
        }
        for (int end : new int[] {0, 10_000}) {
            try (ClientStream stream = client.serverStream(SERVICE, "Count", Int64Value.of(end), Map.of(), LIMIT)) {
                for (int i = 0; i < end; i++) {
                    assertThat(Int64Value.parseFrom(next(stream)).getValue()).isEqualTo(i);
                }
                assertThat(stream.receive()).isNull();
            }
        }
        try (ClientStream stream = client.serverStream(
                SERVICE, "MetadataStream", Empty.getDefaultInstance(), Map.of("Key", "value"), LIMIT)) {
            assertThat(StringValue.parseFrom(next(stream)).getValue()).isEqualTo("value");
        }
    }

    private static void echoStream(Client client, int messages) throws Exception {
        try (ClientStream stream = client.stream(SERVICE, "EchoStream", Map.of(), LIMIT)) {
            Thread sender = Thread.ofVirtual().start(() -> {
                try {
                    for (int i = 0; i < messages; i++) {
                        stream.send(bytes(i * i * 17 % 30_000));
                    }
                    stream.closeSend();
                } catch (StatusException | IOException | InterruptedException e) {
                    throw new AssertionError(e);
                }
            });
            for (int i = 0; i < messages; i++) {
                assertThat(BytesValue.parseFrom(next(stream)).getValue().size()).isEqualTo(i * i * 17 % 30_000);
            }
            assertThat(stream.receive()).isNull();
            sender.join();
        }
    }

    private static ByteString next(ClientStream stream) throws Exception {
        @Nullable ByteString message = stream.receive();
        if (message == null) {
            throw new AssertionError("the stream has ended");
        }
        return message;
    }

    private static void failingStreams(Client client) throws Exception {
        try (ClientStream stream =
                client.serverStream(SERVICE, "FailStream", Empty.getDefaultInstance(), Map.of(), LIMIT)) {
            assertThat(Int64Value.parseFrom(next(stream)).getValue()).isEqualTo(1);
            assertEnd(stream, Code.NOT_FOUND);
        }
        try (ClientStream stream = client.stream(SERVICE, "None", Map.of(), LIMIT)) {
            assertEnd(stream, Code.UNIMPLEMENTED);
        }
        try (ClientStream stream = client.serverStream(
                SERVICE, "SlowStream", Empty.getDefaultInstance(), Map.of(), Duration.ofMillis(50))) {
            assertEnd(stream, Code.DEADLINE_EXCEEDED);
        }
        assertThat(echo(client, "alive")).isEqualTo("alive");
    }

    private static void assertEnd(ClientStream stream, int code) {
        assertThatThrownBy(stream::receive)
                .isInstanceOfSatisfying(
                        StatusException.class, e -> assertThat(e.code()).isEqualTo(code));
    }

    private static void many(Client client) throws Exception {
        try (var executor = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<?>> all = new ArrayList<>();
            for (int i = 0; i < 1000; i++) {
                String text = "x".repeat(i * 7);
                all.add(executor.submit(() -> {
                    assertThat(echo(client, text)).isEqualTo(text);
                    return null;
                }));
            }
            for (int i = 0; i < 20; i++) {
                all.add(executor.submit(() -> {
                    echoStream(client, 50);
                    return null;
                }));
            }
            for (Future<?> one : all) {
                one.get();
            }
        }
    }
}
