import dev.coldstart.proto.containerd.services.snapshots.CommitSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.ListSnapshotsRequest;
import dev.coldstart.proto.containerd.services.snapshots.MountsRequest;
import dev.coldstart.proto.containerd.services.snapshots.PrepareSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.RemoveSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.SnapshotsGrpc;
import dev.coldstart.proto.containerd.services.snapshots.StatSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.UsageRequest;
import dev.coldstart.proto.v1.AdminGrpc;
import dev.coldstart.proto.v1.IndexRequest;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.rehearsal.GeneratedLayer;
import dev.coldstart.snapshotter.rehearsal.LoopbackRegistry;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import io.netty.channel.socket.nio.NioServerDomainSocketChannel;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/**
 * A node's first minute, while the snapshotter's AOT cache is recorded: an image is pulled, another one is read through the
 * remote tier, containers come and go. What was compiled then, and with which profile, is what a fresh snapshotter knows from
 * its start. A part that fails is named on stderr and not recorded, no more: a build may lack the right to mount.
 */
final class SnapshotterCalls {
    private static final int READERS = 4;
    /** For all calls together, so that a snapshotter that hangs does not hang the build. */
    private static final Duration LIMIT = Duration.ofMinutes(3);

    private final Path state;
    private final SnapshotsGrpc.SnapshotsBlockingStub snapshots;
    private final AdminGrpc.AdminBlockingStub admin;

    private interface Part {
        void play() throws Exception;
    }

    private SnapshotterCalls(Path state, ManagedChannel snapshots, ManagedChannel admin) {
        this.state = state;
        this.snapshots = SnapshotsGrpc.newBlockingStub(snapshots).withDeadlineAfter(LIMIT);
        this.admin = AdminGrpc.newBlockingStub(admin).withDeadlineAfter(LIMIT);
    }

    /**
     * Plays it, in the snapshotter's mount namespace.
     *
     * @param arguments the directories that its configuration names: state, hosts_dir, and the socket containerd_address
     */
    public static void main(String[] arguments) {
        Path state = Path.of(arguments[0]);
        EventLoopGroup loop = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
        ManagedChannel snapshotter = channel(state.resolve("snapshotter.sock"), loop);
        ManagedChannel node = channel(state.resolve("node.sock"), loop);
        try (ExecutorService threads = Executors.newFixedThreadPool(READERS)) {
            SnapshotterCalls calls = new SnapshotterCalls(state, snapshotter, node);
            part("containers", calls::container);
            part("images", () -> calls.images(Path.of(arguments[1]), Path.of(arguments[2]), loop, threads));
        } finally {
            snapshotter.shutdownNow();
            node.shutdownNow();
            loop.shutdownGracefully(0, 1, TimeUnit.SECONDS);
        }
    }

    private static void part(String name, Part part) {
        try {
            part.play();
        } catch (Exception e) {
            System.err.println("not recorded: " + name + ": " + e);
        }
    }

    private static ManagedChannel channel(Path socket, EventLoopGroup loop) {
        return NettyChannelBuilder.forAddress(UnixDomainSocketAddress.of(socket))
                .channelType(NioDomainSocketChannel.class)
                .eventLoopGroup(loop)
                .overrideAuthority("localhost")
                .usePlaintext()
                .build();
    }

    private void container() {
        snapshots.prepare(prepare("training/1/a", "").build());
        snapshots.stat(StatSnapshotRequest.newBuilder().setKey("training/1/a").build());
        snapshots.commit(CommitSnapshotRequest.newBuilder()
                .setKey("training/1/a")
                .setName("training/2/b")
                .build());
        remove("training/2/b");
    }

    private void images(Path hosts, Path containerd, EventLoopGroup loop, ExecutorService threads) throws Exception {
        try (LoopbackRegistry registry = new LoopbackRegistry()) {
            Files.writeString(
                    Files.createDirectories(hosts.resolve(registry.host())).resolve("ca.crt"), registry.certificate());
            String repository = registry.host() + "/training";
            ContentStore content = new ContentStore(repository);
            Server server = NettyServerBuilder.forAddress(UnixDomainSocketAddress.of(containerd))
                    .channelType(NioServerDomainSocketChannel.class)
                    .bossEventLoopGroup(loop)
                    .workerEventLoopGroup(loop)
                    .addService(content)
                    .addService(content.images())
                    .build()
                    .start();
            try {
                Future<GeneratedLayer> base = threads.submit(() -> GeneratedLayer.of(1, 2000, 1 << 20));
                Future<GeneratedLayer> top = threads.submit(() -> GeneratedLayer.of(2, 1000, 30 << 20));
                Future<GeneratedLayer> other = threads.submit(() -> GeneratedLayer.of(3, 600, 16 << 20));
                ImageFiles pulled = ImageFiles.of(List.of(base.get(), top.get()));
                ImageFiles indexed = ImageFiles.of(List.of(other.get()));
                for (ImageFiles image : List.of(pulled, indexed)) {
                    image.documents().forEach(registry::put);
                    image.layers().forEach(layer -> registry.put(layer.digest(), layer.blob()));
                    content.pull(image);
                }
                part("pulls", () -> pull(pulled));
                part("lazy reads", () -> {
                    admin.index(IndexRequest.newBuilder()
                                    .setImage(repository + "@" + indexed.manifest())
                                    .build())
                            .forEachRemaining(progress -> {});
                    pull(indexed);
                    read(indexed.layers().getFirst().objects(), threads);
                });
            } finally {
                server.shutdownNow();
            }
        }
    }

    /** As containerd does it, and then starts a container. */
    private void pull(ImageFiles image) {
        String parent = "";
        for (String chainId : image.chainIds()) {
            try {
                snapshots.prepare(prepare("training/extract " + chainId, parent)
                        .putLabels("containerd.io/snapshot.ref", chainId)
                        .build());
                throw new IllegalStateException("a layer became an ordinary snapshot; the snapshotter's log says why");
            } catch (StatusRuntimeException e) {
                if (e.getStatus().getCode() != Status.Code.ALREADY_EXISTS) {
                    throw e;
                }
            }
            snapshots.stat(StatSnapshotRequest.newBuilder().setKey(chainId).build());
            parent = chainId;
        }
        String container = "training/of " + parent;
        snapshots.prepare(prepare(container, parent).build());
        snapshots.mounts(MountsRequest.newBuilder().setKey(container).build());
        snapshots.list(ListSnapshotsRequest.getDefaultInstance()).forEachRemaining(found -> found.getInfoList()
                .forEach(info -> snapshots.usage(
                        UsageRequest.newBuilder().setKey(info.getName()).build())));
        remove(container);
    }

    private void read(List<ObjectName> objects, ExecutorService threads) throws Exception {
        List<Future<?>> readers = new ArrayList<>();
        for (int reader = 0; reader < READERS; reader++) {
            int first = reader;
            readers.add(threads.submit(() -> {
                // The large object is the last one, so the first reader begins with it.
                for (int at = objects.size() - 1 - first; at >= 0; at -= READERS) {
                    read(objects.get(at));
                }
                return null;
            }));
        }
        for (Future<?> reader : readers) {
            reader.get();
        }
    }

    private void read(ObjectName object) throws IOException {
        byte[] bytes = Files.readAllBytes(state.resolve("remote").resolve(object.path()));
        if (!ObjectName.of(Digest.ofContent(bytes).bytes()).equals(object)) {
            throw new IOException("object " + object + " has other bytes");
        }
    }

    private void remove(String key) {
        snapshots.remove(RemoveSnapshotRequest.newBuilder().setKey(key).build());
    }

    private static PrepareSnapshotRequest.Builder prepare(String key, String parent) {
        return PrepareSnapshotRequest.newBuilder().setKey(key).setParent(parent);
    }
}
