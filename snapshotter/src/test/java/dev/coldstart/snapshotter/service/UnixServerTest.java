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
import java.net.UnixDomainSocketAddress;
import java.nio.file.Path;
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
