package dev.coldstart.snapshotter.object;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.FileAttributes;
import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.IntToLongFunction;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EvictionTest {
    private static final long MIB = 1 << 20;

    @TempDir
    Path root;

    private final Arena arena = Arena.ofShared();
    private final CallState state = new CallState(arena);
    private IndexedLayers layers;
    private ObjectStore store;
    private Room room;
    private Eviction eviction;

    @BeforeEach
    void start() throws Exception {
        layers = new IndexedLayers(Files.createDirectory(root.resolve("index")));
        open(32 * MIB);
    }

    private void open(long most) throws IOException {
        StoreSettings settings =
                new StoreSettings(new Size(most, Size.Unit.BYTE), Size.ZERO, 0, StoreSettings.Verify.ONCE, 0);
        room = new Room(root, settings);
        store = ObjectStore.open(root, settings, "boot", new Disk(), room);
        eviction = new Eviction(store, room, layers);
    }

    @AfterEach
    void stop() throws Exception {
        store.close();
        arena.close();
    }

    private MemorySegment in(byte[] bytes) {
        return arena.allocate(bytes.length).copyFrom(MemorySegment.ofArray(bytes));
    }

    private void putAll(TestLayer layer) throws IOException {
        try (LayerIndex index = layers.index(layer)) {
            for (int row = 0; row < index.objectCount(); row++) {
                store.put(state, index.objectName(row), in(IndexedLayers.bytes(layer, index, row)));
            }
        }
    }

    private int count(TestLayer layer) throws IOException {
        int count = 0;
        try (LayerIndex index = layers.index(layer)) {
            for (int row = 0; row < index.objectCount(); row++) {
                count += store.contains(index.objectName(row)) ? 1 : 0;
            }
            return count == index.objectCount() ? Integer.MAX_VALUE : count;
        }
    }

    private long allocated() throws IOException {
        long sum = 0;
        try (var files = Files.walk(root.resolve("objects"))) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                sum += FileAttributes.allocatedBytes(file);
            }
        }
        return sum;
    }

    @Test
    void whatNoLayerHasGoesFirstThenTheLeastRecentlyUsedLayerAndNeverAPinnedOne() throws Exception {
        TestLayer pinned = layers.add(1);
        TestLayer old = layers.add(2);
        TestLayer young = layers.add(3);
        layers.pinned.add(pinned.digest());
        putAll(pinned);
        putAll(old);
        putAll(young);
        byte[] unknown = new byte[1_000_000];
        ObjectName orphan = ObjectName.of(TestLayer.sha256(unknown).bytes());
        store.put(state, orphan, in(unknown));
        eviction.evict(1);
        assertThat(store.contains(orphan))
                .as("may belong to a layer that is being read")
                .isTrue();

        Files.setLastModifiedTime(
                store.path(orphan), FileTime.from(Instant.now().minus(Duration.ofHours(2))));
        eviction.evict(1);
        assertThat(store.contains(orphan)).isFalse();
        assertThat(count(young)).isEqualTo(Integer.MAX_VALUE);

        eviction.evict(5 * MIB);
        assertThat(count(old)).isBetween(0, 40);
        assertThat(count(young)).isEqualTo(Integer.MAX_VALUE);
        assertThat(store.usedBytes()).isEqualTo(allocated());

        eviction.evict(1000 * MIB);
        assertThat(count(old)).isZero();
        assertThat(count(young)).isZero();
        assertThat(count(pinned)).isEqualTo(Integer.MAX_VALUE);
        assertThat(store.usedBytes()).isEqualTo(allocated());
    }

    @Test
    void indexesAndTreesGoAfterAllObjectsTheOldestFirst() throws Exception {
        TestLayer pinned = layers.add(1);
        TestLayer old = layers.add(2);
        TestLayer young = layers.add(3);
        layers.pinned.add(pinned.digest());
        putAll(old);
        putAll(young);
        eviction.evict(5 * MIB);
        assertThat(layers.forgotten).as("while there are objects to let go").isEmpty();
        eviction.evict(1000 * MIB);
        assertThat(count(young)).isZero();
        assertThat(layers.forgotten).containsExactly(old.digest(), young.digest());
        layers.forgotten.clear();
        layers.used.put(young.digest(), Instant.now());
        eviction.evict(1000 * MIB);
        assertThat(layers.forgotten).as("one of them indexed just now").containsExactly(old.digest());
    }

    @Test
    void anObjectOfTwoLayersStaysAsLongAsOneOfThemIsPinned() throws Exception {
        TestLayer one = layers.add(1);
        TestLayer twin = layers.twin(one);
        layers.pinned.add(one.digest());
        putAll(twin);
        eviction.evict(1000 * MIB);
        assertThat(count(one)).isEqualTo(Integer.MAX_VALUE);
        assertThat(one.digest()).isNotEqualTo(twin.digest());
    }

    @Test
    void theStoreStaysWithinItsBoundAndGoesOnKeeping() throws Exception {
        store.close();
        open(20 * MIB);
        for (int seed = 1; seed <= 6; seed++) {
            putAll(layers.add(seed));
            eviction.look();
            assertThat(allocated()).isLessThanOrEqualTo(20 * MIB);
            assertThat(store.keeps()).isTrue();
        }
        assertThat(store.usedBytes()).isGreaterThan(5 * MIB);
    }

    @Test
    void ifAllIsPinnedNothingMoreIsKeptUntilThereIsRoomAgain() throws Exception {
        store.close();
        open(12 * MIB);
        TestLayer one = layers.add(1);
        TestLayer two = layers.add(2);
        layers.pinned.add(one.digest());
        layers.pinned.add(two.digest());
        putAll(one);
        putAll(two);
        eviction.look();
        assertThat(store.keeps()).isFalse();
        assertThat(store.put(state, ObjectName.of(new byte[32]), in(new byte[100])))
                .isFalse();
        assertThat(allocated()).isLessThanOrEqualTo(12 * MIB + 5 * MIB);

        layers.pinned.remove(one.digest());
        store.reconsider();
        eviction.look();
        assertThat(store.keeps()).isTrue();
        assertThat(count(one)).isNotEqualTo(Integer.MAX_VALUE);
    }

    /** Bytes that tell where they are. */
    private static byte[] pattern(int size) {
        byte[] bytes = new byte[size];
        for (int i = 0; i < size; i++) {
            bytes[i] = (byte) (1 + (i >> 12) % 255);
        }
        return bytes;
    }

    @Test
    void readersNeverSeeAHoleWhilePiecesComeAndGo() throws Exception {
        int pieces = 16;
        int piece = 100_000;
        byte[] bytes = pattern(pieces * piece);
        // Never complete, because this is not its name.
        ObjectName name = ObjectName.of(new byte[32]);
        PartialObject object = store.acquire(name, bytes.length, pieces, 7);
        IntToLongFunction starts = at -> (long) at * piece;
        AtomicBoolean stop = new AtomicBoolean();
        List<Future<long[]>> readers = new ArrayList<>();
        try (var threads = Executors.newFixedThreadPool(4)) {
            for (int reader = 0; reader < 2; reader++) {
                long seed = reader;
                readers.add(threads.submit(() -> read(object, bytes, piece, pieces, new Random(seed), stop)));
            }
            Random random = new Random(99);
            try (Arena own = Arena.ofConfined()) {
                CallState mine = new CallState(own);
                for (int round = 0; round < 50; round++) {
                    for (int i = 0; i < pieces - 1; i++) {
                        object.write(
                                mine,
                                i,
                                in(Arrays.copyOfRange(bytes, i * piece, (i + 1) * piece)),
                                starts.applyAsLong(i));
                    }
                    assertThat(store.evictPieces(name, 7, starts, 1 + random.nextInt(bytes.length)))
                            .isPositive();
                }
            } finally {
                stop.set(true);
            }
        }
        long right = 0;
        for (Future<long[]> reader : readers) {
            right += reader.get()[0];
        }
        assertThat(right).isPositive();
        store.release(name, 7);
    }

    private static long[] read(
            PartialObject object, byte[] bytes, int piece, int pieces, Random random, AtomicBoolean stop) {
        long[] right = new long[1];
        try (Arena arena = Arena.ofConfined()) {
            CallState state = new CallState(arena);
            MemorySegment into = arena.allocate(piece);
            while (!stop.get()) {
                int at = random.nextInt(pieces);
                long noted = object.evictions();
                if (!object.has(at)) {
                    continue;
                }
                long n = object.read(state, into, piece, (long) at * piece, noted);
                if (n == PartialObject.MISSING) {
                    continue;
                }
                assertThat(n).isEqualTo(piece);
                assertThat(Arrays.equals(
                                into.toArray(ValueLayout.JAVA_BYTE),
                                Arrays.copyOfRange(bytes, at * piece, (at + 1) * piece)))
                        .isTrue();
                right[0]++;
            }
        }
        return right;
    }

    @Test
    void aPinnedLayersPartialObjectsLosePiecesAndSpaceAndKnowItAfterARestart() throws Exception {
        TestLayer layer = layers.add(5);
        layers.pinned.add(layer.digest());
        long cut = ObjectStore.cut(layer.digest());
        try (LayerIndex index = layers.index(layer)) {
            int row = index.find(
                    ObjectName.of(TestLayer.sha256(layer.file("large/one")).bytes()));
            IntToLongFunction starts = Eviction.starts(index, row);
            ObjectName name = index.objectName(row);
            int pieces = index.spanAt(index.objectOffset(row) + index.objectSize(row) - 1)
                    - index.spanAt(index.objectOffset(row))
                    + 1;
            byte[] bytes = layer.file("large/one");
            PartialObject object = store.acquire(name, bytes.length, pieces, cut);
            for (int i = 1; i < pieces; i++) {
                int from = (int) starts.applyAsLong(i);
                object.write(state, i, in(Arrays.copyOfRange(bytes, from, (int) starts.applyAsLong(i + 1))), from);
            }
            Path file = store.partialPath(name, cut);
            long before = FileAttributes.allocatedBytes(file);
            eviction.evict(3 * MIB / 2);
            assertThat(FileAttributes.allocatedBytes(file)).isLessThan(before - MIB);
            assertThat(object.has(1)).isFalse();
            assertThat(object.has(pieces - 1)).isTrue();
            store.release(name, cut);
            store.close();
            open(32 * MIB);
            assertThat(store.presentPieces(name, bytes.length, pieces, cut).get(1))
                    .isFalse();
            assertThat(store.presentPieces(name, bytes.length, pieces, cut).get(pieces - 1))
                    .isTrue();
            eviction.evict(1000 * MIB);
            assertThat(file).doesNotExist();
            assertThat(root.resolve("partial")).isEmptyDirectory();
        }
    }
}
