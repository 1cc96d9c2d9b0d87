package dev.coldstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.Timestamp;
import dev.coldstart.proto.containerd.services.tasks.CheckpointTaskRequest;
import dev.coldstart.proto.containerd.services.tasks.CheckpointTaskResponse;
import dev.coldstart.proto.containerd.services.tasks.TasksGrpc;
import dev.coldstart.proto.v1.AdminGrpc;
import dev.coldstart.proto.v1.DiagnoseImageRequest;
import dev.coldstart.proto.v1.DiagnoseImageResponse;
import dev.coldstart.proto.v1.DiagnoseRequest;
import dev.coldstart.proto.v1.DiagnoseResponse;
import dev.coldstart.proto.v1.DiagnosedLayer;
import dev.coldstart.proto.v1.Finding;
import dev.coldstart.proto.v1.GetSnapshotRequest;
import dev.coldstart.proto.v1.Holding;
import dev.coldstart.proto.v1.IndexProgress;
import dev.coldstart.proto.v1.IndexRequest;
import dev.coldstart.proto.v1.IndexedLayer;
import dev.coldstart.proto.v1.InventoryRequest;
import dev.coldstart.proto.v1.KeyField;
import dev.coldstart.proto.v1.ListSnapshotsRequest;
import dev.coldstart.proto.v1.ListSnapshotsResponse;
import dev.coldstart.proto.v1.NodeAgentGrpc;
import dev.coldstart.proto.v1.NodeInventory;
import dev.coldstart.proto.v1.PlanRequest;
import dev.coldstart.proto.v1.PlanResponse;
import dev.coldstart.proto.v1.PlannerGrpc;
import dev.coldstart.proto.v1.RemoveSnapshotRequest;
import dev.coldstart.proto.v1.RemoveSnapshotResponse;
import dev.coldstart.proto.v1.Severity;
import dev.coldstart.proto.v1.SnapshotKey;
import dev.coldstart.proto.v1.SnapshotManifest;
import dev.coldstart.proto.v1.Tier;
import dev.coldstart.proto.v1.VersionRequest;
import dev.coldstart.proto.v1.VersionResponse;
import io.grpc.BindableService;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioServerDomainSocketChannel;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CommandsTest {
    private static final String SNAPSHOT_ID = "0a1b2c3d4e5f6071".repeat(4);
    private static final String LAYER = "sha256:" + "ab".repeat(32);

    @TempDir
    Path directory;

    private final MultiThreadIoEventLoopGroup loop = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
    private final List<Server> servers = new ArrayList<>();
    private final AtomicReference<@Nullable String> namespaceSeen = new AtomicReference<>();
    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @AfterEach
    void stop() {
        servers.forEach(Server::shutdownNow);
        loop.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
    }

    private String serve(String name, BindableService... services) throws IOException {
        Path socket = directory.resolve(name);
        NettyServerBuilder builder = NettyServerBuilder.forAddress(UnixDomainSocketAddress.of(socket))
                .channelType(NioServerDomainSocketChannel.class)
                .bossEventLoopGroup(loop)
                .workerEventLoopGroup(loop)
                .directExecutor()
                .intercept(new ServerInterceptor() {
                    @Override
                    public <Q, A> ServerCall.Listener<Q> interceptCall(
                            ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
                        String namespace =
                                headers.get(Metadata.Key.of("containerd-namespace", Metadata.ASCII_STRING_MARSHALLER));
                        if (namespace != null) {
                            namespaceSeen.set(namespace);
                        }
                        return next.startCall(call, headers);
                    }
                });
        for (BindableService service : services) {
            builder.addService(service);
        }
        servers.add(builder.build().start());
        return socket.toString();
    }

    private int run(String... args) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return Main.run(new PrintWriter(out, true), new PrintWriter(err, true), args);
    }

    private static <T> void answer(StreamObserver<T> observer, T value) {
        observer.onNext(value);
        observer.onCompleted();
    }

    /** A node's daemon with one snapshot. */
    private static class Node extends AdminGrpc.AdminImplBase {
        private final List<SnapshotManifest> snapshots = new ArrayList<>();

        @Override
        public void version(VersionRequest request, StreamObserver<VersionResponse> observer) {
            answer(
                    observer,
                    VersionResponse.newBuilder()
                            .setVersion("9.9")
                            .setServing("EROFS trees")
                            .build());
        }

        @Override
        public void listSnapshots(ListSnapshotsRequest request, StreamObserver<ListSnapshotsResponse> observer) {
            answer(
                    observer,
                    ListSnapshotsResponse.newBuilder()
                            .addAllSnapshots(snapshots)
                            .build());
        }

        @Override
        public void getSnapshot(GetSnapshotRequest request, StreamObserver<SnapshotManifest> observer) {
            snapshots.stream()
                    .filter(s -> s.getId().startsWith(request.getId()))
                    .findFirst()
                    .ifPresentOrElse(
                            s -> answer(observer, s),
                            () -> observer.onError(Status.NOT_FOUND
                                    .withDescription("There is no snapshot " + request.getId())
                                    .asRuntimeException()));
        }

        @Override
        public void removeSnapshot(RemoveSnapshotRequest request, StreamObserver<RemoveSnapshotResponse> observer) {
            answer(
                    observer,
                    RemoveSnapshotResponse.newBuilder().setId(SNAPSHOT_ID).build());
        }

        @Override
        public void index(IndexRequest request, StreamObserver<IndexProgress> observer) {
            observer.onNext(IndexProgress.newBuilder()
                    .setLayer(LAYER)
                    .setBytesRead(10)
                    .setBytesTotal(2048)
                    .build());
            answer(
                    observer,
                    IndexProgress.newBuilder()
                            .setLayer(LAYER)
                            .setBytesRead(2048)
                            .setBytesTotal(2048)
                            .setDone(IndexedLayer.newBuilder()
                                    .setUncompressedBytes(4096)
                                    .setEntries(7)
                                    .setIndexBytes(100)
                                    .setTreeBytes(200))
                            .build());
        }
    }

    private static SnapshotManifest snapshot(String id, Instant created) {
        return SnapshotManifest.newBuilder()
                .setId(id)
                .setNamespace("default")
                .setContainerId("web")
                .setCreatedAt(Timestamp.newBuilder().setSeconds(created.getEpochSecond()))
                .setCheckpointBytes(5 << 20)
                .setKey(SnapshotKey.newBuilder()
                        .addSubject(KeyField.newBuilder().setName("image").setValue("sha256:x"))
                        .addConditions(KeyField.newBuilder().setName("arch").setValue("x86_64")))
                .build();
    }

    @Test
    void versionOfTheNodeOrOnlyItsOwn() throws Exception {
        assertThat(run("version", "--node-socket", serve("n", new Node()))).isZero();
        assertThat(out.toString()).contains("coldstart-snapshotter 9.9").contains("serving: EROFS trees");
        assertThat(run("version", "--node-socket", directory.resolve("none").toString()))
                .isZero();
        assertThat(err.toString()).contains("there is no such socket");
    }

    @Test
    void indexPrintsATableOfLayers() throws Exception {
        assertThat(run("index", "--node-socket", serve("n", new Node()), "r/i:1"))
                .isZero();
        assertThat(out.toString()).isEqualTo("""
                        LAYER                BLOB     UNPACKED  ENTRIES  INDEX  TREE
                        sha256:abababababab  2.0 KiB  4.0 KiB   7        100 B  200 B  new
                        """);
    }

    @Test
    void snapshotsAreListedShownAndRemoved() throws Exception {
        Node node = new Node();
        node.snapshots.add(snapshot(SNAPSHOT_ID, Instant.parse("2026-01-02T03:04:05Z")));
        String socket = serve("n", node);
        assertThat(run("snapshot", "ls", "--node-socket", socket)).isZero();
        assertThat(out.toString()).contains("default    web        2026-01-02 03:04:05Z  5.0 MiB");
        assertThat(run("snapshot", "inspect", "--node-socket", socket, "0a1b")).isZero();
        assertThat(out.toString())
                .contains("id: " + SNAPSHOT_ID)
                .contains("of:\n  image: sha256:x")
                .contains("restorable where:\n  arch: x86_64");
        assertThat(run("snapshot", "rm", "--node-socket", socket, "0a1b")).isZero();
        assertThat(out.toString()).isEqualTo(SNAPSHOT_ID + "\n");
        assertThat(run("snapshot", "inspect", "--node-socket", socket, "ff")).isEqualTo(1);
        assertThat(err.toString()).isEqualTo("coldstart: There is no snapshot ff.\n");
    }

    @Test
    void snapshotCreateAsksContainerdAndPrintsTheNewestId() throws Exception {
        Node node = new Node();
        node.snapshots.add(snapshot("0".repeat(64), Instant.parse("2020-01-01T00:00:00Z")));
        AtomicReference<@Nullable CheckpointTaskRequest> asked = new AtomicReference<>();
        TasksGrpc.TasksImplBase tasks = new TasksGrpc.TasksImplBase() {
            @Override
            public void checkpoint(CheckpointTaskRequest request, StreamObserver<CheckpointTaskResponse> observer) {
                asked.set(request);
                if (request.getContainerId().equals("web")) {
                    node.snapshots.add(snapshot(SNAPSHOT_ID, Instant.now().plusSeconds(1)));
                }
                answer(observer, CheckpointTaskResponse.getDefaultInstance());
            }
        };
        String socket = serve("n", node);
        String containerd = serve("c", tasks);
        assertThat(run("snapshot", "create", "web", "--address", containerd, "--node-socket", socket))
                .isZero();
        assertThat(out.toString()).isEqualTo(SNAPSHOT_ID + "\n");
        assertThat(namespaceSeen.get()).isEqualTo("default");
        assertThat(asked.get())
                .extracting(r -> r == null ? "" : r.getOptions().getTypeUrl())
                .isEqualTo("containerd.runc.v1.CheckpointOptions");
        // Another runtime took an ordinary checkpoint: nothing of ours came of it.
        assertThat(run("snapshot", "create", "other", "-n", "k8s.io", "-a", containerd, "--node-socket", socket))
                .isEqualTo(1);
        assertThat(namespaceSeen.get()).isEqualTo("k8s.io");
        assertThat(err.toString()).contains("does the container run under io.containerd.coldstart.v1?");
    }

    @Test
    void planPutsInventoriesAndDemandTogether() throws Exception {
        AtomicReference<@Nullable PlanRequest> asked = new AtomicReference<>();
        NodeAgentGrpc.NodeAgentImplBase agent = new NodeAgentGrpc.NodeAgentImplBase() {
            @Override
            public void inventory(InventoryRequest request, StreamObserver<NodeInventory> observer) {
                answer(
                        observer,
                        NodeInventory.newBuilder()
                                .setNode("a")
                                .setDiskBytes(1 << 30)
                                .addHoldings(Holding.newBuilder()
                                        .setGroup("snapshot:" + SNAPSHOT_ID)
                                        .setBytesTotal(500)
                                        .setBytesPresent(500)
                                        .setTier(Tier.TIER_DISK))
                                .build());
            }
        };
        PlannerGrpc.PlannerImplBase planner = new PlannerGrpc.PlannerImplBase() {
            @Override
            public void plan(PlanRequest request, StreamObserver<PlanResponse> observer) {
                asked.set(request);
                answer(
                        observer,
                        PlanResponse.newBuilder().setMethod("pattern-lp").build());
            }
        };
        Path demand = directory.resolve("demand.toml");
        Files.writeString(demand, """
                [rates]
                ram = 8e9
                disk = 2e9
                registry = 1e8
                [[function]]
                name = "f"
                cold_starts_per_hour = 1
                image = "r/i:1"
                snapshot = "0a1b"
                [[node]]
                name = "b"
                ram_bytes = 0
                disk_bytes = "1 GiB"
                """);
        String node = serve("n", agent, new Node());
        String socket = serve("p", planner);
        assertThat(run("plan", "--node", node, "--demand", demand.toString(), "--planner-socket", socket))
                .as(err.toString())
                .isZero();
        assertThat(out.toString()).contains("pattern-lp");
        PlanRequest request = Objects.requireNonNull(asked.get());
        assertThat(request.getNodesList()).extracting(NodeInventory::getNode).containsExactly("a", "b");
        assertThat(request.getGroupsList())
                .extracting(g -> g.getName() + " " + g.getBytes())
                .containsExactly("layer:" + LAYER + " 4096", "snapshot:" + SNAPSHOT_ID + " 500");
        assertThat(request.getFunctions(0).getGroupsList())
                .containsExactly("layer:" + LAYER, "snapshot:" + SNAPSHOT_ID);

        Files.writeString(demand, Files.readString(demand).replace("0a1b", "ffff"));
        assertThat(run("plan", "--node", node, "--demand", demand.toString(), "--planner-socket", socket))
                .isEqualTo(1);
        assertThat(err.toString()).contains("The function f reads the snapshot ffff, which no node reports.");
        assertThat(run("plan", "--demand", directory.resolve("nowhere").toString()))
                .isEqualTo(1);
        assertThat(err.toString()).contains("There is no demand table " + directory.resolve("nowhere"));
    }

    @Test
    void faultsAreOneSentence() throws Exception {
        Path dead = directory.resolve("dead");
        try (ServerSocketChannel channel = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            channel.bind(UnixDomainSocketAddress.of(dead));
        }
        fault(dead.toString(), "coldstart-snapshotter does not answer on " + dead + ": nobody listens there any more");
        fault(serve("u", failing(Status.UNAVAILABLE.withDescription("going down"))), "stopped answering on");
        fault(serve("d", failing(Status.PERMISSION_DENIED.withDescription("root only"))), "refused: root only.");
        fault(serve("i", failing(Status.INTERNAL)), "INTERNAL.");
        fault(serve("e"), "does not know this call; is it of the same version?");
        fault(directory.resolve("x".repeat(200)).toString(), "coldstart-snapshotter does not answer on");
    }

    private void fault(String socket, String sentence) {
        assertThat(run("snapshot", "ls", "--node-socket", socket)).isEqualTo(1);
        assertThat(out.toString()).isEmpty();
        assertThat(err.toString()).startsWith("coldstart: ").contains(sentence);
        assertThat(err.toString().lines()).hasSize(1);
    }

    private static BindableService failing(Status status) {
        return new AdminGrpc.AdminImplBase() {
            @Override
            public void listSnapshots(ListSnapshotsRequest request, StreamObserver<ListSnapshotsResponse> observer) {
                observer.onError(status.asRuntimeException());
            }
        };
    }

    @Test
    void wrongArgumentsAreTwo() {
        assertThat(run("snapshot", "create")).isEqualTo(2);
        assertThat(run("plan")).isEqualTo(2);
        assertThat(run("nonsense")).isEqualTo(2);
        assertThat(run()).isEqualTo(2);
        assertThat(run("plan", "--help")).isZero();
        assertThat(out.toString()).contains("cold_starts_per_hour");
    }

    private static final class LookedAt extends AdminGrpc.AdminImplBase {
        @Override
        public void diagnose(DiagnoseRequest request, StreamObserver<DiagnoseResponse> answer) {
            answer.onNext(DiagnoseResponse.newBuilder()
                    .addFindings(Finding.newBuilder()
                            .setSubject("kernel")
                            .setSeverity(Severity.SEVERITY_FINE)
                            .setText("Linux 6.18"))
                    .addFindings(Finding.newBuilder()
                            .setSubject("disk")
                            .setSeverity(Severity.SEVERITY_WARNING)
                            .setText("that is little"))
                    .build());
            answer.onCompleted();
        }

        @Override
        public void diagnoseImage(DiagnoseImageRequest request, StreamObserver<DiagnoseImageResponse> answer) {
            if (request.getImage().equals("none")) {
                answer.onError(Status.NOT_FOUND
                        .withDescription("there is no such image")
                        .asRuntimeException());
                return;
            }
            DiagnosedLayer lazy = DiagnosedLayer.newBuilder()
                    .setLayer(LAYER)
                    .setBlobBytes(2048)
                    .setSeverity(Severity.SEVERITY_FINE)
                    .setText("lazy: a pull reads nothing of it")
                    .setHasIndex(true)
                    .setHasTree(true)
                    .setBytesPresent(1024)
                    .setBytesTotal(4096)
                    .build();
            DiagnoseImageResponse.Builder found =
                    DiagnoseImageResponse.newBuilder().addLayers(lazy);
            if (request.getImage().equals("mixed")) {
                found.setRegistryFailure("it is down")
                        .addLayers(DiagnosedLayer.newBuilder()
                                .setLayer(LAYER)
                                .setSeverity(Severity.SEVERITY_PROBLEM)
                                .setText("not lazy: of a\u001b[2J type that cannot be indexed"));
            }
            answer.onNext(found.build());
            answer.onCompleted();
        }
    }

    @Test
    void theDoctorFailsOnlyIfThereIsAProblem() throws IOException {
        String socket = serve("node.sock", new LookedAt());
        assertThat(run("doctor", "--node-socket", socket)).isZero();
        assertThat(out.toString())
                .containsPattern("(?m)^ok +kernel +Linux 6.18$")
                .containsPattern("(?m)^WARNING +disk +that is little$");
        assertThat(run("doctor", "--node-socket", socket, "lazy")).isZero();
        assertThat(out.toString())
                .containsPattern("(?m)^ok +sha256:abab\\S* +2.0 KiB +yes +yes +1.0 KiB of 4.0 KiB +0 B +lazy: a pull");
        assertThat(run("doctor", "--node-socket", socket, "mixed")).isEqualTo(1);
        assertThat(out.toString())
                .containsPattern("(?m)^PROBLEM .*not lazy: of a.\\[2J type")
                .doesNotContain("\u001b");
        assertThat(err.toString()).contains("it is down");
        assertThat(run("doctor", "--node-socket", socket, "none")).isEqualTo(1);
        assertThat(err.toString()).isEqualToIgnoringNewLines("coldstart: there is no such image.");
    }
}
