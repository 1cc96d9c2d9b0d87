package dev.coldstart.snapshotter.object;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.OpenFile;
import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ObjectSink;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.IntToLongFunction;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A life of the store is recorded, change by change, and lived again up to every point, also into the middle of each
 * write. Then the store is opened: what it says it has must be right.
 */
class CrashTest {
    private static final int PIECE = 50_000;
    private static final int PIECES = 6;
    private static final StoreSettings SETTINGS =
            new StoreSettings(new Size(100, Size.Unit.PERCENT), Size.ZERO, 0, StoreSettings.Verify.ONCE, 0);

    /** A change of the disk; a file is known by a number, a name relative to the store's root. */
    private sealed interface Change {
        record Open(int file, String name) implements Change {}

        @SuppressWarnings("ArrayRecordComponent") // Never compared.
        record Write(int file, byte[] bytes, long offset) implements Change {}

        record Truncate(int file, long length) implements Change {}

        record Punch(int file, long offset, long length) implements Change {}

        record Link(int file, String name) implements Change {}

        record Rename(String from, String to) implements Change {}

        record Delete(String name) implements Change {}

        record Replace(String name, String text) implements Change {}

        record Sync(int file) implements Change {}

        record SyncAll() implements Change {}
    }

    /** Spares the machine's disk what the test does not look at. */
    private static final class Hasty extends Disk {
        @Override
        void syncFileSystem(Path path) {}

        @Override
        void replace(Path file, String text) throws IOException {
            Files.writeString(file, text);
        }
    }

    /** Does what it is told, and writes it down. */
    private static final class Recorder extends Disk {
        final List<Change> log = new ArrayList<>();
        private final Path root;
        private final Map<OpenFile, Integer> numbers = new HashMap<>();
        private final Map<String, Integer> names = new HashMap<>();

        Recorder(Path root) {
            this.root = root;
        }

        private String name(Path path) {
            return root.relativize(path).toString();
        }

        private int number(OpenFile file) {
            return numbers.computeIfAbsent(file, key -> numbers.size() + 1);
        }

        @Override
        OpenFile unnamed(Path directory, int mode) throws LinuxException {
            OpenFile file = super.unnamed(directory, mode);
            log.add(new Change.Open(number(file), ""));
            return file;
        }

        @Override
        OpenFile forUpdate(Path path) throws LinuxException {
            OpenFile file = super.forUpdate(path);
            log.add(new Change.Open(number(file), name(path)));
            return file;
        }

        @Override
        void write(CallState state, OpenFile file, MemorySegment bytes, long offset) throws LinuxException {
            super.write(state, file, bytes, offset);
            log.add(new Change.Write(number(file), bytes.toArray(ValueLayout.JAVA_BYTE), offset));
        }

        @Override
        void truncate(CallState state, OpenFile file, long length) throws LinuxException {
            super.truncate(state, file, length);
            log.add(new Change.Truncate(number(file), length));
        }

        @Override
        void punchHole(CallState state, OpenFile file, long offset, long length) throws LinuxException {
            super.punchHole(state, file, offset, length);
            log.add(new Change.Punch(number(file), offset, length));
        }

        @Override
        void sync(CallState state, OpenFile file) throws LinuxException {
            super.sync(state, file);
            log.add(new Change.Sync(number(file)));
        }

        @Override
        boolean link(CallState state, OpenFile file, Path name) throws LinuxException {
            boolean linked = super.link(state, file, name);
            if (linked) {
                names.put(name(name), number(file));
                log.add(new Change.Link(number(file), name(name)));
            }
            return linked;
        }

        @Override
        void rename(Path from, Path to) throws IOException {
            super.rename(from, to);
            if (!to.endsWith("synced")) {
                log.add(new Change.Rename(name(from), name(to)));
            }
        }

        @Override
        void delete(Path path) throws IOException {
            super.delete(path);
            log.add(new Change.Delete(name(path)));
        }

        @Override
        void syncFileSystem(Path path) throws LinuxException {
            super.syncFileSystem(path);
            log.add(new Change.SyncAll());
        }

        @Override
        void replace(Path file, String text) throws IOException {
            super.replace(file, text);
            log.add(new Change.Replace(name(file), text));
        }
    }

    /** Bytes of the objects by name. */
    private final Map<ObjectName, byte[]> objects = new HashMap<>();

    private final ObjectName large = object(PIECES * PIECE - 7, 1);
    private final ObjectName second = object(PIECES * PIECE - 4000, 2);

    private ObjectName object(int size, long seed) {
        byte[] bytes = new byte[size];
        new Random(seed).nextBytes(bytes);
        for (int i = 0; i < size; i++) {
            bytes[i] |= 1;
        }
        ObjectName name = ObjectName.of(TestLayer.sha256(bytes).bytes());
        objects.put(name, bytes);
        return name;
    }

    private byte[] bytes(ObjectName name) {
        return objects.getOrDefault(name, new byte[0]);
    }

    private static ObjectStore open(Path root, String boot, Disk disk) throws IOException {
        return ObjectStore.open(root, SETTINGS, boot, disk, new Room(root, SETTINGS));
    }

    private void write(ObjectStore store, CallState state, ObjectName name, int... pieces) throws IOException {
        PartialObject object = store.acquire(name, bytes(name).length, PIECES, 3);
        for (int piece : pieces) {
            try (Arena arena = Arena.ofConfined()) {
                byte[] part = Arrays.copyOfRange(
                        bytes(name), piece * PIECE, Math.min(bytes(name).length, (piece + 1) * PIECE));
                object.write(
                        state,
                        piece,
                        arena.allocate(part.length).copyFrom(MemorySegment.ofArray(part)),
                        (long) piece * PIECE);
            }
        }
        store.release(name, 3);
    }

    /** All kinds of changes that the store makes. */
    private List<Change> live(Path root) throws Exception {
        ObjectName small = object(5000, 3);
        ObjectName later = object(7000, 4);
        ObjectName sunk = object(2_000_000, 5);
        IntToLongFunction starts = piece -> Math.min((long) piece * PIECE, bytes(second).length);
        Recorder disk = new Recorder(root);
        try (Arena arena = Arena.ofConfined()) {
            CallState state = new CallState(arena);
            ObjectStore store = open(root, "boot", disk);
            PartialObject held = store.acquire(second, bytes(second).length, PIECES, 3);
            store.put(state, small, arena.allocate(5000).copyFrom(MemorySegment.ofArray(bytes(small))));
            write(store, state, large, 0, 3);
            write(store, state, second, 5, 1, 2);
            store.sync(false);
            write(store, state, large, 1, 4);
            write(store, state, second, 0);
            store.put(state, later, arena.allocate(7000).copyFrom(MemorySegment.ofArray(bytes(later))));
            assertThat(store.evictPieces(second, 3, starts, PIECE + 1)).isPositive();
            write(store, state, second, 1);
            store.sync(false);
            ObjectSink.Writer sink = store.sink().begin(2_000_000);
            sink.write(ByteBuffer.wrap(bytes(sunk)));
            sink.complete(sunk);
            write(store, state, large, 5, 2);
            assertThat(store.contains(large)).isTrue();
            assertThat(store.evict(small)).isPositive();
            store.release(second, 3);
            assertThat(held.has(1)).isTrue();
            store.sync(false);
            assertThat(store.evictPartial(second, 3)).isPositive();
            write(store, state, second, 3);
            store.close();
        }
        return disk.log;
    }

    private static Path made(Path root) throws IOException {
        for (int i = 0; i < 256; i++) {
            Files.createDirectories(root.resolve("objects").resolve(String.format("%02x", i)));
        }
        Files.createDirectories(root.resolve("partial"));
        Files.createDirectories(root.resolve("meta"));
        return root;
    }

    /** Takes all files away and leaves the directories, which cost the most to make. */
    private static Path cleared(Path root) throws IOException {
        try (Stream<Path> files = Files.walk(root)) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                Files.delete(file);
            }
        }
        return root;
    }

    /** Lives changes again, on files of a directory; unnamed files have names elsewhere. */
    private static final class Replay {
        private final Path root;
        private final Path files;
        private final Map<Integer, Path> paths = new HashMap<>();

        Replay(Path root, Path files) {
            this.root = root;
            this.files = files;
        }

        void change(Change change) throws IOException {
            switch (change) {
                case Change.Open(int file, String name) -> {
                    Path path = files.resolve(Integer.toString(file));
                    if (name.isEmpty()) {
                        Files.createFile(path);
                    } else if (Files.exists(root.resolve(name))) {
                        Files.createLink(path, root.resolve(name));
                    } else {
                        return;
                    }
                    paths.put(file, path);
                }
                case Change.Write(int file, byte[] bytes, long offset) -> write(file, bytes, offset);
                case Change.Truncate(int file, long length) -> {
                    try (RandomAccessFile open = open(file)) {
                        open.setLength(length);
                    }
                }
                case Change.Punch(int file, long offset, long length) -> write(file, new byte[(int) length], offset);
                case Change.Link(int file, String name) ->
                    Files.createLink(root.resolve(name), files.resolve(Integer.toString(file)));
                case Change.Rename(String from, String to) ->
                    Files.move(
                            root.resolve(from),
                            root.resolve(to),
                            StandardCopyOption.ATOMIC_MOVE,
                            StandardCopyOption.REPLACE_EXISTING);
                case Change.Delete(String name) -> Files.deleteIfExists(root.resolve(name));
                case Change.Replace(String name, String text) -> Files.writeString(root.resolve(name), text);
                case Change.Sync _, Change.SyncAll _ -> {}
            }
        }

        void write(int file, byte[] bytes, long offset) throws IOException {
            try (RandomAccessFile open = open(file)) {
                open.seek(offset);
                open.write(bytes);
            }
        }

        private RandomAccessFile open(int file) throws IOException {
            return new RandomAccessFile(files.resolve(Integer.toString(file)).toFile(), "rw");
        }
    }

    /** Every byte that the store says it has is right. */
    private int check(Path root, String boot, String when) throws Exception {
        int here = 0;
        try (ObjectStore store = open(root, boot, new Hasty());
                Arena arena = Arena.ofConfined()) {
            CallState state = new CallState(arena);
            for (Map.Entry<ObjectName, byte[]> object : objects.entrySet()) {
                ObjectName name = object.getKey();
                byte[] bytes = object.getValue();
                if (store.contains(name)) {
                    assertThat(store.path(name)).as(when).hasBinaryContent(bytes);
                    here += PIECES;
                } else if (name.equals(large) || name.equals(second)) {
                    PartialObject partial = store.acquire(name, bytes.length, PIECES, 3);
                    for (int piece = 0; piece < PIECES; piece++) {
                        int length = Math.min(PIECE, bytes.length - piece * PIECE);
                        MemorySegment into = arena.allocate(length);
                        if (partial.has(piece)) {
                            assertThat(partial.read(state, into, length, (long) piece * PIECE, partial.evictions()))
                                    .isEqualTo(length);
                            assertThat(into.toArray(ValueLayout.JAVA_BYTE))
                                    .as(when)
                                    .isEqualTo(Arrays.copyOfRange(bytes, piece * PIECE, piece * PIECE + length));
                            here++;
                        }
                    }
                    store.release(name, 3);
                }
            }
        }
        Set<String> names = new HashSet<>();
        try (DirectoryStream<Path> left = Files.newDirectoryStream(root.resolve("partial"))) {
            left.forEach(path -> names.add(path.getFileName().toString()));
        }
        assertThat(names).as(when).allMatch(name -> name.matches("[0-9a-f]{64}\\.[0-9a-f]{16}"));
        return here;
    }

    @Test
    void aProcessThatEndsBetweenAnyTwoChangesOrInsideAWriteLeavesNothingWrong(@TempDir Path dir) throws Exception {
        List<Change> log = live(Files.createDirectory(dir.resolve("life")));
        assertThat(log).hasSizeGreaterThan(40);
        int here = 0;
        Path made = made(dir.resolve("again"));
        Path files = Files.createDirectory(dir.resolve("files"));
        for (int cut = 0; cut <= log.size(); cut++) {
            for (boolean inside : cut < log.size() && log.get(cut) instanceof Change.Write
                    ? new boolean[] {false, true}
                    : new boolean[] {false}) {
                Path root = cleared(made);
                Replay replay = new Replay(root, cleared(files));
                for (Change change : log.subList(0, cut)) {
                    replay.change(change);
                }
                if (inside && log.get(cut) instanceof Change.Write(int file, byte[] bytes, long offset)) {
                    replay.write(file, Arrays.copyOf(bytes, bytes.length / 2), offset);
                }
                here += check(root, "boot", "cut before change " + cut + (inside ? ", half of it done" : ""));
            }
        }
        assertThat(here).isGreaterThan(log.size());
    }

    @Test
    void afterAPowerLossNothingIsBelievedThatWasNotSynced(@TempDir Path dir) throws Exception {
        List<Change> log = live(Files.createDirectory(dir.resolve("life")));
        long seed = System.nanoTime();
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        int here = 0;
        Path made = made(dir.resolve("again"));
        Path files = Files.createDirectory(dir.resolve("files"));
        for (int cut = 1; cut <= log.size(); cut++) {
            Path root = cleared(made);
            Replay replay = new Replay(root, cleared(files));
            int synced = cut;
            while (synced > 0 && !(log.get(synced - 1) instanceof Change.SyncAll)) {
                synced--;
            }
            for (Change change : log.subList(0, synced)) {
                replay.change(change);
            }
            // Files get their times now: those of what was synced must be older than the mark, the others younger.
            Thread.sleep(10);
            String mark = "boot " + (System.currentTimeMillis() + 5000) + " running\n";
            Thread.sleep(10);
            lose(log.subList(synced, cut), replay, random);
            if (Files.exists(root.resolve("meta/synced"))) {
                Files.writeString(root.resolve("meta/synced"), mark);
            }
            here += check(root, "other boot", "power lost before change " + cut + ", seed " + seed);
        }
        assertThat(here).isGreaterThan(log.size());
    }

    /**
     * Of changes that were not synced the device has some: names and lengths in their order up to some point, as a
     * journal keeps them, of written bytes any subset, and what one file's fsync vouches for.
     */
    private static void lose(List<Change> changes, Replay replay, Random random) throws IOException {
        int journal = random.nextInt(changes.size() + 1);
        Map<Integer, Integer> fsynced = new HashMap<>();
        for (int i = 0; i < changes.size(); i++) {
            if (changes.get(i) instanceof Change.Sync(int file)) {
                fsynced.put(file, i);
                // A journal that has this has what came before.
                journal = Math.max(journal, i);
            }
        }
        Set<Integer> known = new HashSet<>();
        for (int i = 0; i < changes.size(); i++) {
            Change change = changes.get(i);
            @Nullable Integer file = change instanceof Change.Write(int number, byte[] _, long _) ? number : null;
            if (file != null) {
                boolean kept = i < fsynced.getOrDefault(file, -1) || random.nextBoolean();
                if (kept && (known.contains(file) || Files.exists(replay.files.resolve(file.toString())))) {
                    replay.change(change);
                }
            } else if (change instanceof Change.Open(int number, String _)) {
                known.add(number);
                replay.change(change);
            } else if (i < journal || change instanceof Change.Replace) {
                replay.change(change);
            }
        }
    }
}
