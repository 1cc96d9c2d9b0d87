package dev.coldstart.shim.ttrpc;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import com.google.protobuf.BytesValue;
import com.google.protobuf.Empty;
import com.sun.management.HotSpotDiagnosticMXBean;
import dev.coldstart.proto.ttrpc.Request;
import dev.coldstart.proto.ttrpc.Response;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What peers do that break the protocol, or take no part in it, costs nobody else anything, and nothing when they are gone. */
@Timeout(180)
class HostilePeersTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final String[] METHODS = {"Nothing", "Big", "Wait", "Echo", "Deaf", "Flood", "None"};
    private static final Pattern THREAD =
            Pattern.compile("\"(accept|connection|request|ttrpc writer|ttrpc client)\" virtual");

    @TempDir
    Path directory;

    private final CountDownLatch release = new CountDownLatch(1);
    private Path socket;
    private Server server;

    @BeforeEach
    void start() throws IOException {
        socket = directory.resolve("s");
        server = Server.start(
                socket,
                new Methods()
                        .add("test", "Nothing", payload -> Empty.getDefaultInstance())
                        .add("test", "Big", payload -> BytesValue.of(ByteString.copyFrom(new byte[1 << 20])))
                        .add("test", "Slow", payload -> {
                            release.await();
                            return Empty.getDefaultInstance();
                        })
                        .addWaiting("test", "Wait", payload -> {
                            new CountDownLatch(1).await();
                            return Empty.getDefaultInstance();
                        })
                        .addStream("test", "Echo", stream -> {
                            for (ByteString message = stream.receive(); message != null; message = stream.receive()) {
                                stream.send(BytesValue.of(message));
                            }
                            return null;
                        })
                        .addStream("test", "Flood", stream -> {
                            while (true) {
                                stream.send(BytesValue.of(ByteString.copyFrom(new byte[10_000])));
                            }
                        })
                        .addStream("test", "Deaf", stream -> {
                            new CountDownLatch(1).await();
                            return null;
                        }));
    }

    @AfterEach
    void stop() throws IOException {
        release.countDown();
        server.close();
    }

    private void assertServed() throws Exception {
        try (Client client = Client.connect(socket)) {
            assertThat(client.call("test", "Nothing", Empty.getDefaultInstance(), Map.of(), LIMIT))
                    .isEmpty();
        }
    }

    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {1, 2, 3})
    void leaveNothingBehind(long seed) throws Exception {
        assertServed();
        int descriptors = sockets();
        long threads = threads();
        Random random = new Random(seed);
        for (int i = 0; i < 60; i++) {
            try (SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
                // A peer that does not read: what does not fit into the socket stays unsent.
                channel.configureBlocking(false);
                int stream = 1;
                for (int j = 0; j < 50; j++) {
                    ByteBuffer frame = frame(random, stream);
                    if (channel.write(frame) > 0 && frame.hasRemaining()) {
                        break;
                    }
                    stream += 2 * random.nextInt(2);
                }
            } catch (IOException e) {
                // The server may hang up first.
            }
            assertServed();
        }
        await("sockets, seed " + seed, descriptors, HostilePeersTest::sockets);
        await("threads, seed " + seed, threads, this::threads);
    }

    private static ByteBuffer frame(Random random, int stream) throws StatusException {
        if (random.nextInt(20) == 0) {
            byte[] noise = new byte[random.nextInt(1, 40)];
            random.nextBytes(noise);
            return ByteBuffer.wrap(noise);
        }
        if (random.nextInt(3) == 0) {
            return Frame.data(stream, BytesValue.of(ByteString.copyFrom(new byte[random.nextInt(20_000)])), "m");
        }
        ByteBuffer request = Frame.request(
                (byte) random.nextInt(3),
                Request.newBuilder()
                        .setService("test")
                        .setMethod(METHODS[random.nextInt(METHODS.length)])
                        .setTimeoutNano(random.nextInt(3) == 0 ? random.nextInt(10_000_000) : 0)
                        .build(),
                Empty.getDefaultInstance());
        Frame.number(request, stream);
        return request;
    }

    @Test
    void serversThatHangUpLeaveNothingBehind() throws Exception {
        Path other = directory.resolve("o");
        try (ServerSocketChannel listener = RawPeer.listen(other)) {
            int descriptors = sockets();
            long threads = threads();
            for (int i = 0; i < 30; i++) {
                try (Client client = Client.connect(other)) {
                    Thread caller = Thread.ofVirtual().start(() -> {
                        try (ClientStream stream = client.stream("test", "Echo", Map.of(), Duration.ZERO)) {
                            while (true) {
                                stream.send(BytesValue.of(ByteString.copyFrom(new byte[100_000])));
                            }
                        } catch (StatusException | IOException | InterruptedException e) {
                            // The connection has ended while the stream waited for room.
                        }
                    });
                    try (RawPeer peer = new RawPeer(listener.accept())) {
                        peer.receive();
                    }
                    assertThat(caller.join(LIMIT)).isTrue();
                }
            }
            await("sockets", descriptors, HostilePeersTest::sockets);
            await("threads", threads, this::threads);
        }
    }

    @Test
    void holdNoMoreThanIsAllowed() throws Exception {
        BytesValue large = BytesValue.of(ByteString.copyFrom(new byte[Frame.MAX_DATA_BYTES - (4 << 10)]));
        try (RawPeer peer = RawPeer.connect(socket)) {
            for (int i = 0; i < 4; i++) {
                peer.request(1 + 2 * i, 0, "Slow", large, 0);
            }
            peer.request(9, 0, "Slow", large, 0);
            assertThat(peer.receiveFailure(9)).isEqualTo(Code.RESOURCE_EXHAUSTED);
            // Others have room of their own.
            assertServed();
            peer.request(11, Frame.REMOTE_OPEN, "Deaf", Empty.getDefaultInstance(), 0);
            peer.data(11, BytesValue.of(ByteString.copyFrom(new byte[100_000])));
            assertThat(peer.receiveFailure(11)).isEqualTo(Code.RESOURCE_EXHAUSTED);
            release.countDown();
            for (int i = 0; i < 4; i++) {
                assertThat(Response.parseFrom(peer.receive().data()).getStatus().getCode())
                        .isZero();
            }
        }
        try (Client client = Client.connect(socket)) {
            for (int i = 0; i < 10; i++) {
                assertThat(client.call("test", "Nothing", large, Map.of(), LIMIT))
                        .isEmpty();
            }
        }
    }

    private interface Count {
        long get() throws IOException;
    }

    private static void await(String what, long before, Count now) throws Exception {
        long end = System.nanoTime() + LIMIT.toNanos();
        while (now.get() > before && System.nanoTime() < end) {
            Thread.sleep(50);
        }
        assertThat(now.get()).as(what).isLessThanOrEqualTo(before);
    }

    private static int sockets() throws IOException {
        int count = 0;
        try (DirectoryStream<Path> descriptors = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
            for (Path descriptor : descriptors) {
                try {
                    if (Files.readSymbolicLink(descriptor).toString().startsWith("socket:")) {
                        count++;
                    }
                } catch (IOException e) {
                    // Closed meanwhile.
                }
            }
        }
        return count;
    }

    private long threads() throws IOException {
        Path dump = directory.resolve("threads");
        Files.deleteIfExists(dump);
        ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class)
                .dumpThreads(dump.toString(), HotSpotDiagnosticMXBean.ThreadDumpFormat.TEXT_PLAIN);
        try (var lines = Files.lines(dump)) {
            return lines.filter(line -> THREAD.matcher(line).find()).count();
        }
    }
}
