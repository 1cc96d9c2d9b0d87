package dev.coldstart.snapshotter.service;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.proto.containerd.services.snapshots.Info;
import dev.coldstart.proto.containerd.services.snapshots.SnapshotsGrpc;
import dev.coldstart.proto.containerd.services.snapshots.StatSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.StatSnapshotResponse;
import dev.coldstart.snapshotter.content.Containerd;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UnixServerTest {
    /** Says in which namespace it was called. */
    private static final class Echo extends SnapshotsGrpc.SnapshotsImplBase {
        @Override
        public void stat(StatSnapshotRequest request, StreamObserver<StatSnapshotResponse> answer) {
            answer.onNext(StatSnapshotResponse.newBuilder()
                    .setInfo(Info.newBuilder().setName(UnixServer.NAMESPACE.get()))
                    .build());
            answer.onCompleted();
        }
    }

    @Test
    void theNamespaceIsTheFirstThatAClientSends(@TempDir Path dir) throws Exception {
        Path socket = dir.resolve("s.sock");
        EventLoopGroup loop = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
        ManagedChannel channel = NettyChannelBuilder.forAddress(UnixDomainSocketAddress.of(socket))
                .channelType(NioDomainSocketChannel.class)
                .eventLoopGroup(loop)
                .overrideAuthority("localhost")
                .usePlaintext()
                .build();
        try (UnixServer _ = UnixServer.start(socket, List.of(new Echo()))) {
            assertThat(namespace(channel)).isEqualTo("default");
            assertThat(namespace(channel, "k8s.io")).isEqualTo("k8s.io");
            assertThat(namespace(channel, "one", "default")).isEqualTo("one");
        } finally {
            channel.shutdownNow();
            var _ = loop.shutdownGracefully();
        }
    }

    /** What a JVM that has compiled nothing yet does. */
    static final class Cold {
        static void main(String[] socket) throws Exception {
            try (UnixServer _ = UnixServer.start(Path.of(socket[0]), List.of(new Echo()))) {
                Thread.sleep(Duration.ofMinutes(2));
            }
        }
    }

    /** Else containerd, which waits a second for it, gives up on a busy node. */
    @Test
    void theSocketOfAColdProcessAppearsWhenItAnswersAtOnce(@TempDir Path dir) throws Exception {
        Path socket = dir.resolve("s.sock");
        Path log = dir.resolve("log");
        Process cold = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xint",
                        "-Xshare:off",
                        "-cp",
                        System.getProperty("java.class.path"),
                        Cold.class.getName(),
                        socket.toString())
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        try {
            Instant late = Instant.now().plusSeconds(60);
            while (!Files.exists(socket)) {
                assertThat(cold.isAlive()).as(Files.readString(log)).isTrue();
                assertThat(Instant.now()).isBefore(late);
                Thread.sleep(1);
            }
            Duration first = greeted(socket);
            Duration second = greeted(socket);
            assertThat(first).isLessThan(second.multipliedBy(4).plusMillis(40));
            assertThat(dir).isDirectoryNotContaining("glob:**.new");
        } finally {
            cold.destroyForcibly().waitFor();
        }
    }

    /** How long a new connection waits for the server's first frame. */
    private static Duration greeted(Path socket) throws IOException {
        byte[] preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(StandardCharsets.US_ASCII);
        ByteBuffer settings = ByteBuffer.allocate(9);
        long start = System.nanoTime();
        try (SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
            channel.write(ByteBuffer.wrap(preface));
            channel.read(settings);
        }
        assertThat(settings.get(3)).as("type of the first frame: SETTINGS").isEqualTo((byte) 4);
        return Duration.ofNanos(System.nanoTime() - start);
    }

    @Test
    void containerdsKeysNameTheNamespaceToo() {
        assertThat(SnapshotsService.namespace("k8s.io/12/extract-1 sha256:ab")).isEqualTo("k8s.io");
        assertThat(SnapshotsService.namespace("extract-1")).isEqualTo("default");
    }

    private static String namespace(ManagedChannel channel, String... sent) {
        Metadata headers = new Metadata();
        for (String namespace : sent) {
            headers.put(Containerd.NAMESPACE, namespace);
        }
        return SnapshotsGrpc.newBlockingStub(channel)
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
                .stat(StatSnapshotRequest.getDefaultInstance())
                .getInfo()
                .getName();
    }
}
