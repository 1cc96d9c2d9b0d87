package dev.coldstart.snapshotter.object;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.Errno;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.OpenFile;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ObjectSink;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.util.BitSet;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * The objects of one node on disk. A complete object gets its name only when all of its bytes are in the file, by link(2),
 * and never replaces another: equal bytes are kept once, and a mounted overlay goes on seeing the file it found. Nothing
 * is synced one by one; a mark on disk says up to when the whole file system was synced in this boot, and after a boot
 * that did not end with {@link #close} what is younger than the mark is dropped, because its bytes may be zeros.
 */
public final class ObjectStore implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(ObjectStore.class.getName());
    private static final Path BOOT_ID = Path.of("/proc/sys/kernel/random/boot_id");
    private static final long SYNC_SECONDS = 15;
    /** Clocks of the file system tick coarsely. */
    private static final long CLOCK_SLACK_SECONDS = 5;

    private final Path objects;
    private final Path partial;
    private final Path mark;
    private final String boot;
    private final ConcurrentHashMap<Key, PartialObject> open = new ConcurrentHashMap<>();
    private final AtomicBoolean full = new AtomicBoolean();
    private final AtomicBoolean dirty = new AtomicBoolean();
    private final Thread syncer;
    private volatile boolean closed;

    /** Two layers may have the same object and cut it differently. */
    private record Key(ObjectName name, long cut) {}

    private ObjectStore(Path root, String boot) {
        this.objects = root.resolve("objects");
        this.partial = root.resolve("partial");
        this.mark = root.resolve("meta").resolve("synced");
        this.boot = boot;
        this.syncer = Thread.ofVirtual().name("object-sync").unstarted(this::syncNowAndThen);
    }

    /** Opens the store under a directory, which has or gets {@code objects}, {@code partial} and {@code meta}. */
    public static ObjectStore open(Path root) throws IOException {
        return open(root, Files.readString(BOOT_ID).strip());
    }

    static ObjectStore open(Path root, String boot) throws IOException {
        ObjectStore store = new ObjectStore(root, boot);
        Files.createDirectories(store.partial);
        Files.createDirectories(root.resolve("meta"));
        for (int i = 0; i < 256; i++) {
            Files.createDirectories(store.objects.resolve(String.format("%02x", i)));
        }
        store.dropUnsynced();
        store.dropFinished();
        store.writeMark(System.currentTimeMillis(), false);
        store.syncer.start();
        return store;
    }

    /** The directory that is this tier's lower layer. */
    public Path directory() {
        return objects;
    }

    /** Whether all bytes of the object are here. */
    public boolean contains(ObjectName name) {
        return Files.exists(path(name));
    }

    /** The complete object's file; null if the object is not complete here. */
    public @Nullable OpenFile openComplete(ObjectName name) throws LinuxException {
        try {
            return OpenFile.forReading(path(name));
        } catch (LinuxException e) {
            if (e.errno() == Errno.ENOENT) {
                return null;
            }
            throw e;
        }
    }

    /**
     * Keeps an object whose bytes were verified. Does nothing if it is here.
     *
     * @return false if there is no room
     */
    public boolean put(CallState state, ObjectName name, MemorySegment bytes) throws IOException {
        Path path = path(name);
        if (Files.exists(path)) {
            return true;
        }
        try (OpenFile file = OpenFile.unnamed(partial, 0444)) {
            file.write(state, bytes, 0);
            var _ = file.link(state, path);
            dirty.set(true);
            return true;
        } catch (LinuxException e) {
            return survive(e);
        }
    }

    /**
     * The object as it comes in piece by piece, shared by all who ask until the last of them releases it.
     *
     * @param size bytes of the object
     * @param pieces number of pieces, numbered from 0; how an object is cut must not change while this process runs
     * @param cut tells two ways of cutting the object apart
     */
    public PartialObject acquire(ObjectName name, long size, int pieces, long cut) {
        PartialObject[] result = new PartialObject[1];
        open.compute(new Key(name, cut), (key, found) -> {
            PartialObject object = found == null ? new PartialObject(this, name, size, pieces, cut) : found;
            object.retain();
            result[0] = object;
            return object;
        });
        return result[0];
    }

    /** Gives back what {@link #acquire} gave. */
    public void release(ObjectName name, long cut) {
        open.computeIfPresent(new Key(name, cut), (key, object) -> {
            if (!object.unretain()) {
                return object;
            }
            object.closeFile();
            return null;
        });
    }

    /**
     * Which pieces of an object that is not complete are here, by what lies on disk; see {@link #acquire} for the
     * arguments.
     */
    public BitSet presentPieces(ObjectName name, long size, int pieces, long cut) {
        if (!Files.exists(partialPath(name, cut))) {
            return new BitSet();
        }
        PartialObject object = acquire(name, size, pieces, cut);
        try {
            return object.present();
        } finally {
            release(name, cut);
        }
    }

    /** Whether somebody reads the object now and it may be on its way. */
    public boolean isOpen(ObjectName name, long cut) {
        return open.containsKey(new Key(name, cut));
    }

    /** A sink that keeps every object of a layer while it is indexed; without room it goes on without keeping. */
    public ObjectSink sink() {
        return size -> new SinkWriter();
    }

    Path path(ObjectName name) {
        return objects.resolve(name.path());
    }

    Path partialPath(ObjectName name, long cut) {
        return partial.resolve(name.hex() + "." + HexFormat.of().toHexDigits(cut));
    }

    Path partialDirectory() {
        return partial;
    }

    void markDirty() {
        dirty.set(true);
    }

    /** Returns false if there is no room: the caller goes on without keeping the bytes. Throws on for any other failure. */
    boolean survive(LinuxException e) throws LinuxException {
        if (e.errno() != Errno.ENOSPC) {
            throw e;
        }
        if (full.compareAndSet(false, true)) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "no space left on {0}: images are served from the registry without being kept; free some space",
                    objects);
        }
        return false;
    }

    private void syncNowAndThen() {
        while (!closed) {
            try {
                TimeUnit.SECONDS.sleep(SYNC_SECONDS);
            } catch (InterruptedException e) {
                return;
            }
            if (dirty.getAndSet(false)) {
                try {
                    sync(false);
                    full.set(false);
                } catch (IOException e) {
                    dirty.set(true);
                    LOG.log(System.Logger.Level.WARNING, "cannot sync {0}: {1}", objects, e.getMessage());
                }
            }
        }
    }

    private void sync(boolean clean) throws IOException {
        long before = System.currentTimeMillis();
        try (Arena arena = Arena.ofConfined();
                OpenFile directory = OpenFile.forReading(objects)) {
            directory.syncFileSystem(new CallState(arena));
        }
        writeMark(before, clean);
    }

    private void writeMark(long millis, boolean clean) throws IOException {
        Path fresh = mark.resolveSibling("synced.new");
        try (FileChannel channel = FileChannel.open(
                fresh, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            String text = boot + " " + millis + " " + (clean ? "clean" : "running") + "\n";
            ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.US_ASCII));
            while (bytes.hasRemaining()) {
                var _ = channel.write(bytes);
            }
            channel.force(true);
        }
        Files.move(fresh, mark, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    /** After a boot that did not end well: what was not synced goes. Nothing of ours is mounted yet. */
    private void dropUnsynced() throws IOException {
        if (!Files.exists(mark)) {
            return;
        }
        List<String> words = List.of(
                Files.readString(mark, StandardCharsets.US_ASCII).strip().split(" "));
        if (words.size() == 3 && (words.get(0).equals(boot) || words.get(2).equals("clean"))) {
            return;
        }
        long synced;
        try {
            synced = words.size() == 3 ? Long.parseLong(words.get(1)) : 0;
        } catch (NumberFormatException e) {
            synced = 0;
        }
        FileTime limit = FileTime.fromMillis(synced - TimeUnit.SECONDS.toMillis(CLOCK_SLACK_SECONDS));
        int dropped = dropNewer(partial, limit);
        for (int i = 0; i < 256; i++) {
            dropped += dropNewer(objects.resolve(String.format("%02x", i)), limit);
        }
        LOG.log(
                System.Logger.Level.WARNING,
                "this host did not shut down cleanly: {0} objects that were not yet on disk are dropped and will be fetched again",
                dropped);
    }

    /** A crash between naming a complete object and forgetting its partial name leaves both. */
    private void dropFinished() throws IOException {
        try (DirectoryStream<Path> files = Files.newDirectoryStream(partial)) {
            for (Path file : files) {
                String name = file.getFileName().toString();
                int dot = name.indexOf('.');
                try {
                    if (dot > 0 && contains(ObjectName.parse(name.substring(0, dot)))) {
                        Files.delete(file);
                    }
                } catch (IllegalArgumentException e) {
                    LOG.log(System.Logger.Level.WARNING, "{0} is not ours and is left alone", file);
                }
            }
        }
    }

    private static int dropNewer(Path directory, FileTime limit) throws IOException {
        int dropped = 0;
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory)) {
            for (Path file : files) {
                if (((FileTime) Files.getAttribute(file, "unix:ctime")).compareTo(limit) > 0) {
                    Files.delete(file);
                    dropped++;
                }
            }
        }
        return dropped;
    }

    @Override
    public void close() throws IOException {
        closed = true;
        syncer.interrupt();
        sync(true);
    }

    /** Collects small objects in memory and large ones in a file without a name. */
    private final class SinkWriter implements ObjectSink.Writer {
        private static final int IN_MEMORY = 1 << 20;

        private final Arena arena = Arena.ofConfined();
        private final CallState state = new CallState(arena);
        private @Nullable OpenFile file;
        private byte[] small = new byte[0];
        private int count;
        private long offset;
        private boolean dropping;

        @Override
        public void write(ByteBuffer bytes) throws IOException {
            if (dropping) {
                bytes.position(bytes.limit());
                return;
            }
            int n = bytes.remaining();
            if (file == null && count + n <= IN_MEMORY) {
                if (small.length < count + n) {
                    small = java.util.Arrays.copyOf(small, Math.max(count + n, Math.min(IN_MEMORY, 2 * small.length)));
                }
                bytes.get(small, count, n);
                count += n;
                return;
            }
            flush();
            if (!dropping) {
                append(bytes);
            }
            bytes.position(bytes.limit());
        }

        private void flush() throws IOException {
            if (count > 0) {
                ByteBuffer head = ByteBuffer.wrap(small, 0, count);
                count = 0;
                append(head);
            }
        }

        private void append(ByteBuffer bytes) throws IOException {
            try (Arena buffer = Arena.ofConfined()) {
                if (file == null) {
                    file = OpenFile.unnamed(partial, 0444);
                }
                MemorySegment segment;
                if (bytes.isDirect()) {
                    segment = MemorySegment.ofBuffer(bytes);
                } else {
                    segment = buffer.allocate(bytes.remaining());
                    segment.copyFrom(MemorySegment.ofBuffer(bytes));
                }
                file.write(state, segment, offset);
                offset += segment.byteSize();
            } catch (LinuxException e) {
                dropping = !survive(e);
            }
        }

        @Override
        public void complete(ObjectName name) throws IOException {
            try {
                if (contains(name)) {
                    return;
                }
                flush();
                OpenFile whole = file;
                if (!dropping && whole != null) {
                    var _ = whole.link(state, path(name));
                    dirty.set(true);
                }
            } catch (LinuxException e) {
                var _ = survive(e);
            } finally {
                abort();
            }
        }

        @Override
        public void abort() {
            if (file != null) {
                file.close();
                file = null;
            }
            arena.close();
        }
    }
}
