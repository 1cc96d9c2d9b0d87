package dev.coldstart.snapshotter.object;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.ObjectName;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ScrubTest {
    @TempDir
    Path root;

    private IndexedLayers layers;
    private TestLayer layer;
    private byte[] bytes;
    private ObjectName name;

    @BeforeEach
    void generate() throws Exception {
        layers = new IndexedLayers(Files.createDirectory(root.resolve("index")));
        layer = layers.add(8);
        bytes = layer.file("large/two");
        name = ObjectName.of(TestLayer.sha256(bytes).bytes());
    }

    private static StoreSettings settings(StoreSettings.Verify verify) {
        return new StoreSettings(new Size(100, Size.Unit.PERCENT), Size.ZERO, 0, verify, 0);
    }

    private ObjectStore open(StoreSettings.Verify verify) throws IOException {
        ObjectStore store = ObjectStore.open(root, settings(verify));
        store.watch(layers, layers);
        try (Arena arena = Arena.ofConfined()) {
            store.put(new CallState(arena), name, arena.allocate(bytes.length).copyFrom(MemorySegment.ofArray(bytes)));
        }
        return store;
    }

    private void flip(ObjectStore store) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(store.path(name).toFile(), "rw")) {
            file.seek(1_234_567);
            file.write(bytes[1_234_567] ^ 4);
        }
        assertThat(store.path(name))
                .satisfies(path -> assertThat(Files.readAllBytes(path)).isNotEqualTo(bytes));
    }

    private void scrub(ObjectStore store) throws IOException {
        Scrub scrub = new Scrub(store, layers, 7);
        for (int i = 0; i < 256; i++) {
            scrub.scrub(i, Verification.Reader.NONE);
        }
    }

    @Test
    void aFlippedBitIsFoundAndMendedInTheSameFile() throws Exception {
        try (ObjectStore store = open(StoreSettings.Verify.ONCE)) {
            Object inode = Files.getAttribute(store.path(name), "unix:ino");
            flip(store);
            scrub(store);
            assertThat(store.path(name)).hasBinaryContent(bytes);
            assertThat(Files.getAttribute(store.path(name), "unix:ino")).isEqualTo(inode);

            try (RandomAccessFile file = new RandomAccessFile(store.path(name).toFile(), "rw")) {
                file.setLength(1000);
            }
            scrub(store);
            assertThat(store.path(name)).hasBinaryContent(bytes);
        }
    }

    @Test
    void whatCannotBeMendedGoesUnlessItsLayerIsPinned() throws Exception {
        try (ObjectStore store = open(StoreSettings.Verify.ONCE)) {
            flip(store);
            layers.reachable = false;
            layers.pinned.add(layer.digest());
            scrub(store);
            assertThat(store.contains(name)).isTrue();
            layers.pinned.clear();
            scrub(store);
            assertThat(store.contains(name)).isFalse();
        }
    }

    @Test
    void withVerifyAlwaysAFlippedBitIsMendedBeforeAnybodyReadsIt() throws Exception {
        try (ObjectStore store = open(StoreSettings.Verify.ALWAYS);
                Arena arena = Arena.ofConfined()) {
            CallState state = new CallState(arena);
            flip(store);
            PartialObject object = store.acquire(name, bytes.length, 4, 9);
            assertThat(object.has(0)).isFalse();
            layers.reachable = false;
            assertThatThrownBy(() -> object.verify(state)).hasMessageContaining("the registry is gone");
            assertThat(object.has(0)).isFalse();
            layers.reachable = true;
            object.verify(state);
            assertThat(object.complete()).isTrue();
            MemorySegment into = arena.allocate(bytes.length);
            assertThat(object.read(state, into, bytes.length, 0, object.evictions()))
                    .isEqualTo(bytes.length);
            assertThat(into.toArray(ValueLayout.JAVA_BYTE)).isEqualTo(bytes);
            store.release(name, 9);
        }
    }
}
