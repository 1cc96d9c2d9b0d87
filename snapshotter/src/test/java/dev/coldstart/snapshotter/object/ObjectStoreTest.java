package dev.coldstart.snapshotter.object;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.FileAttributes;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ObjectSink;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ObjectStoreTest {
    private static ObjectStore open(Path root, String boot) throws IOException {
        return ObjectStore.open(root, StoreSettings.DEFAULTS, boot, new Disk(), new Room(root, StoreSettings.DEFAULTS));
    }

    private static byte[] random(int size, long seed) {
        byte[] bytes = new byte[size];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    private static ObjectName name(byte[] bytes) throws Exception {
        return ObjectName.of(MessageDigest.getInstance("SHA-256").digest(bytes));
    }

    private static MemorySegment in(Arena arena, byte[] bytes) {
        return arena.allocate(Math.max(1, bytes.length)).copyFrom(MemorySegment.ofArray(bytes));
    }

    @Test
    void anObjectIsCompleteWithItsLastPieceAndSurvivesARestartOfTheProcessBefore(@TempDir Path root) throws Exception {
        byte[] bytes = random(300_000, 1);
        ObjectName name = name(bytes);
        try (Arena arena = Arena.ofConfined()) {
            CallState state = new CallState(arena);
            try (ObjectStore store = open(root, "boot")) {
                PartialObject object = store.acquire(name, bytes.length, 3, 5);
                object.write(state, 2, in(arena, Arrays.copyOfRange(bytes, 200_000, 300_000)), 200_000);
                object.write(state, 0, in(arena, Arrays.copyOf(bytes, 100_000)), 0);
                assertThat(object.has(1)).isFalse();
                assertThat(store.contains(name)).isFalse();
                store.release(name, 5);
            }
            try (ObjectStore store = open(root, "boot")) {
                assertThat(store.presentPieces(name, bytes.length, 3, 5).stream()
                                .toArray())
                        .containsExactly(0, 2);
                assertThat(store.presentPieces(name, bytes.length, 3, 6).isEmpty())
                        .isTrue();
                PartialObject object = store.acquire(name, bytes.length, 3, 5);
                object.write(state, 1, in(arena, Arrays.copyOfRange(bytes, 100_000, 200_000)), 100_000);
                assertThat(object.complete()).isTrue();
                MemorySegment read = arena.allocate(bytes.length);
                assertThat(object.read(state, read, bytes.length, 0, object.evictions()))
                        .isEqualTo(bytes.length);
                store.release(name, 5);
            }
        }
        assertThat(root.resolve("objects").resolve(name.path())).hasBinaryContent(bytes);
        assertThat(root.resolve("partial")).isEmptyDirectory();
    }

    @Test
    void whatComesAheadOfItsPieceCanBeReadInWholeBlocksUntilItIsEvictedOrTheObjectIsClosed(@TempDir Path root)
            throws Exception {
        byte[] bytes = random(300_000, 3);
        ObjectName name = name(bytes);
        try (Arena arena = Arena.ofConfined();
                ObjectStore store = open(root, "boot")) {
            CallState state = new CallState(arena);
            PartialObject object = store.acquire(name, bytes.length, 3, 5);
            object.writeAhead(state, in(arena, Arrays.copyOfRange(bytes, 50_000, 150_000)), 50_000);
            object.writeAhead(state, in(arena, Arrays.copyOfRange(bytes, 290_000, 300_000)), 290_000);
            assertThat(object.has(1)).isFalse();
            assertThat(object.hasAhead(53_248, 147_456)).isTrue();
            assertThat(object.hasAhead(53_247, 60_000)).isFalse();
            assertThat(object.hasAhead(147_000, 147_457)).isFalse();
            assertThat(object.hasAhead(290_816, 300_000)).isTrue();
            long noted = object.evictions();
            assertThat(read(object, state, arena, 53_248, 147_456, noted))
                    .isEqualTo(Arrays.copyOfRange(bytes, 53_248, 147_456));

            object.write(state, 0, in(arena, Arrays.copyOf(bytes, 100_000)), 0);
            long allocated = FileAttributes.allocatedBytes(store.partialPath(name, 5));
            object.evict(piece -> Math.min(bytes.length, piece * 100_000L), 1);
            assertThat(object.hasAhead(53_248, 53_249)).isFalse();
            MemorySegment into = arena.allocate(100);
            assertThat(object.read(state, into, 100, 53_248, noted)).isEqualTo(PartialObject.MISSING);
            assertThat(FileAttributes.allocatedBytes(store.partialPath(name, 5)))
                    .isLessThan(allocated - 150_000);

            object.writeAhead(state, in(arena, Arrays.copyOf(bytes, 8192)), 0);
            assertThat(object.hasAhead(0, 8192)).isTrue();
            store.release(name, 5);

            PartialObject other = store.acquire(name, bytes.length, 3, 6);
            long used = store.usedBytes();
            other.writeAhead(state, in(arena, bytes), 0);
            other.writeAhead(state, in(arena, bytes), 0);
            assertThat(other.hasAhead(0, bytes.length)).isTrue();
            assertThat(store.usedBytes() - used).as("counted once").isBetween(300_000L, 320_000L);
            store.release(name, 6);
            assertThat(store.acquire(name, bytes.length, 3, 6).hasAhead(0, 1)).isFalse();
            store.release(name, 6);
        }
    }

    @Test
    void bytesThatComeAheadAndPiecesInAnyOrderMakeTheObject(@TempDir Path root) throws Exception {
        Random random = new Random(7);
        try (ObjectStore store = open(root, "boot")) {
            for (int seed = 0; seed < 30; seed++) {
                byte[] bytes = random(50_000 + random.nextInt(200_000), 100 + seed);
                int pieces = 2 + random.nextInt(4);
                int piece = (bytes.length + pieces - 1) / pieces;
                ObjectName name = name(bytes);
                try (Arena arena = Arena.ofConfined()) {
                    CallState state = new CallState(arena);
                    PartialObject object = store.acquire(name, bytes.length, pieces, 5);
                    while (!object.complete()) {
                        int from = random.nextInt(bytes.length);
                        int to = from + 1 + random.nextInt(Math.min(40_000, bytes.length - from));
                        if (random.nextInt(4) > 0) {
                            object.writeAhead(state, in(arena, Arrays.copyOfRange(bytes, from, to)), from);
                        } else {
                            int which = random.nextInt(pieces);
                            int end = Math.min(bytes.length, (which + 1) * piece);
                            object.write(
                                    state,
                                    which,
                                    in(arena, Arrays.copyOfRange(bytes, which * piece, end)),
                                    (long) which * piece);
                        }
                        if (object.hasAhead(from, to)) {
                            assertThat(read(object, state, arena, from, to, object.evictions()))
                                    .isEqualTo(Arrays.copyOfRange(bytes, from, to));
                        }
                    }
                    store.release(name, 5);
                }
                assertThat(root.resolve("objects").resolve(name.path())).hasBinaryContent(bytes);
            }
            assertThat(root.resolve("partial")).isEmptyDirectory();
        }
    }

    private static byte[] read(PartialObject object, CallState state, Arena arena, int from, int to, long noted) {
        MemorySegment into = arena.allocate(to - from);
        assertThat(object.read(state, into, to - from, from, noted)).isEqualTo(to - from);
        return into.toArray(ValueLayout.JAVA_BYTE);
    }

    @Test
    void afterABootThatDidNotEndWellYoungObjectsAreDroppedAndAfterAGoodOneKept(@TempDir Path root) throws Exception {
        byte[] bytes = random(5000, 2);
        ObjectName name = name(bytes);
        try (Arena arena = Arena.ofConfined()) {
            try (ObjectStore store = open(root, "first")) {
                store.put(new CallState(arena), name, in(arena, bytes));
            }
            try (ObjectStore store = open(root, "second")) {
                assertThat(store.contains(name)).isTrue();
            }
        }
        // As if the power went while "second" ran, before anything was synced.
        Files.writeString(
                root.resolve("meta/synced"), "second " + (System.currentTimeMillis() - 60_000) + " running\n");
        try (ObjectStore store = open(root, "third")) {
            assertThat(store.contains(name)).isFalse();
        }
    }

    @Test
    void theSinkKeepsEqualBytesOnceAndForgetsWhatIsAborted(@TempDir Path root) throws Exception {
        byte[] small = random(100, 3);
        byte[] large = random(3 << 20, 4);
        try (ObjectStore store = open(root, "boot")) {
            ObjectSink sink = store.sink();
            for (byte[] bytes : new byte[][] {small, large, small}) {
                ObjectSink.Writer writer = sink.begin(bytes.length);
                for (int at = 0; at < bytes.length; at += 70_000) {
                    writer.write(ByteBuffer.wrap(bytes, at, Math.min(70_000, bytes.length - at)));
                }
                writer.complete(name(bytes));
            }
            ObjectSink.Writer aborted = sink.begin(4);
            aborted.write(ByteBuffer.wrap(new byte[4]));
            aborted.abort();
            assertThat(store.path(name(small))).hasBinaryContent(small);
            assertThat(store.path(name(large))).hasBinaryContent(large);
        }
        assertThat(root.resolve("partial")).isEmptyDirectory();
    }
}
