package dev.coldstart.snapshotter.object;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ObjectSink;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
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
