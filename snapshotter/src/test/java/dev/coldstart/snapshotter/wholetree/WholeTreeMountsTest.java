package dev.coldstart.snapshotter.wholetree;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.linux.FuseDevice;
import dev.coldstart.linux.MountTable;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.LayerOrdinals;
import dev.coldstart.snapshotter.fetch.SpanFetcher;
import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.StoreSettings;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class WholeTreeMountsTest {
    @TempDir
    Path directory;

    private final AtomicBoolean reachable = new AtomicBoolean(true);
    private LayerOrdinals ordinals;
    private KnownLayers known;
    private TestLayer data;
    private ObjectStore store;
    private SpanFetcher fetcher;
    private Path trees;
    private WholeTreeMounts mounts;

    @BeforeEach
    void open() throws Exception {
        assumeTrue(Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid")), "needs root");
        assumeTrue(Libfuse.isInstalled(), Libfuse.NEEDED);
        data = TestLayer.generate(6);
        store = ObjectStore.open(directory.resolve("store"), StoreSettings.DEFAULTS);
        ordinals = LayerOrdinals.open(directory.resolve("layers"));
        known = new KnownLayers(ordinals);
        fetcher = new SpanFetcher(
                (layer, from, to) -> {
                    if (!reachable.get()) {
                        throw new IOException("the registry is away");
                    }
                    return new ByteArrayInputStream(Arrays.copyOfRange(data.blob(), (int) from, (int) to));
                },
                store,
                Duration.ofSeconds(3));
        trees = Files.createDirectory(directory.resolve("trees"));
        Path index = directory.resolve("index");
        LayerIndexer.index(
                new ByteArrayInputStream(data.blob()),
                data.digest(),
                data.diffId(),
                index,
                trees.resolve(data.digest().hex() + ".erofs"),
                null,
                ProgressListener.NONE);
        known.add(data.digest(), index);
        mounts = mounts();
    }

    private WholeTreeMounts mounts() throws IOException {
        return new WholeTreeMounts(directory.resolve("t"), trees, known, store, fetcher);
    }

    @AfterEach
    void close() throws Exception {
        if (mounts != null) {
            mounts.retain(Set.of());
            fetcher.close();
            store.close();
            ordinals.close();
        }
        assertThat(MountTable.read()).noneMatch(entry -> entry.mountPoint().startsWith(directory.toString()));
    }

    @Test
    void filesAreFetchedWhenTheyAreReadByManyAtOnce() throws Exception {
        Path root = mounts.mount(data.digest());
        assertThat(mounts.mount(data.digest())).isEqualTo(root);
        assertThat(MountTable.read())
                .as("others learn from the mount's source which layer it is")
                .anyMatch(entry -> entry.mountPoint().equals(root.toString())
                        && entry.source().equals(mounts.file(data.digest()).toString()));
        assertThat(root.resolve("small").toFile().list()).hasSize(41);
        assertThat(fetcher.fetchedBytes()).isZero();
        try (var readers = Executors.newFixedThreadPool(16)) {
            List<Future<?>> all = new ArrayList<>();
            for (int i = 0; i < 16; i++) {
                all.add(readers.submit(() -> {
                    for (Map.Entry<String, byte[]> file : data.files().entrySet()) {
                        assertThat(root.resolve(file.getKey())).hasBinaryContent(file.getValue());
                    }
                }));
            }
            for (Future<?> one : all) {
                var _ = one.get();
            }
        }
        assertThat(fetcher.fetchedBytes()).isPositive();
    }

    @Test
    void aReadWhoseBytesCannotBeHadFailsAloneAndSucceedsLater() throws Exception {
        Path root = mounts.mount(data.digest());
        reachable.set(false);
        assertThatThrownBy(() -> Files.readAllBytes(root.resolve("large/one")))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("Input/output error");
        assertThat(root.resolve("large/one")).hasSize(data.file("large/one").length);
        reachable.set(true);
        assertThat(root.resolve("large/one")).hasBinaryContent(data.file("large/one"));
    }

    @Test
    void whatIsOpenStaysReadableWhenTheLayerIsUnmounted() throws Exception {
        Path root = mounts.mount(data.digest());
        Path elsewhere = Files.createDirectory(directory.resolve("elsewhere"));
        dev.coldstart.linux.Mount.mount("bind", root.toString(), elsewhere.toString(), List.of("rbind", "ro"));
        try {
            mounts.unmount(data.digest());
            assertThat(mounts.find(data.digest())).isNull();
            assertThat(elsewhere.resolve("large/two")).hasBinaryContent(data.file("large/two"));
        } finally {
            dev.coldstart.linux.Mount.umount(elsewhere.toString(), 0);
        }
    }

    @Test
    void whatADeadPredecessorLeftIsTakenAwayAndItsPlaceUsed() throws Exception {
        Path left = Files.createDirectories(directory.resolve("t/0"));
        try (FuseDevice device = FuseDevice.open()) {
            device.mount("dead", left.toString());
        }
        assertThat(Files.exists(left)).isFalse();
        mounts = mounts();
        assertThat(mounts.mount(data.digest())).isEqualTo(left);
        assertThat(left.resolve("small/f1")).hasBinaryContent(data.file("small/f1"));
    }

    @Test
    void aTreeThatIsDamagedIsRefusedWithItsName() throws Exception {
        Path tree = mounts.file(data.digest());
        byte[] bytes = Files.readAllBytes(tree);
        bytes[1024] ^= 1;
        Files.write(tree, bytes);
        assertThatThrownBy(() -> mounts.mount(data.digest()))
                .isInstanceOf(IOException.class)
                .hasMessageContaining(tree.toString());
    }
}
