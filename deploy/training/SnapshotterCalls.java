import dev.coldstart.proto.containerd.services.snapshots.ListSnapshotsRequest;
import dev.coldstart.proto.containerd.services.snapshots.PrepareSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.RemoveSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.SnapshotsGrpc;
import dev.coldstart.proto.containerd.services.snapshots.StatSnapshotRequest;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import java.net.UnixDomainSocketAddress;
import java.util.concurrent.TimeUnit;

/**
 * What containerd would say to the snapshotter while its AOT cache is recorded. A call may fail: the code that answers it is
 * then known all the same.
 */
final class SnapshotterCalls {
    public static void main(String[] arguments) throws Exception {
        var threads = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
        var channel = NettyChannelBuilder.forAddress(UnixDomainSocketAddress.of(arguments[0]))
                .channelType(NioDomainSocketChannel.class)
                .eventLoopGroup(threads)
                .overrideAuthority("localhost")
                .usePlaintext()
                .build();
        var snapshots = SnapshotsGrpc.newBlockingStub(channel);
        try {
            snapshots.prepare(PrepareSnapshotRequest.newBuilder().setKey("training/1/a").build());
            snapshots.stat(StatSnapshotRequest.newBuilder().setKey("training/1/a").build());
            snapshots.list(ListSnapshotsRequest.getDefaultInstance()).forEachRemaining(all -> {});
            snapshots.remove(RemoveSnapshotRequest.newBuilder().setKey("training/1/a").build());
        } catch (StatusRuntimeException e) {
            System.err.println(e.getMessage());
        } finally {
            channel.shutdownNow();
            threads.shutdownGracefully(0, 1, TimeUnit.SECONDS);
        }
    }
}
