package dev.coldstart.snapshotter.object;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.MountTable;
import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RamTierTest {
    @TempDir
    Path root;

    private Path mountPoint;
    private IndexedLayers layers;
    private ObjectStore store;

    @BeforeEach
    void start() throws Exception {
        assumeTrue(
                Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid")),
                "mounting a file system needs root");
        mountPoint = root.resolve("ram");
        layers = new IndexedLayers(Files.createDirectory(root.resolve("index")));
        store = ObjectStore.open(root, StoreSettings.DEFAULTS);
    }

    @AfterEach
    void stop() throws Exception {
        if (mountPoint != null) {
            store.close();
            if (isMounted()) {
                Mount.umount(mountPoint.toString(), Mount.MNT_DETACH);
            }
        }
    }

    private boolean isMounted() throws IOException {
        return MountTable.read().stream().anyMatch(entry -> entry.mountPoint().equals(mountPoint.toString()));
    }

    private RamTier open(long bytes) throws IOException {
        return Objects.requireNonNull(RamTier.open(mountPoint, bytes, layers));
    }

    private void putAll(TestLayer layer) throws IOException {
        try (LayerIndex index = layers.index(layer);
                Arena arena = Arena.ofConfined()) {
            for (int row = 0; row < index.objectCount(); row++) {
                byte[] bytes = IndexedLayers.bytes(layer, index, row);
                store.put(
                        new CallState(arena),
                        index.objectName(row),
                        arena.allocate(bytes.length).copyFrom(MemorySegment.ofArray(bytes)));
            }
        }
    }

    private Path staged(TestLayer layer, String file) {
        return mountPoint.resolve(
                ObjectName.of(TestLayer.sha256(layer.file(file)).bytes()).path());
    }

    @Test
    void aStagedLayersSoundObjectsLieInMemoryAlsoAfterARestartAndNotWhenItIsOff() throws Exception {
        TestLayer layer = layers.add(1);
        putAll(layer);
        ObjectName damaged =
                ObjectName.of(TestLayer.sha256(layer.file("large/two")).bytes());
        try (RandomAccessFile file = new RandomAccessFile(store.path(damaged).toFile(), "rw")) {
            file.seek(5);
            file.write(77);
        }
        try (LayerIndex index = layers.index(layer)) {
            open(64 << 20).stage(index, store);
        }
        assertThat(staged(layer, "large/one")).hasBinaryContent(layer.file("large/one"));
        assertThat(staged(layer, "small/f7")).hasBinaryContent(layer.file("small/f7"));
        assertThat(staged(layer, "large/two")).doesNotExist();

        assertThat(open(96 << 20).bytes()).isEqualTo(96 << 20);
        assertThat(staged(layer, "large/one")).exists();
        assertThat(Files.getFileStore(mountPoint).getTotalSpace()).isEqualTo(96 << 20);

        assertThat(RamTier.open(mountPoint, 0, layers)).isNull();
        assertThat(isMounted()).isFalse();
    }

    @Test
    void aLayerTakesTheRoomOfThoseThatNobodyPinsAndStopsThere() throws Exception {
        TestLayer old = layers.add(1);
        TestLayer young = layers.add(2);
        putAll(old);
        putAll(young);
        RamTier ram = open(14 << 20);
        try (LayerIndex first = layers.index(old);
                LayerIndex second = layers.index(young)) {
            ram.stage(first, store);
            assertThat(staged(old, "large/one")).exists();
            layers.pinned.add(young.digest());
            ram.stage(second, store);
            assertThat(staged(young, "large/one")).hasBinaryContent(young.file("large/one"));
            assertThat(staged(young, "large/two")).hasBinaryContent(young.file("large/two"));

            layers.pinned.add(old.digest());
            ram.stage(first, store);
            assertThat(staged(young, "large/one")).exists();
        }
    }
}
