package dev.coldstart.snapshotter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.protobuf.FieldMask;
import dev.coldstart.linux.FileTree;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.MountTable;
import dev.coldstart.linux.ServiceManager;
import dev.coldstart.proto.containerd.services.snapshots.CleanupRequest;
import dev.coldstart.proto.containerd.services.snapshots.CommitSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.Info;
import dev.coldstart.proto.containerd.services.snapshots.Kind;
import dev.coldstart.proto.containerd.services.snapshots.ListSnapshotsRequest;
import dev.coldstart.proto.containerd.services.snapshots.MountsRequest;
import dev.coldstart.proto.containerd.services.snapshots.PrepareSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.RemoveSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.SnapshotsGrpc;
import dev.coldstart.proto.containerd.services.snapshots.StatSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.UpdateSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.UsageRequest;
import dev.coldstart.proto.containerd.services.snapshots.ViewSnapshotRequest;
import dev.coldstart.proto.v1.AdminGrpc;
import dev.coldstart.proto.v1.Holding;
import dev.coldstart.proto.v1.IndexProgress;
import dev.coldstart.proto.v1.IndexRequest;
import dev.coldstart.proto.v1.InventoryRequest;
import dev.coldstart.proto.v1.NodeAgentGrpc;
import dev.coldstart.proto.v1.PinRequest;
import dev.coldstart.proto.v1.Tier;
import dev.coldstart.proto.v1.VersionRequest;
import dev.coldstart.snapshotter.fetch.FaultyRegistry;
import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.metadata.MetadataStore;
import dev.coldstart.snapshotter.object.Size;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.wholetree.Libfuse;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.UnixDomainSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The whole program on real sockets, real mounts and a real (small) registry; needs root. */
class SnapshotterTest {
    private static final String REF = "containerd.io/snapshot.ref";

    @TempDir
    Path dir;

    private Path state = Path.of("/nowhere");
    private Configuration.Serve serve = Configuration.Serve.AUTO;
    private final List<Path> mounted = new ArrayList<>();
    private StoreSettings store = StoreSettings.DEFAULTS;
    private @Nullable Snapshotter snapshotter;
    private @Nullable EventLoopGroup loop;
    private final List<ManagedChannel> channels = new ArrayList<>();

    @BeforeEach
    void start() throws Exception {
        assumeTrue(Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid")), "needs root");
        assumeTrue(Files.exists(Path.of("/dev/fuse")), "needs /dev/fuse");
        loop = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
        state = dir.resolve("run");
        restart();
    }

    private void restart() throws IOException {
        if (snapshotter != null) {
            snapshotter.close();
        }
        snapshotter = Snapshotter.start(
                TestConfiguration.in(dir, state, serve, store),
                "test",
                dir.resolve("no-config.json"),
                new ServiceManager(Map.of()));
    }

    @AfterEach
    void stop() throws Exception {
        for (Path target : mounted.reversed()) {
            Mount.umount(target.toString(), 0);
        }
        channels.forEach(ManagedChannel::shutdownNow);
        if (snapshotter != null) {
            snapshotter.close();
        }
        if (loop != null) {
            var _ = loop.shutdownGracefully();
        }
        assertThat(MountTable.read())
                .noneMatch(entry -> entry.mountPoint().startsWith(dir.toString())
                        || entry.mountPoint().startsWith(state.toString()));
    }

    private ManagedChannel channel(String socket) {
        assert loop != null;
        ManagedChannel channel = NettyChannelBuilder.forAddress(UnixDomainSocketAddress.of(state.resolve(socket)))
                .channelType(NioDomainSocketChannel.class)
                .eventLoopGroup(loop)
                .overrideAuthority("localhost")
                .usePlaintext()
                .build();
        channels.add(channel);
        return channel;
    }

    private SnapshotsGrpc.SnapshotsBlockingStub snapshots() {
        return SnapshotsGrpc.newBlockingStub(channel("snapshotter.sock"));
    }

    private Path mount(List<dev.coldstart.proto.containerd.types.Mount> mounts) throws IOException {
        assertThat(mounts).hasSize(1);
        Path target = Files.createTempDirectory(dir, "mnt");
        var mount = mounts.getFirst();
        Mount.mount(mount.getType(), mount.getSource(), target.toString(), mount.getOptionsList());
        mounted.add(target);
        return target;
    }

    private void unmount(Path target) throws IOException {
        Mount.umount(target.toString(), 0);
        mounted.remove(target);
    }

    private static void assertStatus(Runnable call, Status.Code code) {
        assertThatThrownBy(call::run)
                .isInstanceOf(StatusRuntimeException.class)
                .satisfies(
                        e -> assertThat(((StatusRuntimeException) e).getStatus().getCode())
                                .isEqualTo(code));
    }

    @Test
    void ordinarySnapshotsAsContainerdExpectsThem() throws Exception {
        var stub = snapshots();
        Path first = mount(stub.prepare(PrepareSnapshotRequest.newBuilder()
                        .setKey("default/1/a key")
                        .putLabels("containerd.io/gc.root", "x")
                        .build())
                .getMountsList());
        Files.writeString(first.resolve("foo"), "foo\n");
        unmount(first);
        assertStatus(
                () -> stub.prepare(PrepareSnapshotRequest.newBuilder()
                        .setKey("default/1/a key")
                        .build()),
                Status.Code.ALREADY_EXISTS);
        stub.commit(CommitSnapshotRequest.newBuilder()
                .setKey("default/1/a key")
                .setName("A")
                .putLabels("l", "1")
                .build());
        assertStatus(
                () -> stub.mounts(MountsRequest.newBuilder().setKey("A").build()), Status.Code.FAILED_PRECONDITION);

        Path second = mount(stub.prepare(PrepareSnapshotRequest.newBuilder()
                        .setKey("b")
                        .setParent("A")
                        .build())
                .getMountsList());
        assertThat(second.resolve("foo")).hasContent("foo");
        Files.delete(second.resolve("foo"));
        Files.writeString(second.resolve("bar"), "bar\n");
        unmount(second);
        stub.commit(CommitSnapshotRequest.newBuilder().setKey("b").setName("B").build());
        assertThat(stub.usage(UsageRequest.newBuilder().setKey("B").build()).getInodes())
                .isGreaterThanOrEqualTo(2);

        Path view = mount(stub.view(ViewSnapshotRequest.newBuilder()
                        .setKey("v")
                        .setParent("B")
                        .build())
                .getMountsList());
        assertThat(view.resolve("bar")).hasContent("bar");
        assertThat(view.resolve("foo")).doesNotExist();
        assertThatThrownBy(() -> Files.createFile(view.resolve("x"))).isInstanceOf(IOException.class);
        unmount(view);

        assertThatThrownBy(() -> stub.remove(
                        RemoveSnapshotRequest.newBuilder().setKey("A").build()))
                .hasMessageContaining("remove");
        Info updated = stub.update(UpdateSnapshotRequest.newBuilder()
                        .setInfo(Info.newBuilder()
                                .setName("A")
                                .putLabels("l", "")
                                .putLabels("m", "2"))
                        .setUpdateMask(
                                FieldMask.newBuilder().addPaths("labels.l").addPaths("labels.m"))
                        .build())
                .getInfo();
        assertThat(updated.getLabelsMap()).isEqualTo(Map.of("m", "2"));
        assertStatus(
                () -> stub.update(UpdateSnapshotRequest.newBuilder()
                        .setInfo(Info.newBuilder().setName("A"))
                        .setUpdateMask(FieldMask.newBuilder().addPaths("parent"))
                        .build()),
                Status.Code.INVALID_ARGUMENT);

        restart();
        var again = snapshots();
        List<String> names = new ArrayList<>();
        again.list(ListSnapshotsRequest.newBuilder()
                        .addFilters("kind==committed")
                        .build())
                .forEachRemaining(part -> part.getInfoList().forEach(info -> names.add(info.getName())));
        assertThat(names).containsExactlyInAnyOrder("A", "B");
        for (String name : List.of("v", "B", "A")) {
            again.remove(RemoveSnapshotRequest.newBuilder().setKey(name).build());
        }
        again.cleanup(CleanupRequest.getDefaultInstance());
        assertThat(dir.resolve("root/fs")).isEmptyDirectory();
        assertStatus(
                () -> again.stat(StatSnapshotRequest.newBuilder().setKey("A").build()), Status.Code.NOT_FOUND);
    }

    @Test
    void manyLayersMount() throws Exception {
        var stub = snapshots();
        String parent = "";
        for (int i = 0; i < 20; i++) {
            Path target = mount(stub.prepare(PrepareSnapshotRequest.newBuilder()
                            .setKey("k")
                            .setParent(parent)
                            .build())
                    .getMountsList());
            Files.writeString(target.resolve("f" + i), "x" + i);
            unmount(target);
            parent = "layer " + i;
            stub.commit(CommitSnapshotRequest.newBuilder()
                    .setKey("k")
                    .setName(parent)
                    .build());
        }
        Path view = mount(stub.view(ViewSnapshotRequest.newBuilder()
                        .setKey("v")
                        .setParent(parent)
                        .build())
                .getMountsList());
        for (int i = 0; i < 20; i++) {
            assertThat(view.resolve("f" + i)).hasContent("x" + i);
        }
    }

    @Test
    void anIndexedLayerIsServedLazilyByteForByteAndAgainAfterARestartWithoutTheRegistry() throws Exception {
        serveLazily();
        assertThat(serving()).contains("EROFS");
    }

    @Test
    void soIsALayerServedWhole() throws Exception {
        assumeTrue(Libfuse.isInstalled(), Libfuse.NEEDED);
        serve = Configuration.Serve.FUSE;
        restart();
        serveLazily();
        assertThat(serving()).isEqualTo("whole layers over FUSE (jnr-fuse), because the configuration says so");
    }

    private String serving() {
        return AdminGrpc.newBlockingStub(channel("node.sock"))
                .version(VersionRequest.getDefaultInstance())
                .getServing();
    }

    private void serveLazily() throws Exception {
        TestLayer data = TestLayer.generate(3);
        String config = "{\"rootfs\":{\"diff_ids\":[\"" + data.diffId() + "\"]}}";
        String manifest = "{\"config\":{\"digest\":\"" + TestLayer.sha256(config.getBytes(StandardCharsets.UTF_8))
                + "\",\"size\":1},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\""
                + data.digest() + "\",\"size\":" + data.blob().length + "}]}";
        PrepareSnapshotRequest extract = PrepareSnapshotRequest.newBuilder()
                .setKey("default/1/extract-1 " + data.diffId())
                .putLabels(REF, data.diffId().toString())
                .putLabels(
                        "containerd.io/snapshot/cri.layer-digest", data.digest().toString())
                .putLabels("containerd.io/snapshot/cri.image-ref", "PLACE/team/model:v1")
                .build();
        Path lazy;
        try (FaultyRegistry registry = new FaultyRegistry(true)) {
            registry.manifest("v1", manifest.getBytes(StandardCharsets.UTF_8));
            registry.blob(data.digest().toString(), data.blob());
            String image = registry.host() + "/team/model:v1";
            List<IndexProgress> progress = new ArrayList<>();
            AdminGrpc.newBlockingStub(channel("node.sock"))
                    .index(IndexRequest.newBuilder().setImage(image).build())
                    .forEachRemaining(progress::add);
            assertThat(progress.getLast().getDone().getDiffId())
                    .isEqualTo(data.diffId().toString());
            int indexing = registry.requests();

            PrepareSnapshotRequest prepare = extract.toBuilder()
                    .putLabels("containerd.io/snapshot/cri.image-ref", image)
                    .build();
            var stub = snapshots();
            assertStatus(() -> stub.prepare(prepare), Status.Code.ALREADY_EXISTS);
            assertThat(registry.requests()).isEqualTo(indexing);
            List<Info> found = new ArrayList<>();
            stub.list(ListSnapshotsRequest.newBuilder()
                            .addFilters("labels.\"" + REF + "\"==\"" + data.diffId() + "\",parent==\"\"")
                            .build())
                    .forEachRemaining(part -> found.addAll(part.getInfoList()));
            assertThat(found).hasSize(1);
            assertThat(found.getFirst().getKind()).isEqualTo(Kind.COMMITTED);
            String top = found.getFirst().getName();

            Path first = mount(stub.prepare(PrepareSnapshotRequest.newBuilder()
                            .setKey("c1")
                            .setParent(top)
                            .build())
                    .getMountsList());
            assertThat(first.resolve("small").toFile().list()).hasSize(41);
            assertThat(registry.requests()).isEqualTo(indexing);
            assertThat(first.resolve("large/two")).hasBinaryContent(data.file("large/two"));
            assertThat(registry.requests()).isGreaterThan(indexing);
            for (Map.Entry<String, byte[]> file : data.files().entrySet()) {
                assertThat(first.resolve(file.getKey())).hasBinaryContent(file.getValue());
            }
            Files.writeString(first.resolve("small/f1"), "written");
            assertThat(first.resolve("small/f1")).hasContent("written");
            unmount(first);
            // libfuse 2 has no such mounts.
            if (serve != Configuration.Serve.FUSE) {
                Path pod = mount(stub.prepare(PrepareSnapshotRequest.newBuilder()
                                .setKey("pod")
                                .setParent(top)
                                .putLabels("containerd.io/snapshot/uidmapping", "0:100000:65536")
                                .putLabels("containerd.io/snapshot/gidmapping", "0:100000:65536")
                                .build())
                        .getMountsList());
                assertThat(Files.getAttribute(pod.resolve("small/f2"), "unix:uid"))
                        .isEqualTo(100000);
                assertThat(pod.resolve("small/f2")).hasBinaryContent(data.file("small/f2"));
                unmount(pod);
            }
            lazy = mount(stub.view(ViewSnapshotRequest.newBuilder()
                            .setKey("v")
                            .setParent(top)
                            .build())
                    .getMountsList());
            assertThat(lazy.resolve("small/f1")).hasBinaryContent(data.file("small/f1"));
            unmount(lazy);

            List<Holding> holdings = NodeAgentGrpc.newBlockingStub(channel("node.sock"))
                    .inventory(InventoryRequest.getDefaultInstance())
                    .getHoldingsList();
            assertThat(holdings).hasSize(1);
            assertThat(holdings.getFirst().getGroup()).isEqualTo("layer:" + data.digest());
            assertThat(holdings.getFirst().getBytesPresent())
                    .isEqualTo(holdings.getFirst().getBytesTotal());
        }
        restart();
        Path again = mount(snapshots()
                .mounts(MountsRequest.newBuilder().setKey("v").build())
                .getMountsList());
        for (Map.Entry<String, byte[]> file : data.files().entrySet()) {
            assertThat(again.resolve(file.getKey())).hasBinaryContent(file.getValue());
        }
    }

    @Test
    void whatAContainerReadAtItsStartIsFetchedAgainBeforeTheNextOneReadsIt() throws Exception {
        TestLayer data = TestLayer.generate(4);
        try (FaultyRegistry registry = new FaultyRegistry(false)) {
            PrepareSnapshotRequest container = PrepareSnapshotRequest.newBuilder()
                    .setKey("c1")
                    .setParent(pull(registry, data))
                    .build();
            Path first = mount(snapshots().prepare(container).getMountsList());
            assertThat(first.resolve("large/two")).hasBinaryContent(data.file("large/two"));
            unmount(first);
            snapshots().remove(RemoveSnapshotRequest.newBuilder().setKey("c1").build());

            Objects.requireNonNull(snapshotter).close();
            Path root = dir.resolve("root");
            assertThat(root.resolve("index").resolve(data.digest().hex() + ".trace"))
                    .exists();
            for (String store : List.of("objects", "partial")) {
                try (var files = Files.walk(root.resolve(store))) {
                    for (Path file : files.filter(Files::isRegularFile).toList()) {
                        Files.delete(file);
                    }
                }
            }
            restart();
            Path wanted = root.resolve("objects")
                    .resolve(ObjectName.of(
                                    TestLayer.sha256(data.file("large/two")).bytes())
                            .path());
            assertThat(wanted).doesNotExist();
            var _ = snapshots().prepare(container.toBuilder().setKey("c2").build());
            for (int i = 0; i < 6000 && !Files.exists(wanted); i++) {
                Thread.sleep(10);
            }
            assertThat(wanted).hasBinaryContent(data.file("large/two"));
        }
    }

    @Test
    void manyLayersFitIntoOnePageOfMountOptions() throws Exception {
        var stub = snapshots();
        String parent = "";
        for (int i = 0; i < 90; i++) {
            Path layer = mount(stub.prepare(PrepareSnapshotRequest.newBuilder()
                            .setKey("k" + i)
                            .setParent(parent)
                            .build())
                    .getMountsList());
            Files.writeString(layer.resolve("f" + i), "layer " + i);
            unmount(layer);
            parent = "c" + i;
            stub.commit(CommitSnapshotRequest.newBuilder()
                    .setKey("k" + i)
                    .setName(parent)
                    .build());
        }
        Path all = mount(stub.prepare(PrepareSnapshotRequest.newBuilder()
                        .setKey("all")
                        .setParent(parent)
                        .build())
                .getMountsList());
        for (int i = 0; i < 90; i++) {
            assertThat(all.resolve("f" + i)).hasContent("layer " + i);
        }
    }

    @Test
    void aContainerInAUserNamespaceSeesItsOwnOwners() throws Exception {
        var stub = snapshots();
        Path layer = mount(
                stub.prepare(PrepareSnapshotRequest.newBuilder().setKey("k").build())
                        .getMountsList());
        Files.writeString(layer.resolve("mine"), "of root");
        Files.writeString(layer.resolve("other"), "of 7");
        Files.setAttribute(layer.resolve("other"), "unix:uid", 7);
        unmount(layer);
        stub.commit(CommitSnapshotRequest.newBuilder().setKey("k").setName("c").build());
        PrepareSnapshotRequest prepare = PrepareSnapshotRequest.newBuilder()
                .setKey("pod")
                .setParent("c")
                .putLabels("containerd.io/snapshot/uidmapping", "1:100001:65535,0:3000:1")
                .putLabels("containerd.io/snapshot/gidmapping", "0:200000:65536")
                .build();
        Path pod = mount(stub.prepare(prepare).getMountsList());
        assertThat(Files.getAttribute(pod, "unix:uid")).isEqualTo(3000);
        assertThat(Files.getAttribute(pod.resolve("mine"), "unix:uid")).isEqualTo(3000);
        assertThat(Files.getAttribute(pod.resolve("mine"), "unix:gid")).isEqualTo(200000);
        assertThat(Files.getAttribute(pod.resolve("other"), "unix:uid")).isEqualTo(100007);
        Files.writeString(pod.resolve("other"), "changed");
        assertThat(Files.getAttribute(pod.resolve("other"), "unix:uid")).isEqualTo(100007);
        unmount(pod);
        stub.remove(RemoveSnapshotRequest.newBuilder().setKey("pod").build());
        assertThat(MountTable.read())
                .as("what was mounted for the pod alone")
                .noneMatch(entry -> entry.mountPoint().contains("/run/m/"));
        for (String unusable : List.of("0:100000", "0:100000:65536,", "1:100001:65535")) {
            assertStatus(
                    () -> stub.prepare(prepare.toBuilder()
                            .putLabels("containerd.io/snapshot/uidmapping", unusable)
                            .build()),
                    Status.Code.INVALID_ARGUMENT);
        }
    }

    @Test
    void pinsAreKeptOverARestart() throws Exception {
        String layer = "sha256:" + "cd".repeat(32);
        var agent = NodeAgentGrpc.newBlockingStub(channel("node.sock"));
        PinRequest pin = PinRequest.newBuilder()
                .setGroup("layer:" + layer)
                .setTier(Tier.TIER_RAM)
                .build();
        var _ = agent.pin(pin);
        assertStatus(() -> agent.pin(pin.toBuilder().setGroup("snapshot:1").build()), Status.Code.INVALID_ARGUMENT);
        restart();
        assertThat(dir.resolve("root/meta/pins")).content().contains(layer);
        var _ = NodeAgentGrpc.newBlockingStub(channel("node.sock"))
                .pin(pin.toBuilder().clearTier().build());
        assertThat(dir.resolve("root/meta/pins")).content().doesNotContain(layer);
    }

    @Test
    void aLayerThatCannotBeFoundBecomesAnOrdinarySnapshot() throws Exception {
        var answer = snapshots()
                .prepare(PrepareSnapshotRequest.newBuilder()
                        .setKey("extract-1")
                        .putLabels(REF, "sha256:" + "ab".repeat(32))
                        .build());
        assertThat(answer.getMounts(0).getType()).isEqualTo("bind");
    }

    /** Makes the committed snapshot of a layer; returns its name. */
    private String pull(FaultyRegistry registry, TestLayer data) {
        String config = "{\"rootfs\":{\"diff_ids\":[\"" + data.diffId() + "\"]}}";
        String manifest = "{\"config\":{\"digest\":\"" + TestLayer.sha256(config.getBytes(StandardCharsets.UTF_8))
                + "\",\"size\":1},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\""
                + data.digest() + "\",\"size\":" + data.blob().length + "}]}";
        registry.manifest("v1", manifest.getBytes(StandardCharsets.UTF_8));
        registry.blob(data.digest().toString(), data.blob());
        String image = registry.host() + "/team/model:v1";
        AdminGrpc.newBlockingStub(channel("node.sock"))
                .index(IndexRequest.newBuilder().setImage(image).build())
                .forEachRemaining(progress -> {});
        var stub = snapshots();
        assertStatus(
                () -> stub.prepare(PrepareSnapshotRequest.newBuilder()
                        .setKey("default/1/extract-1 " + data.diffId())
                        .putLabels(REF, data.diffId().toString())
                        .putLabels(
                                "containerd.io/snapshot/cri.layer-digest",
                                data.digest().toString())
                        .putLabels("containerd.io/snapshot/cri.image-ref", image)
                        .build()),
                Status.Code.ALREADY_EXISTS);
        List<Info> found = new ArrayList<>();
        stub.list(ListSnapshotsRequest.newBuilder()
                        .addFilters("labels.\"" + REF + "\"==\"" + data.diffId() + "\"")
                        .build())
                .forEachRemaining(part -> found.addAll(part.getInfoList()));
        return found.getFirst().getName();
    }

    private Path view(String key, String parent) throws IOException {
        return mount(snapshots()
                .view(ViewSnapshotRequest.newBuilder()
                        .setKey(key)
                        .setParent(parent)
                        .build())
                .getMountsList());
    }

    private Path object(byte[] bytes) {
        return dir.resolve("root/objects")
                .resolve(ObjectName.of(TestLayer.sha256(bytes).bytes()).path());
    }

    @Test
    void withVerifyAlwaysADamagedObjectIsReadRightAndMended() throws Exception {
        store = new StoreSettings(StoreSettings.DEFAULTS.diskMax(), Size.ZERO, 0, StoreSettings.Verify.ALWAYS, 0);
        restart();
        TestLayer data = TestLayer.generate(6);
        byte[] bytes = data.file("large/two");
        try (FaultyRegistry registry = new FaultyRegistry(true)) {
            String top = pull(registry, data);
            Path first = view("v1", top);
            assertThat(first.resolve("large/two")).hasBinaryContent(bytes);
            unmount(first);
            restart();
            try (RandomAccessFile file = new RandomAccessFile(object(bytes).toFile(), "rw")) {
                file.seek(2_000_000);
                file.write(bytes[2_000_000] ^ 1);
            }
            Path second = view("v2", top);
            assertThat(second.resolve("large/two")).hasBinaryContent(bytes);
            assertThat(object(bytes)).hasBinaryContent(bytes);
            unmount(second);
        }
    }

    @Test
    void whatNoSnapshotStandsOnMakesRoomAndWhatOneStandsOnStays() throws Exception {
        store = new StoreSettings(new Size(20, Size.Unit.MIB), Size.ZERO, 0, StoreSettings.Verify.ONCE, 0);
        restart();
        TestLayer kept = TestLayer.generate(10);
        try (FaultyRegistry registry = new FaultyRegistry(true)) {
            String keptTop = pull(registry, kept);
            Path mounted = view("kept", keptTop);
            assertThat(mounted.resolve("large/two")).hasBinaryContent(kept.file("large/two"));
            assertThat(mounted.resolve("large/one")).hasBinaryContent(kept.file("large/one"));
            for (int seed = 11; seed < 15; seed++) {
                TestLayer other = TestLayer.generate(seed);
                Path root = view("other", pull(registry, other));
                for (Map.Entry<String, byte[]> file : other.files().entrySet()) {
                    assertThat(root.resolve(file.getKey())).hasBinaryContent(file.getValue());
                }
                unmount(root);
                var _ = snapshots()
                        .remove(RemoveSnapshotRequest.newBuilder()
                                .setKey("other")
                                .build());
            }
            assertThat(object(kept.file("large/one"))).hasBinaryContent(kept.file("large/one"));
            long sum = 0;
            try (var files = Files.walk(dir.resolve("root/objects"))) {
                for (Path file : files.filter(Files::isRegularFile).toList()) {
                    sum += Files.size(file);
                }
            }
            assertThat(sum).isLessThan(22 << 20);
            unmount(mounted);
        }
    }

    @Test
    void theIndexAndTreeOfARemovedLayerMakeRoomAndThoseOfAMountedOneStay() throws Exception {
        store = new StoreSettings(new Size(8, Size.Unit.MIB), Size.ZERO, 0, StoreSettings.Verify.ONCE, 0);
        restart();
        TestLayer kept = TestLayer.generate(20);
        TestLayer gone = TestLayer.generate(21);
        Instant before = Instant.now().minus(Duration.ofDays(1));
        try (FaultyRegistry registry = new FaultyRegistry(true)) {
            String keptTop = pull(registry, kept);
            String goneTop = pull(registry, gone);
            var _ = snapshots()
                    .remove(RemoveSnapshotRequest.newBuilder().setKey(goneTop).build());
            for (TestLayer layer : List.of(kept, gone)) {
                Files.setLastModifiedTime(of(layer, "trees", ".erofs"), FileTime.from(before));
            }
            Path mounted = view("kept", keptTop);
            // More than the store may have, and all of it must stay.
            for (Map.Entry<String, byte[]> file : kept.files().entrySet()) {
                assertThat(mounted.resolve(file.getKey())).hasBinaryContent(file.getValue());
            }
            for (int i = 0; i < 600 && Files.exists(of(gone, "index", ".idx")); i++) {
                Thread.sleep(100);
            }
            assertThat(of(gone, "index", ".idx")).doesNotExist();
            assertThat(of(gone, "trees", ".erofs")).doesNotExist();
            assertThat(of(kept, "index", ".idx")).exists();
            assertThat(of(kept, "trees", ".erofs")).exists();

            Path again = view("again", pull(registry, gone));
            for (Map.Entry<String, byte[]> file : gone.files().entrySet()) {
                assertThat(again.resolve(file.getKey())).hasBinaryContent(file.getValue());
            }
            unmount(again);
            unmount(mounted);
        }
    }

    private Path of(TestLayer layer, String directory, String suffix) {
        return dir.resolve("root").resolve(directory).resolve(layer.digest().hex() + suffix);
    }

    /** As many as containerd allows, each with one file that no layer above it has; all bytes are at the registry. */
    @Test
    void aHundredAndTwentyEightLayersAreOneRoot() throws Exception {
        int most = 128;
        if (snapshotter != null) {
            snapshotter.close();
        }
        // As short as on a node: 128 lower directories have to fit into a page.
        state = Files.createDirectory(
                Path.of("/run", "cs" + ProcessHandle.current().pid()));
        Path root = dir.resolve("root");
        try (FaultyRegistry registry = new FaultyRegistry(false)) {
            List<TestLayer> layers = new ArrayList<>();
            String parent = "";
            try (MetadataStore metadata = MetadataStore.open(root.resolve("meta/snapshots.log"))) {
                for (int i = 0; i < most; i++) {
                    TestLayer data = TestLayer.flat(1000 + i, most - i, 5 << 10);
                    layers.add(data);
                    registry.blob(data.digest().toString(), data.blob());
                    var _ = LayerIndexer.index(
                            new ByteArrayInputStream(data.blob()),
                            data.digest(),
                            data.diffId(),
                            of(data, "index", ".idx"),
                            of(data, "trees", ".erofs"),
                            null,
                            ProgressListener.NONE);
                    metadata.addSource(new LayerSource(data.digest(), registry.host(), "team/model"));
                    parent = metadata.createRemote("layer-" + i, parent, data.digest(), Map.of(), 1)
                            .name();
                }
            }
            restart();
            Path all = mount(snapshots()
                    .prepare(PrepareSnapshotRequest.newBuilder()
                            .setKey("all")
                            .setParent(parent)
                            .build())
                    .getMountsList());
            for (int i = 0; i < most; i++) {
                String name = "f" + (most - 1 - i);
                assertThat(all.resolve(name)).hasBinaryContent(layers.get(i).file(name));
            }
            Files.writeString(all.resolve("f0"), "written");
            assertThat(all.resolve("f0")).hasContent("written");
            unmount(all);
        } finally {
            if (snapshotter != null) {
                snapshotter.close();
                snapshotter = null;
            }
            FileTree.delete(state);
        }
    }
}
