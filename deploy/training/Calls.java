import com.google.protobuf.MessageLite;
import dev.coldstart.proto.containerd.services.snapshots.ListSnapshotsRequest;
import dev.coldstart.proto.containerd.services.snapshots.PrepareSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.RemoveSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.SnapshotsGrpc;
import dev.coldstart.proto.containerd.services.snapshots.StatSnapshotRequest;
import dev.coldstart.proto.containerd.task.ConnectRequest;
import dev.coldstart.proto.containerd.task.CreateTaskRequest;
import dev.coldstart.proto.containerd.task.DeleteRequest;
import dev.coldstart.proto.containerd.task.ShutdownRequest;
import dev.coldstart.proto.containerd.task.StartRequest;
import dev.coldstart.proto.containerd.task.StateRequest;
import dev.coldstart.shim.ttrpc.Client;
import dev.coldstart.shim.ttrpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import java.net.UnixDomainSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;

/**
 * What containerd would say to a program while its AOT cache is recorded. Calls may fail: there is no container, and the build
 * is not root; the code that answers them is then known all the same.
 */
final class Calls {
    private static final String TASK = "containerd.task.v2.Task";

    public static void main(String[] arguments) throws Exception {
        Path socket = Path.of(arguments[1]);
        switch (arguments[0]) {
            case "shim" -> shim(socket, arguments[2]);
            case "snapshotter" -> snapshotter(socket);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static void shim(Path socket, String bundle) throws Exception {
        try (Client client = Client.connect(socket)) {
            call(client, "Create", CreateTaskRequest.newBuilder().setId("training").setBundle(bundle).build());
            call(client, "Start", StartRequest.newBuilder().setId("training").build());
            call(client, "State", StateRequest.newBuilder().setId("training").build());
            call(client, "Connect", ConnectRequest.newBuilder().setId("training").build());
            call(client, "Delete", DeleteRequest.newBuilder().setId("training").build());
            call(client, "Shutdown", ShutdownRequest.newBuilder().setId("training").build());
        }
    }

    private static void call(Client client, String method, MessageLite request) throws Exception {
        try {
            client.call(TASK, method, request, Map.of(), Duration.ofSeconds(20));
        } catch (StatusException e) {
            System.err.println(method + ": " + e.getMessage());
        }
    }

    private static void snapshotter(Path socket) throws Exception {
        var threads = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
        var channel = NettyChannelBuilder.forAddress(UnixDomainSocketAddress.of(socket))
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
            threads.shutdownGracefully(0, 1, java.util.concurrent.TimeUnit.SECONDS);
        }
    }
}
