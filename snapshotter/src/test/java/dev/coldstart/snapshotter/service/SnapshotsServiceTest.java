package dev.coldstart.snapshotter.service;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.protobuf.FieldMask;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.ServiceManager;
import dev.coldstart.proto.containerd.services.snapshots.CleanupRequest;
import dev.coldstart.proto.containerd.services.snapshots.CommitSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.Info;
import dev.coldstart.proto.containerd.services.snapshots.Kind;
import dev.coldstart.proto.containerd.services.snapshots.ListSnapshotsRequest;
import dev.coldstart.proto.containerd.services.snapshots.ListSnapshotsResponse;
import dev.coldstart.proto.containerd.services.snapshots.MountsRequest;
import dev.coldstart.proto.containerd.services.snapshots.PrepareSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.RemoveSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.SnapshotsGrpc;
import dev.coldstart.proto.containerd.services.snapshots.SnapshotsGrpc.SnapshotsBlockingStub;
import dev.coldstart.proto.containerd.services.snapshots.StatSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.UpdateSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.UsageRequest;
import dev.coldstart.proto.containerd.services.snapshots.UsageResponse;
import dev.coldstart.proto.containerd.services.snapshots.ViewSnapshotRequest;
import dev.coldstart.proto.v1.AdminGrpc;
import dev.coldstart.proto.v1.DiagnoseImageRequest;
import dev.coldstart.proto.v1.DiagnoseRequest;
import dev.coldstart.proto.v1.DiagnosedLayer;
import dev.coldstart.proto.v1.Finding;
import dev.coldstart.proto.v1.IndexRequest;
import dev.coldstart.proto.v1.Severity;
import dev.coldstart.snapshotter.Configuration;
import dev.coldstart.snapshotter.Snapshotter;
import dev.coldstart.snapshotter.TestConfiguration;
import dev.coldstart.snapshotter.fetch.FaultyRegistry;
import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.object.StoreSettings;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.UnixDomainSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What containerd's metadata layer, its garbage collection and the CRI rely on, call by call; needs root. */
class SnapshotsServiceTest {
    private static final String REF = "containerd.io/snapshot.ref";
    private static final String LAYER = "containerd.io/snapshot/cri.layer-digest";
    private static final String IMAGE = "containerd.io/snapshot/cri.image-ref";

    @TempDir
    Path dir;

    private final EventLoopGroup loop = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
    private final List<ManagedChannel> channels = new ArrayList<>();
    private @Nullable Snapshotter snapshotter;

    @BeforeEach
    void start() throws IOException {
        assumeTrue(Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid")), "needs root");
        assumeTrue(Files.exists(Path.of("/dev/fuse")), "needs /dev/fuse");
        restart();
    }

    @AfterEach
    void stop() {
        channels.forEach(ManagedChannel::shutdownNow);
        if (snapshotter != null) {
            snapshotter.close();
        }
        var _ = loop.shutdownGracefully();
    }

    private void restart() throws IOException {
        if (snapshotter != null) {
            snapshotter.close();
        }
        snapshotter = Snapshotter.start(
                TestConfiguration.in(dir, Configuration.Serve.AUTO, StoreSettings.DEFAULTS),
                "test",
                dir.resolve("no-config.json"),
                new ServiceManager(Map.of()));
    }

    private ManagedChannel channel(String socket) {
        ManagedChannel channel = NettyChannelBuilder.forAddress(
                        UnixDomainSocketAddress.of(dir.resolve("run").resolve(socket)))
                .channelType(NioDomainSocketChannel.class)
                .eventLoopGroup(loop)
                .overrideAuthority("localhost")
                .usePlaintext()
                .build();
        channels.add(channel);
        return channel;
    }

    /** A client that names no namespace, as containerd's garbage collection does not. */
    private SnapshotsBlockingStub client() {
        return SnapshotsGrpc.newBlockingStub(channel("snapshotter.sock"));
    }

    private static PrepareSnapshotRequest prepare(String key, String parent) {
        return PrepareSnapshotRequest.newBuilder().setKey(key).setParent(parent).build();
    }

    private static CommitSnapshotRequest commit(String key, String name) {
        return CommitSnapshotRequest.newBuilder().setKey(key).setName(name).build();
    }

    private static void committed(SnapshotsBlockingStub client, String name, String parent) {
        var _ = client.prepare(prepare("key of " + name, parent));
        var _ = client.commit(commit("key of " + name, name));
    }

    private static void remove(SnapshotsBlockingStub client, String name) {
        var _ = client.remove(RemoveSnapshotRequest.newBuilder().setKey(name).build());
    }

    private static Info stat(SnapshotsBlockingStub client, String name) {
        return client.stat(StatSnapshotRequest.newBuilder().setKey(name).build())
                .getInfo();
    }

    private static UsageResponse usage(SnapshotsBlockingStub client, String name) {
        return client.usage(UsageRequest.newBuilder().setKey(name).build());
    }

    private static List<String> names(SnapshotsBlockingStub client, String... filters) {
        List<String> names = new ArrayList<>();
        client.list(ListSnapshotsRequest.newBuilder()
                        .addAllFilters(List.of(filters))
                        .build())
                .forEachRemaining(part -> part.getInfoList().forEach(info -> names.add(info.getName())));
        return names;
    }

    private static void refused(Status.Code code, Callable<?> call) {
        assertThatThrownBy(call::call)
                .isInstanceOf(StatusRuntimeException.class)
                .satisfies(
                        e -> assertThat(((StatusRuntimeException) e).getStatus().getCode())
                                .as(e.getMessage())
                                .isEqualTo(code));
    }

    private static void within(
            List<dev.coldstart.proto.containerd.types.Mount> mounts, Path target, Consumer<Path> work)
            throws IOException {
        var mount = mounts.getFirst();
        Files.createDirectories(target);
        Mount.mount(mount.getType(), mount.getSource(), target.toString(), mount.getOptionsList());
        try {
            work.accept(target);
        } finally {
            Mount.umount(target.toString(), 0);
        }
    }

    @Test
    void eachRefusalHasTheCodeThatContainerdActsOn() {
        var client = client();
        committed(client, "base", "");
        var _ = client.prepare(prepare("active", "base"));
        var _ = client.view(ViewSnapshotRequest.newBuilder()
                .setKey("view")
                .setParent("base")
                .build());

        for (String taken : List.of("active", "view", "base")) {
            refused(Status.Code.ALREADY_EXISTS, () -> client.prepare(prepare(taken, "")));
            refused(
                    Status.Code.ALREADY_EXISTS,
                    () -> client.view(ViewSnapshotRequest.newBuilder()
                            .setKey(taken)
                            .setParent("base")
                            .build()));
            refused(Status.Code.ALREADY_EXISTS, () -> client.commit(commit("active", taken)));
        }
        refused(Status.Code.NOT_FOUND, () -> client.prepare(prepare("new", "none")));
        refused(Status.Code.INVALID_ARGUMENT, () -> client.prepare(prepare("new", "active")));
        refused(Status.Code.INVALID_ARGUMENT, () -> client.prepare(prepare("", "")));
        refused(
                Status.Code.INVALID_ARGUMENT,
                () -> client.prepare(prepare("new", "").toBuilder()
                        .putLabels("k", "é".repeat(2048))
                        .build()));
        refused(Status.Code.NOT_FOUND, () -> client.commit(commit("none", "new")));
        refused(Status.Code.FAILED_PRECONDITION, () -> client.commit(commit("view", "new")));
        refused(Status.Code.FAILED_PRECONDITION, () -> client.commit(commit("base", "new")));
        refused(
                Status.Code.INVALID_ARGUMENT,
                () -> client.commit(
                        commit("active", "new").toBuilder().setParent("other").build()));
        refused(
                Status.Code.FAILED_PRECONDITION,
                () -> client.mounts(MountsRequest.newBuilder().setKey("base").build()));
        refused(
                Status.Code.NOT_FOUND,
                () -> client.mounts(MountsRequest.newBuilder().setKey("none").build()));
        refused(Status.Code.NOT_FOUND, () -> stat(client, "none"));
        refused(Status.Code.NOT_FOUND, () -> usage(client, "none"));
        refused(
                Status.Code.NOT_FOUND,
                () -> client.remove(
                        RemoveSnapshotRequest.newBuilder().setKey("none").build()));
        refused(
                Status.Code.NOT_FOUND,
                () -> client.update(UpdateSnapshotRequest.newBuilder()
                        .setInfo(Info.newBuilder().setName("none"))
                        .build()));
        refused(Status.Code.INVALID_ARGUMENT, () -> names(client, "kind=="));
        assertThatThrownBy(() -> remove(client, "base"))
                .hasMessageContaining("FAILED_PRECONDITION")
                .hasMessageContaining("remove");

        remove(client, "active");
        remove(client, "view");
        remove(client, "base");
        var _ = client.prepare(prepare("active", ""));
        assertThat(names(client)).containsExactly("active");
    }

    @Test
    void labelsAreReplacedByACommitAndChangedByTheirMask() {
        var client = client();
        var _ = client.prepare(
                prepare("k", "").toBuilder().putLabels("of.active", "1").build());
        var _ = client.commit(commit("k", "c").toBuilder()
                .putLabels("a", "1")
                .putLabels("b", "2")
                .build());
        Info made = stat(client, "c");
        assertThat(made.getLabelsMap()).isEqualTo(Map.of("a", "1", "b", "2"));
        assertThat(made.getCreatedAt()).isEqualTo(made.getUpdatedAt());

        assertThat(update(client, Map.of("c/d.e", "3", "a", ""), "labels.c/d.e", "labels.a", "labels.absent")
                        .getLabelsMap())
                .isEqualTo(Map.of("b", "2", "c/d.e", "3"));
        assertThat(update(client, Map.of("x", "1", "empty", ""), "labels").getLabelsMap())
                .isEqualTo(Map.of("x", "1"));
        Info last = client.update(UpdateSnapshotRequest.newBuilder()
                        .setInfo(Info.newBuilder()
                                .setName("c")
                                .setParent("other")
                                .setKind(Kind.ACTIVE)
                                .putLabels("y", "2"))
                        .build())
                .getInfo();
        assertThat(last.getLabelsMap()).isEqualTo(Map.of("y", "2"));
        assertThat(last.getParent()).isEmpty();
        assertThat(last.getKind()).isEqualTo(Kind.COMMITTED);
        assertThat(last.getCreatedAt()).isEqualTo(made.getCreatedAt());
        assertThat(instant(last)).isAfter(instant(made));
        assertThat(stat(client, "c")).isEqualTo(last);
        for (String immutable : List.of("parent", "kind", "name", "created_at", "labels.")) {
            if (!immutable.equals("labels.")) {
                refused(Status.Code.INVALID_ARGUMENT, () -> update(client, Map.of(), immutable));
            }
        }
    }

    private static Info update(SnapshotsBlockingStub client, Map<String, String> labels, String... mask) {
        return client.update(UpdateSnapshotRequest.newBuilder()
                        .setInfo(Info.newBuilder().setName("c").putAllLabels(labels))
                        .setUpdateMask(FieldMask.newBuilder().addAllPaths(List.of(mask)))
                        .build())
                .getInfo();
    }

    private static Instant instant(Info info) {
        return Instant.ofEpochSecond(
                info.getUpdatedAt().getSeconds(), info.getUpdatedAt().getNanos());
    }

    @Test
    void aParentMayBeGivenAtTheCommit() throws Exception {
        var client = client();
        within(client.prepare(prepare("k", "")).getMountsList(), dir.resolve("m"), root -> write(root, "low", "low"));
        var _ = client.commit(commit("k", "low"));
        within(client.prepare(prepare("k", "")).getMountsList(), dir.resolve("m"), root -> write(root, "up", "up"));
        refused(
                Status.Code.NOT_FOUND,
                () -> client.commit(
                        commit("k", "up").toBuilder().setParent("none").build()));
        var _ = client.commit(commit("k", "up").toBuilder().setParent("low").build());
        assertThat(stat(client, "up").getParent()).isEqualTo("low");
        within(
                client.view(ViewSnapshotRequest.newBuilder()
                                .setKey("v")
                                .setParent("up")
                                .build())
                        .getMountsList(),
                dir.resolve("m"),
                root -> assertThat(root.toFile().list()).containsExactlyInAnyOrder("low", "up"));
    }

    private static void write(Path root, String name, String text) {
        try {
            Files.writeString(root.resolve(name), text);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void aListComesInSmallMessages() {
        var client = client();
        for (int i = 0; i < 250; i++) {
            var _ = client.prepare(prepare("default/" + i + "/a key", ""));
        }
        List<Integer> parts = new ArrayList<>();
        client.list(ListSnapshotsRequest.getDefaultInstance()).forEachRemaining(part -> parts.add(part.getInfoCount()));
        assertThat(parts).containsExactly(100, 100, 50);
        List<ListSnapshotsResponse> none = new ArrayList<>();
        client.list(ListSnapshotsRequest.newBuilder().addFilters("name==none").build())
                .forEachRemaining(none::add);
        assertThat(none).isEmpty();
    }

    @Test
    void usageIsWhatTheDiskGives() throws Exception {
        var client = client();
        Consumer<Path> write = root -> {
            try {
                Files.write(root.resolve("file"), new byte[100_000]);
                Files.createLink(root.resolve("same"), root.resolve("file"));
                try (RandomAccessFile sparse =
                        new RandomAccessFile(root.resolve("sparse").toFile(), "rw")) {
                    sparse.setLength(1 << 30);
                }
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        };
        within(client.prepare(prepare("k", "")).getMountsList(), dir.resolve("m"), write);
        UsageResponse active = usage(client, "k");
        assertThat(active.getInodes()).as("the root, two files").isEqualTo(3);
        assertThat(active.getSize()).isBetween(100_000L, 200_000L);
        var _ = client.commit(commit("k", "c"));
        assertThat(usage(client, "c")).isEqualTo(active);
        committed(client, "empty", "c");
        assertThat(usage(client, "empty").getInodes()).as("not its parent's").isEqualTo(1);
        restart();
        assertThat(usage(client(), "c")).isEqualTo(active);
    }

    @Test
    void usageOfALazyLayerIsWhatIsHereOfIt() throws Exception {
        TestLayer data = TestLayer.generate(21);
        try (FaultyRegistry registry = new FaultyRegistry(true)) {
            var client = client();
            String top = pull(client, registry, data);
            long files = data.files().values().stream()
                    .mapToLong(bytes -> bytes.length)
                    .sum();
            UsageResponse before = usage(client, top);
            assertThat(before.getInodes()).as("index and tree").isEqualTo(2);
            assertThat(before.getSize()).isBetween(1L, files / 2);

            within(client.prepare(prepare("k", top)).getMountsList(), dir.resolve("m"), root -> {
                try {
                    assertThat(root.resolve("large/one")).hasBinaryContent(data.file("large/one"));
                    Files.writeString(root.resolve("new"), "new");
                } catch (IOException e) {
                    throw new AssertionError(e);
                }
            });
            restart();
            UsageResponse after = usage(client(), top);
            assertThat(after.getSize() - before.getSize()).isGreaterThanOrEqualTo(data.file("large/one").length);
            assertThat(after.getInodes()).isGreaterThan(2);
            assertThat(usage(client(), "k").getInodes())
                    .as("what the container wrote")
                    .isEqualTo(2);
        }
    }

    private static PrepareSnapshotRequest extract(String key, String parent, TestLayer data, String image) {
        return prepare(key, parent).toBuilder()
                .putLabels(REF, data.diffId().toString())
                .putLabels(LAYER, data.digest().toString())
                .putLabels(IMAGE, image)
                .build();
    }

    /** Makes the committed snapshot of a layer; gives its name. */
    private String pull(SnapshotsBlockingStub client, FaultyRegistry registry, TestLayer data) {
        String image = index(registry, data);
        refused(
                Status.Code.ALREADY_EXISTS,
                () -> client.prepare(extract("default/1/extract-1 " + data.diffId(), "", data, image)));
        return names(client, "labels.\"" + REF + "\"==\"" + data.diffId() + "\",parent==\"\"")
                .getFirst();
    }

    private static String push(FaultyRegistry registry, TestLayer data, String type) {
        String config = "{\"rootfs\":{\"diff_ids\":[\"" + data.diffId() + "\"]}}";
        String digest =
                TestLayer.sha256(config.getBytes(StandardCharsets.UTF_8)).toString();
        String manifest = "{\"config\":{\"digest\":\"" + digest + "\",\"size\":" + config.length()
                + "},\"layers\":[{\"mediaType\":\"" + type + "\",\"digest\":\"" + data.digest() + "\",\"size\":"
                + data.blob().length + "}]}";
        registry.manifest("v1", manifest.getBytes(StandardCharsets.UTF_8));
        registry.blob(digest, config.getBytes(StandardCharsets.UTF_8));
        registry.blob(data.digest().toString(), data.blob());
        return registry.host() + "/team/model:v1";
    }

    private String index(FaultyRegistry registry, TestLayer data) {
        String image = push(registry, data, "application/vnd.oci.image.layer.v1.tar+gzip");
        AdminGrpc.newBlockingStub(channel("node.sock"))
                .index(IndexRequest.newBuilder().setImage(image).build())
                .forEachRemaining(progress -> {});
        return image;
    }

    @Test
    void oneLayerForTwoClientsIsOneSnapshotForEachParent() throws Exception {
        TestLayer data = TestLayer.generate(22);
        try (FaultyRegistry registry = new FaultyRegistry(true)) {
            String image = index(registry, data);
            var client = client();
            committed(client, "base", "");
            refused(Status.Code.NOT_FOUND, () -> client.prepare(extract("e", "none", data, image)));
            refused(Status.Code.INVALID_ARGUMENT, () -> {
                var _ = client.prepare(prepare("active", ""));
                return client.prepare(extract("e", "active", data, image));
            });
            remove(client, "active");
            try (ExecutorService threads = Executors.newFixedThreadPool(8)) {
                List<Future<?>> calls = new ArrayList<>();
                for (int i = 0; i < 32; i++) {
                    String key = "default/" + i + "/extract";
                    String parent = i % 2 == 0 ? "" : "base";
                    var own = i < 2 ? client() : client;
                    calls.add(threads.submit(() ->
                            refused(Status.Code.ALREADY_EXISTS, () -> own.prepare(extract(key, parent, data, image)))));
                }
                for (Future<?> call : calls) {
                    call.get();
                }
            }
            String ref = "labels.\"" + REF + "\"==\"" + data.diffId() + "\",kind==committed";
            assertThat(names(client, ref + ",parent==\"\"")).hasSize(1);
            assertThat(names(client, ref + ",parent==base")).hasSize(1);
            assertThat(names(client)).hasSize(3);

            // What a client did to its labels does not hide it from the next one.
            String name = names(client, ref + ",parent==\"\"").getFirst();
            var _ = client.update(UpdateSnapshotRequest.newBuilder()
                    .setInfo(Info.newBuilder().setName(name).putLabels("mine", "1"))
                    .build());
            refused(Status.Code.ALREADY_EXISTS, () -> client.prepare(extract("again", "", data, image)));
            assertThat(names(client, ref + ",parent==\"\"")).containsExactly(name);
            assertThat(stat(client, name).getLabelsMap()).containsEntry("mine", "1");
        }
    }

    @Test
    void manyAtOnceLeaveNothing() throws Exception {
        var client = client();
        committed(client, "base", "");
        try (ExecutorService threads = Executors.newFixedThreadPool(16)) {
            List<Future<?>> clients = new ArrayList<>();
            for (int i = 0; i < 16; i++) {
                String own = "client " + i;
                clients.add(threads.submit(() -> {
                    for (int round = 0; round < 10; round++) {
                        committed(client, own, "base");
                        var _ = client.view(ViewSnapshotRequest.newBuilder()
                                .setKey(own + "/v")
                                .setParent(own)
                                .build());
                        refused(
                                Status.Code.FAILED_PRECONDITION,
                                () -> client.remove(RemoveSnapshotRequest.newBuilder()
                                        .setKey(own)
                                        .build()));
                        assertThat(names(client, "parent==\"" + own + "\"")).containsExactly(own + "/v");
                        remove(client, own + "/v");
                        remove(client, own);
                        var _ = client.cleanup(CleanupRequest.getDefaultInstance());
                    }
                    return own;
                }));
            }
            for (Future<?> one : clients) {
                one.get();
            }
        }
        assertThat(names(client)).containsExactly("base");
        var _ = client.cleanup(CleanupRequest.getDefaultInstance());
        assertThat(dir.resolve("root/fs").toFile().list()).hasSize(1);
        assertThat(dir.resolve("run/l")).isEmptyDirectory();
    }

    @Test
    void aDirectoryOfALowerLayerCanBeRenamed() throws Exception {
        var client = client();
        within(client.prepare(prepare("k", "")).getMountsList(), dir.resolve("m"), root -> {
            assertThat(root.resolve("a").toFile().mkdir()).isTrue();
            write(root, "a/file", "text");
        });
        var _ = client.commit(commit("k", "low"));
        within(
                client.prepare(prepare("k", "low")).getMountsList(),
                dir.resolve("m"),
                root -> assertThat(root.resolve("a")
                                .toFile()
                                .renameTo(root.resolve("b").toFile()))
                        .isTrue());
        var _ = client.commit(commit("k", "up"));
        within(
                client.view(ViewSnapshotRequest.newBuilder()
                                .setKey("v")
                                .setParent("up")
                                .build())
                        .getMountsList(),
                dir.resolve("m"),
                root -> {
                    assertThat(root.resolve("a")).doesNotExist();
                    assertThat(root.resolve("b/file")).hasContent("text");
                });
    }

    private DiagnosedLayer lookAt(String image) {
        return AdminGrpc.newBlockingStub(channel("node.sock"))
                .diagnoseImage(DiagnoseImageRequest.newBuilder().setImage(image).build())
                .getLayers(0);
    }

    @Test
    void theDoctorSaysOfAnImageWhatItCosts() throws Exception {
        TestLayer data = TestLayer.generate(23);
        String other;
        try (FaultyRegistry registry = new FaultyRegistry(true)) {
            String image = push(registry, data, "application/vnd.oci.image.layer.v1.tar+gzip");
            DiagnosedLayer unknown = lookAt(image);
            assertThat(unknown.getSeverity()).isEqualTo(Severity.SEVERITY_WARNING);
            assertThat(unknown.getBytesToRead()).isEqualTo(data.blob().length);
            assertThat(unknown.getText()).startsWith("no index yet");

            var client = client();
            String top = pull(client, registry, data);
            DiagnosedLayer lazy = lookAt(image);
            assertThat(lazy.getSeverity()).isEqualTo(Severity.SEVERITY_FINE);
            assertThat(lazy.getText()).isEqualTo("lazy, and mounted");
            assertThat(lazy.getHasIndex() && lazy.getHasTree()).isTrue();
            assertThat(lazy.getBytesPresent()).isZero();
            assertThat(lazy.getBytesTotal()).isGreaterThan(data.file("large/one").length);
            remove(client, top);

            // containerd unpacks it, as for a client that does not say which layer it prepares.
            committed(client, "default/7/" + data.diffId(), "");
            assertThat(lookAt(image).getText()).startsWith("not lazy: containerd has unpacked it");
            remove(client, "default/7/" + data.diffId());
            assertThat(lookAt(image).getText()).startsWith("lazy: a pull reads nothing of it");

            TestLayer second = TestLayer.generate(24);
            other = push(registry, second, "application/x-unheard-of");
            assertThat(lookAt(other).getSeverity()).isEqualTo(Severity.SEVERITY_PROBLEM);
            assertThat(lookAt(other).getText()).contains("application/x-unheard-of");
            refused(Status.Code.NOT_FOUND, () -> lookAt(registry.host() + "/team/none:v1"));
            refused(Status.Code.INVALID_ARGUMENT, () -> lookAt("no name"));
            assertThat(findings())
                    .anyMatch(finding -> finding.getSubject().equals("registry " + registry.host())
                            || finding.getSubject().equals("registries"));
        }
        refused(Status.Code.ABORTED, () -> lookAt(other));
    }

    private List<Finding> findings() {
        return AdminGrpc.newBlockingStub(channel("node.sock"))
                .diagnose(DiagnoseRequest.getDefaultInstance())
                .getFindingsList();
    }

    @Test
    void theDoctorLooksAtDiskPermissionsContainerdAndRegistries() throws Exception {
        TestLayer data = TestLayer.generate(25);
        try (FaultyRegistry registry = new FaultyRegistry(true)) {
            var _ = pull(client(), registry, data);
            Map<String, Severity> found = new HashMap<>();
            findings().forEach(finding -> found.put(finding.getSubject(), finding.getSeverity()));
            assertThat(found)
                    .containsEntry("kernel", Severity.SEVERITY_FINE)
                    .containsEntry("layers", Severity.SEVERITY_FINE)
                    .containsEntry("permissions", Severity.SEVERITY_FINE)
                    .containsEntry("containerd", Severity.SEVERITY_PROBLEM)
                    .containsEntry("registry " + registry.host(), Severity.SEVERITY_FINE)
                    .containsKeys("disk", "inodes");
            Files.setPosixFilePermissions(dir.resolve("root"), PosixFilePermissions.fromString("rwxr-xr-x"));
            assertThat(findings())
                    .anyMatch(finding -> finding.getSubject().equals("permissions")
                            && finding.getSeverity() == Severity.SEVERITY_WARNING);
        }
        assertThat(findings())
                .as("a registry that is down")
                .anyMatch(finding -> finding.getSubject().startsWith("registry ")
                        && finding.getSeverity() == Severity.SEVERITY_PROBLEM);
    }
}
