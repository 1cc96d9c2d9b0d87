package dev.coldstart.snapshotter.object;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.Errno;
import dev.coldstart.linux.FileAttributes;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.OpenFile;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ObjectSink;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.IntToLongFunction;
import org.jspecify.annotations.Nullable;

/**
 * The objects of one node on disk. A complete object gets its name only when all of its bytes are in the file, by link(2),
 * and never replaces another: equal bytes are kept once, and a mounted overlay goes on seeing the file it found. Nothing
 * is synced one by one; a mark on disk says up to when the whole file system was synced in this boot. After a boot that
 * did not end with {@link #close}, complete objects younger than the mark are dropped, because their bytes may be zeros,
 * and of partial ones only the pieces are believed that were noted as synced.
 */
public final class ObjectStore implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(ObjectStore.class.getName());
    private static final Path BOOT_ID = Path.of("/proc/sys/kernel/random/boot_id");
    private static final long SYNC_SECONDS = 15;
    /** Clocks of the file system tick coarsely. */
    private static final long CLOCK_SLACK_SECONDS = 5;

    /** The name of an evicted file while it is deleted. */
    private static final String GONE = ".gone";

    private final Path objects;
    private final Path partial;
    private final Path mark;
    private final String boot;
    private final Disk disk;
    private final StoreSettings settings;
    private final Room room;
    private final ConcurrentHashMap<Key, PartialObject> open = new ConcurrentHashMap<>();
    /** Objects with pieces that were written since the last sync; each is retained. */
    private final Set<PartialObject> unsynced = ConcurrentHashMap.newKeySet();

    private final AtomicBoolean dirty = new AtomicBoolean();
    private final AtomicLong evictions = new AtomicLong();
    private final List<Thread> threads = new ArrayList<>();
    private volatile @Nullable Source source;
    private volatile boolean closed;

    /** Two layers may have the same object and cut it differently. */
    private record Key(ObjectName name, long cut) {}

    private ObjectStore(Path root, StoreSettings settings, String boot, Disk disk, Room room) {
        this.objects = root.resolve("objects");
        this.partial = root.resolve("partial");
        this.mark = root.resolve("meta").resolve("synced");
        this.settings = settings;
        this.boot = boot;
        this.disk = disk;
        this.room = room;
    }

    /**
     * Opens the store under a directory, which has or gets {@code objects}, {@code partial} and {@code meta}. It lets
     * nothing go until {@link #watch}.
     */
    public static ObjectStore open(Path root, StoreSettings settings) throws IOException {
        Files.createDirectories(root);
        String boot = Files.readString(BOOT_ID).strip();
        return open(root, settings, boot, new Disk(), new Room(root, settings));
    }

    static ObjectStore open(Path root, StoreSettings settings, String boot, Disk disk, Room room) throws IOException {
        ObjectStore store = new ObjectStore(root, settings, boot, disk, room);
        Files.createDirectories(store.partial);
        Files.createDirectories(root.resolve("meta"));
        for (int i = 0; i < 256; i++) {
            Files.createDirectories(store.prefix(i));
        }
        store.dropUnsynced();
        store.dropFinished();
        store.threads.add(Thread.ofVirtual().name("object-sync").start(store::syncNowAndThen));
        return store;
    }

    /**
     * From now on the store stays within its bounds and looks after its bytes.
     *
     * @param from where bytes come from that turn out to be wrong on disk
     */
    public void watch(Retention retention, Source from) {
        source = from;
        threads.add(new Eviction(this, room, retention).start());
        if (settings.scrubDays() > 0) {
            threads.add(new Scrub(this, retention, settings.scrubDays()).start());
        }
    }

    /** Says that pins may have gone, so that what found no room may find some. */
    public void reconsider() {
        room.reconsider();
    }

    /** Says that a write beside the store found no room, for which objects should go. */
    public void refused() {
        room.refused();
    }

    /** Bytes that objects take on disk, as far as they are counted. */
    public long usedBytes() {
        return room.used();
    }

    /** Bytes that objects may take on disk. */
    public long mostBytes() {
        return room.most();
    }

    /** Changes whenever objects may have gone. */
    public long evictions() {
        return evictions.get();
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

    /** Whether a complete object's bytes are those of its name, as far as a name tells; reads all of it. */
    public boolean isSound(CallState state, ObjectName name) throws IOException {
        try (OpenFile file = openComplete(name)) {
            return file != null && Verification.isSound(state, file, name, Long.MAX_VALUE, this::read);
        }
    }

    /**
     * Keeps an object whose bytes were verified. Does nothing if it is here.
     *
     * @return false if there is no room
     */
    public boolean put(CallState state, ObjectName name, MemorySegment bytes) throws IOException {
        if (contains(name)) {
            return true;
        }
        if (!keeps()) {
            return false;
        }
        try (OpenFile file = disk.unnamed(partial, 0444)) {
            disk.write(state, file, bytes, 0);
            name(state, file, name, bytes.byteSize());
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
        if (result[0].isWhole()) {
            finishLeftOver(result[0]);
        }
        return result[0];
    }

    /** A crash may have come between the last piece and the name. */
    private void finishLeftOver(PartialObject object) {
        try (Arena arena = Arena.ofConfined()) {
            object.finishSoon(new CallState(arena));
        } catch (IOException e) {
            warn("object {0} cannot be completed, it stays partial: {1}", object.name(), e);
        }
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
        return new Sink();
    }

    /** What {@link #acquire} takes as {@code cut} for the pieces of a layer that a pass over the blob cut. */
    public static long cut(Digest layer) {
        return Long.parseUnsignedLong(layer.hex().substring(0, 16), 16);
    }

    /** What {@link #acquire} takes as {@code cut} for the pieces of a layer that has this index. */
    public static long cut(LayerIndex index) {
        return cut(index.layer()) + index.scheme();
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

    Path prefix(int i) {
        return objects.resolve(HexFormat.of().toHexDigits((byte) i));
    }

    Disk disk() {
        return disk;
    }

    boolean verifiesAlways() {
        return settings.verify() == StoreSettings.Verify.ALWAYS;
    }

    /** Whether what is fetched is kept. */
    boolean keeps() {
        return room.isOpen();
    }

    void added(long bytes) {
        room.added(bytes);
    }

    void markDirty() {
        dirty.set(true);
    }

    void warn(String message, Object... parameters) {
        LOG.log(System.Logger.Level.WARNING, message, parameters);
    }

    /** Gives a whole file its name, unless an equal one has it. */
    void name(CallState state, OpenFile file, ObjectName name, long size) throws LinuxException {
        if (disk.link(state, file, path(name))) {
            room.added(Room.allocated(size));
            dirty.set(true);
        }
    }

    /**
     * The object if somebody reads it now, to be given back as what {@link #acquire} gave; null if nobody does. Waits for
     * whoever is just about to.
     */
    public @Nullable PartialObject acquireIfOpen(ObjectName name, long cut) {
        return open.computeIfPresent(new Key(name, cut), (key, found) -> {
            found.retain();
            return found;
        });
    }

    /** Notes that pieces were written; the caller has the object acquired. */
    void unsynced(PartialObject object) {
        dirty.set(true);
        if (unsynced.add(object)) {
            var _ = acquireIfOpen(object.name(), object.cut());
        }
    }

    /** Ends what reads through an object when the store is closed. */
    void read(MemorySegment bytes) throws InterruptedIOException {
        if (closed) {
            throw new InterruptedIOException("the store was closed");
        }
    }

    /** Returns false if there is no room: the caller goes on without keeping the bytes. Throws on for any other failure. */
    boolean survive(LinuxException e) throws LinuxException {
        if (e.errno() != Errno.ENOSPC && e.errno() != Errno.EDQUOT) {
            throw e;
        }
        room.refused();
        return false;
    }

    /** Removes a complete object; returns the bytes given back. */
    long evict(ObjectName name) throws IOException {
        return evictFile(path(name));
    }

    private long evictFile(Path path) throws IOException {
        if (closed) {
            throw new InterruptedIOException("the store was closed");
        }
        if (!Files.exists(path)) {
            return 0;
        }
        long bytes = FileAttributes.allocatedBytes(path);
        evictions.incrementAndGet();
        disk.delete(path);
        room.removed(bytes);
        return bytes;
    }

    /**
     * Removes a partial object that nobody reads; returns the bytes given back, or -1 if somebody does: then {@link
     * #evictPieces} remains.
     */
    long evictPartial(ObjectName name, long cut) throws IOException {
        Path path = partialPath(name, cut);
        Path gone = path.resolveSibling(path.getFileName() + GONE);
        IOException[] failure = new IOException[1];
        // Deleting a large file takes long, renaming it does not; who wants the object waits only for the latter.
        PartialObject read = open.computeIfAbsent(new Key(name, cut), key -> {
            try {
                if (Files.exists(path)) {
                    disk.rename(path, gone);
                }
            } catch (IOException e) {
                failure[0] = e;
            }
            return null;
        });
        if (failure[0] != null) {
            throw failure[0];
        }
        return read == null ? evictFile(gone) : -1;
    }

    /** Takes pieces from a partial object that somebody reads; see {@link PartialObject#evict} for the arguments. */
    long evictPieces(ObjectName name, long cut, IntToLongFunction start, long goal) throws IOException {
        PartialObject object = acquireIfOpen(name, cut);
        if (object == null) {
            return Math.max(0, evictPartial(name, cut));
        }
        try {
            evictions.incrementAndGet();
            long bytes = object.evict(start, goal);
            room.removed(bytes);
            return bytes;
        } finally {
            release(name, cut);
        }
    }

    /** The partial objects on disk. */
    List<Path> partials() throws IOException {
        List<Path> all = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(partial)) {
            files.forEach(all::add);
        }
        return all;
    }

    /**
     * Writes the right bytes over the wrong ones of a complete object, in its file: a mounted overlay keeps the file that
     * it found.
     *
     * @throws IOException if they cannot be had; the message says why
     */
    void repair(ObjectName name) throws IOException {
        warn("object {0} has wrong bytes on disk: the device or something else damaged it", name);
        Source from = source;
        if (from == null) {
            throw new IOException("object " + name + " has wrong bytes on disk and there is nowhere to fetch it from");
        }
        try (Arena arena = Arena.ofConfined();
                OpenFile file = disk.forUpdate(path(name))) {
            CallState state = new CallState(arena);
            long[] end = new long[1];
            from.fetch(name, (bytes, offset) -> {
                writeDiffering(state, file, bytes, offset);
                end[0] = Math.max(end[0], offset + bytes.byteSize());
            });
            if (Files.size(path(name)) != end[0]) {
                disk.truncate(state, file, end[0]);
            }
            disk.sync(state, file);
            if (!Verification.isSound(state, file, name, Long.MAX_VALUE, this::read)) {
                throw new IOException("object " + name + " has wrong bytes on disk also after they were replaced");
            }
            LOG.log(System.Logger.Level.INFO, "object {0} was repaired", name);
        }
    }

    private void writeDiffering(CallState state, OpenFile file, MemorySegment bytes, long offset) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment present = arena.allocate(bytes.byteSize());
            long n = file.read(state, present, bytes.byteSize(), offset);
            if (n != bytes.byteSize() || present.mismatch(bytes) >= 0) {
                disk.write(state, file, bytes, offset);
            }
        }
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
                } catch (IOException e) {
                    dirty.set(true);
                    LOG.log(System.Logger.Level.WARNING, "cannot sync {0}: {1}", objects, e.getMessage());
                }
            }
        }
    }

    private record Written(PartialObject object, long evictions, BitSet pieces) {}

    /** What was written before this began is on disk when it ends, and noted as being there. */
    void sync(boolean clean) throws IOException {
        List<Written> written = new ArrayList<>();
        for (PartialObject object : List.copyOf(unsynced)) {
            unsynced.remove(object);
            written.add(new Written(object, object.evictions(), object.present()));
        }
        try (Arena arena = Arena.ofConfined()) {
            CallState state = new CallState(arena);
            long before = System.currentTimeMillis();
            disk.syncFileSystem(objects);
            for (Written one : written) {
                one.object().synced(state, one.pieces(), one.evictions());
            }
            writeMark(before, clean);
        } finally {
            written.forEach(one -> release(one.object().name(), one.object().cut()));
        }
    }

    private void writeMark(long millis, boolean clean) throws IOException {
        disk.replace(mark, boot + " " + millis + " " + (clean ? "clean" : "running") + "\n");
    }

    /** After a boot that did not end well: what was not synced goes. Nothing of ours is mounted yet. */
    private void dropUnsynced() throws IOException {
        if (!Files.exists(mark)) {
            writeMark(System.currentTimeMillis(), false);
            return;
        }
        List<String> words = List.of(
                Files.readString(mark, StandardCharsets.US_ASCII).strip().split(" "));
        if (words.size() == 3 && words.get(2).equals("clean")) {
            writeMark(System.currentTimeMillis(), false);
            return;
        }
        if (words.size() == 3 && words.get(0).equals(boot)) {
            // What a predecessor wrote after the mark is not synced yet, so the mark stays as it is.
            dirty.set(true);
            return;
        }
        long synced;
        try {
            synced = words.size() == 3 ? Long.parseLong(words.get(1)) : 0;
        } catch (NumberFormatException e) {
            synced = 0;
        }
        FileTime limit = FileTime.fromMillis(synced - TimeUnit.SECONDS.toMillis(CLOCK_SLACK_SECONDS));
        int dropped = 0;
        for (int i = 0; i < 256; i++) {
            dropped += dropNewer(prefix(i), limit);
        }
        for (Path file : partials()) {
            String name = file.getFileName().toString();
            // The time of a file says nothing of the order in which its bytes and bits came to the device.
            if (name.matches("[0-9a-f]{64}\\.[0-9a-f]{16}")
                    && !PartialObject.believeSyncedOnly(disk, file, Long.parseUnsignedLong(name.substring(65), 16))) {
                disk.delete(file);
                dropped++;
            }
        }
        // Before a mark that vouches for what is left.
        long now = System.currentTimeMillis();
        disk.syncFileSystem(objects);
        writeMark(now, false);
        LOG.log(
                System.Logger.Level.WARNING,
                "this host did not shut down cleanly: {0} objects that were not yet on disk are dropped and will be fetched again",
                dropped);
    }

    /** A crash between naming a complete object and forgetting its partial name leaves both. */
    private void dropFinished() throws IOException {
        for (Path file : partials()) {
            String name = file.getFileName().toString();
            int dot = name.indexOf('.');
            try {
                if (name.endsWith(GONE) || (dot > 0 && contains(ObjectName.parse(name.substring(0, dot))))) {
                    disk.delete(file);
                }
            } catch (IllegalArgumentException e) {
                LOG.log(System.Logger.Level.WARNING, "{0} is not ours and is left alone", file);
            }
        }
    }

    private int dropNewer(Path directory, FileTime limit) throws IOException {
        int dropped = 0;
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory)) {
            for (Path file : files) {
                if (((FileTime) Files.getAttribute(file, "unix:ctime")).compareTo(limit) > 0) {
                    disk.delete(file);
                    dropped++;
                }
            }
        }
        return dropped;
    }

    @Override
    public void close() throws IOException {
        closed = true;
        threads.forEach(Thread::interrupt);
        try {
            for (Thread thread : threads) {
                thread.join();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        sync(true);
    }

    /** Passes objects to disk one after the other, through one buffer: a small object is written once, when it is whole. */
    private final class Sink implements ObjectSink {
        private static final int BUFFER = 1 << 20;

        // A sink has no end of its own: the collector frees what it has.
        private final Arena arena = Arena.ofAuto();
        private final CallState state = new CallState(arena);
        private final MemorySegment buffer = arena.allocate(BUFFER);

        @Override
        public Writer begin(long size) {
            return new SinkWriter(state, buffer);
        }
    }

    /** One object on its way through a sink. */
    private final class SinkWriter implements ObjectSink.Writer {
        private final CallState state;
        private final MemorySegment buffer;
        private @Nullable OpenFile file;
        private long buffered;
        private long offset;
        private boolean dropping = !keeps();

        SinkWriter(CallState state, MemorySegment buffer) {
            this.state = state;
            this.buffer = buffer;
        }

        @Override
        public void write(ByteBuffer bytes) throws IOException {
            MemorySegment from = MemorySegment.ofBuffer(bytes);
            bytes.position(bytes.limit());
            long done = 0;
            while (!dropping && done < from.byteSize()) {
                if (buffered == buffer.byteSize()) {
                    flush();
                }
                long length = Math.min(from.byteSize() - done, buffer.byteSize() - buffered);
                MemorySegment.copy(from, done, buffer, buffered, length);
                buffered += length;
                done += length;
            }
        }

        private void flush() throws IOException {
            try {
                if (file == null) {
                    file = disk.unnamed(partial, 0444);
                }
                disk.write(state, file, buffer.asSlice(0, buffered), offset);
                offset += buffered;
                buffered = 0;
            } catch (LinuxException e) {
                dropping = !survive(e);
            }
        }

        @Override
        public void complete(ObjectName name) throws IOException {
            try {
                if (dropping || contains(name)) {
                    return;
                }
                flush();
                OpenFile whole = file;
                if (!dropping && whole != null) {
                    name(state, whole, name, offset);
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
        }
    }
}
