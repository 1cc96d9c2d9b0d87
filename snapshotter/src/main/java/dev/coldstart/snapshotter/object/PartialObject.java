package dev.coldstart.snapshotter.object;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.OpenFile;
import dev.coldstart.snapshotter.layer.ObjectName;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntToLongFunction;
import org.jspecify.annotations.Nullable;

/**
 * An object that somebody reads, complete or not. While it is not, its bytes lie in a sparse file, followed, at the next
 * multiple of 4096, by two maps of one bit for each piece (in words of 64, little-endian), {@code cut} (u64) and the
 * number of pieces (u64). A bit of the first map is set after the piece's bytes were written, a bit of the second after
 * they were synced: after a power loss only the second is believed. With the last piece, and if its SHA-256 is its name,
 * it is cut to its size and becomes a complete object.
 *
 * <p>Bytes may also come ahead of their pieces, in whole blocks ({@link #writeAhead}). Only this process knows of them, as long
 * as the object stays open; to the file they are parts of pieces that are not there yet.
 *
 * <p>Pieces may be evicted while somebody reads: their bits go first, then the count of evictions changes, and then their
 * bytes. Who reads notes the count before it looks at the bits, and {@link #read} compares.
 */
public final class PartialObject {
    /** What {@link #read} answers if bytes were evicted meanwhile: to be fetched again. */
    public static final long MISSING = Long.MIN_VALUE;

    /** Bytes that come ahead of their piece come in blocks of so many. */
    public static final int BLOCK = 4096;

    private static final long ALIGN = 4096;
    private static final int FOOT = 16;
    /** A larger object is verified by a thread of its own: its reader does not wait for it. */
    private static final long VERIFIED_AT_ONCE = 8 << 20;

    private final ObjectStore store;
    private final ObjectName name;
    private final long size;
    private final int pieces;
    private final long cut;
    private final AtomicLongArray map;
    /** Guarded by the lock. */
    private final long[] synced;

    /** One bit for each block that came ahead; null if none did. Taken away, under the lock, before any byte is. */
    private volatile @Nullable AtomicLongArray ahead;

    private final ReentrantLock lock = new ReentrantLock();
    private final AtomicBoolean finishing = new AtomicBoolean();
    /** Odd while an eviction is at work; then nothing is written. */
    private final AtomicLong evictions = new AtomicLong();
    /** Set before the first bit, and before {@link #complete}. */
    private volatile @Nullable OpenFile file;

    private volatile boolean complete;
    /** The file has every byte, but is believed only once it was read through. */
    private volatile boolean unverified;

    private final ReentrantLock verifying = new ReentrantLock();
    /** Guarded by the store's table. */
    private int users;

    PartialObject(ObjectStore store, ObjectName name, long size, int pieces, long cut) {
        this.store = store;
        this.name = name;
        this.size = size;
        this.pieces = pieces;
        this.cut = cut;
        this.map = new AtomicLongArray((pieces + 63) / 64);
        this.synced = new long[map.length()];
        try {
            load();
        } catch (IOException e) {
            // What cannot be read back is fetched again.
            file = null;
        }
    }

    private void load() throws IOException {
        OpenFile whole = store.openComplete(name);
        if (whole != null) {
            file = whole;
            unverified = store.verifiesAlways();
            complete = !unverified;
            return;
        }
        Path path = path();
        if (pieces == 1 || !Files.exists(path)) {
            return;
        }
        OpenFile found = store.disk().forUpdate(path);
        try (Arena arena = Arena.ofConfined()) {
            CallState state = new CallState(arena);
            MemorySegment trailer = arena.allocate(trailerBytes(), 8);
            long n = found.read(state, trailer, trailer.byteSize(), trailerAt());
            if (n == trailer.byteSize()
                    && trailer.get(ValueLayout.JAVA_LONG, n - FOOT) == cut
                    && trailer.get(ValueLayout.JAVA_LONG, n - FOOT + 8) == pieces) {
                for (int i = 0; i < map.length(); i++) {
                    map.set(i, trailer.getAtIndex(ValueLayout.JAVA_LONG, i));
                    synced[i] = trailer.getAtIndex(ValueLayout.JAVA_LONG, map.length() + i);
                }
                file = found;
            } else {
                found.close();
                store.disk().delete(path);
            }
        }
    }

    /**
     * After a power loss: takes the bits away whose bytes were not synced.
     *
     * @return false if this is not a partial object's file
     */
    static boolean believeSyncedOnly(Disk disk, Path path, long cut) throws IOException {
        long length = Files.size(path);
        try (Arena arena = Arena.ofConfined();
                OpenFile file = disk.forUpdate(path)) {
            CallState state = new CallState(arena);
            MemorySegment foot = arena.allocate(FOOT, 8);
            if (length < FOOT
                    || file.read(state, foot, FOOT, length - FOOT) != FOOT
                    || foot.get(ValueLayout.JAVA_LONG, 0) != cut) {
                return false;
            }
            long pieces = foot.get(ValueLayout.JAVA_LONG, 8);
            long mapBytes = 8 * ((pieces + 63) / 64);
            long trailerAt = length - FOOT - 2 * mapBytes;
            if (pieces < 2 || pieces > Integer.MAX_VALUE || trailerAt <= 0 || trailerAt % ALIGN != 0) {
                return false;
            }
            MemorySegment synced = arena.allocate(mapBytes, 8);
            if (file.read(state, synced, mapBytes, trailerAt + mapBytes) != mapBytes) {
                return false;
            }
            disk.write(state, file, synced, trailerAt);
            return true;
        }
    }

    ObjectName name() {
        return name;
    }

    long cut() {
        return cut;
    }

    private Path path() {
        return store.partialPath(name, cut);
    }

    /** Bytes of the object. */
    public long size() {
        return size;
    }

    /** Whether this piece can be read. */
    public boolean has(int piece) {
        return complete || (map.get(piece >> 6) & (1L << piece)) != 0;
    }

    /** Whether bytes can be read although not all of their pieces are there. Does not allocate. */
    public boolean hasAhead(long from, long to) {
        AtomicLongArray blocks = ahead;
        if (blocks == null) {
            return false;
        }
        for (long block = from / BLOCK; block <= (to - 1) / BLOCK; block++) {
            if ((blocks.get((int) (block >> 6)) & (1L << block)) == 0) {
                return false;
            }
        }
        return true;
    }

    public boolean complete() {
        return complete;
    }

    /** Whether every byte is on disk, but has to be compared with the object's name ({@link #verify}) before it is read. */
    public boolean unverified() {
        return unverified;
    }

    /** To be noted before {@link #has} is asked, and handed to {@link #read}. */
    public long evictions() {
        return evictions.get();
    }

    BitSet present() {
        BitSet bits = new BitSet(pieces);
        for (int i = 0; i < pieces; i++) {
            bits.set(i, has(i));
        }
        return bits;
    }

    /**
     * Reads bytes whose pieces are all there.
     *
     * @param noted what {@link #evictions} was before the pieces were found to be there
     * @return bytes read; or {@link #MISSING} if pieces were evicted since; or a negated errno
     */
    public long read(CallState state, MemorySegment into, long length, long offset, long noted) {
        OpenFile from = file;
        if (from == null) {
            throw new IllegalStateException("nothing of object " + name + " is there yet");
        }
        long n = from.read(state, into, length, offset);
        return evictions.get() == noted ? n : MISSING;
    }

    /**
     * Compares an object that is {@link #unverified} with its name; if it is wrong, its file is repaired from its source.
     *
     * @throws IOException if it cannot be
     */
    public void verify(CallState state) throws IOException {
        if (!unverified) {
            return;
        }
        verifying.lock();
        try {
            OpenFile whole = file;
            if (unverified && whole != null) {
                if (!Verification.isSound(state, whole, name, Long.MAX_VALUE, Verification.Reader.NONE)) {
                    store.repair(name);
                    if (!Verification.isSound(state, whole, name, Long.MAX_VALUE, Verification.Reader.NONE)) {
                        throw new IOException("object " + name + " has wrong bytes on disk and was replaced meanwhile");
                    }
                }
                complete = true;
                unverified = false;
            }
        } finally {
            verifying.unlock();
        }
    }

    /**
     * Keeps a piece.
     *
     * @param bytes all bytes of the piece, verified
     * @param offset of its first byte in the object
     * @return false if there is no room
     */
    public boolean write(CallState state, int piece, MemorySegment bytes, long offset) throws IOException {
        if (has(piece) || unverified) {
            return true;
        }
        if (!store.keeps()) {
            return false;
        }
        try {
            return pieces == 1 ? writeWhole(state, bytes) : writePiece(state, piece, bytes, offset);
        } catch (LinuxException e) {
            return store.survive(e);
        }
    }

    private boolean writeWhole(CallState state, MemorySegment bytes) throws IOException {
        lock.lock();
        try {
            if (complete) {
                return true;
            }
            OpenFile whole = store.disk().unnamed(store.partialDirectory(), 0444);
            try {
                store.disk().write(state, whole, bytes, 0);
                store.name(state, whole, name, bytes.byteSize());
            } catch (LinuxException e) {
                whole.close();
                throw e;
            }
            file = whole;
            complete = true;
            return true;
        } finally {
            lock.unlock();
        }
    }

    private boolean writePiece(CallState state, int piece, MemorySegment bytes, long offset) throws IOException {
        OpenFile into = file == null ? create(state) : file;
        long noted = evictions.get();
        if (into == null || (noted & 1) != 0) {
            return false;
        }
        store.disk().write(state, into, bytes, offset);
        boolean last;
        lock.lock();
        try {
            if (has(piece)) {
                return true;
            }
            if (evictions.get() != noted) {
                // The bytes just written may be gone already.
                return false;
            }
            int word = piece >> 6;
            long bits = map.get(word) | (1L << piece);
            writeWords(state, into, 0, word, bits);
            map.set(word, bits);
            last = allPresent();
        } finally {
            lock.unlock();
        }
        store.added(Room.allocated(bytes.byteSize()) - bytesAhead(offset, offset + bytes.byteSize()));
        store.unsynced(this);
        if (last) {
            finishSoon(state);
        }
        return true;
    }

    /** Bytes between these that are counted already. */
    private long bytesAhead(long from, long to) {
        AtomicLongArray blocks = ahead;
        long found = 0;
        if (blocks != null) {
            for (long block = (from + BLOCK - 1) / BLOCK; block < to / BLOCK; block++) {
                found += (blocks.get((int) (block >> 6)) & (1L << block)) == 0 ? 0 : BLOCK;
            }
        }
        return found;
    }

    private void writeWords(CallState state, OpenFile into, int which, int word, long... bits) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            store.disk()
                    .write(
                            state,
                            into,
                            arena.allocateFrom(ValueLayout.JAVA_LONG, bits),
                            trailerAt() + 8L * ((long) which * map.length() + word));
        }
    }

    /**
     * Keeps bytes whose pieces are not there, until the object is closed or they are evicted: as many whole blocks as they
     * are. An object of one piece keeps none.
     *
     * @param bytes which nothing proves here: whoever calls this has reason to trust them
     * @param offset of their first byte in the object
     */
    public void writeAhead(CallState state, MemorySegment bytes, long offset) throws IOException {
        long end = offset + bytes.byteSize();
        long from = (offset + BLOCK - 1) / BLOCK;
        long to = end == size ? (end + BLOCK - 1) / BLOCK : end / BLOCK;
        if (pieces == 1 || complete || unverified || from >= to || !store.keeps()) {
            return;
        }
        long start = from * BLOCK;
        MemorySegment part = bytes.asSlice(start - offset, Math.min(to * BLOCK, size) - start);
        try {
            OpenFile into = file == null ? create(state) : file;
            long noted = evictions.get();
            if (into == null || (noted & 1) != 0) {
                return;
            }
            store.disk().write(state, into, part, start);
            long fresh = 0;
            lock.lock();
            try {
                if (complete || evictions.get() != noted) {
                    return;
                }
                AtomicLongArray blocks = ahead;
                if (blocks == null) {
                    blocks = new AtomicLongArray((int) ((size + 64L * BLOCK - 1) / (64L * BLOCK)));
                }
                for (long block = from; block < to; block++) {
                    int word = (int) (block >> 6);
                    long bits = blocks.get(word);
                    fresh += (bits & (1L << block)) == 0 ? BLOCK : 0;
                    blocks.set(word, bits | (1L << block));
                }
                ahead = blocks;
            } finally {
                lock.unlock();
            }
            store.added(fresh);
        } catch (LinuxException e) {
            var _ = store.survive(e);
        }
    }

    /** Makes the file; null if there is one that could not be read back. */
    private @Nullable OpenFile create(CallState state) throws IOException {
        lock.lock();
        try {
            OpenFile made = file;
            if (made == null) {
                made = store.disk().unnamed(store.partialDirectory(), 0600);
                try (Arena arena = Arena.ofConfined()) {
                    MemorySegment trailer = arena.allocate(trailerBytes(), 8);
                    trailer.set(ValueLayout.JAVA_LONG, trailer.byteSize() - FOOT, cut);
                    trailer.set(ValueLayout.JAVA_LONG, trailer.byteSize() - FOOT + 8, pieces);
                    store.disk().write(state, made, trailer, trailerAt());
                    if (!store.disk().link(state, made, path())) {
                        made.close();
                        return null;
                    }
                } catch (LinuxException e) {
                    made.close();
                    throw e;
                }
                store.added(Room.allocated(trailerBytes()));
                file = made;
            }
            return made;
        } finally {
            lock.unlock();
        }
    }

    /** Whether it has every piece and is not complete. */
    boolean isWhole() {
        return !complete && !unverified && file != null && allPresent();
    }

    /** Makes it a complete object if it has every piece; a large one later. */
    void finishSoon(CallState state) throws IOException {
        if (!isWhole() || !finishing.compareAndSet(false, true)) {
            return;
        }
        if (size <= VERIFIED_AT_ONCE) {
            finish(state);
            return;
        }
        var _ = store.acquireIfOpen(name, cut);
        Thread.ofPlatform().daemon().name("object-verify").start(() -> {
            try (Arena arena = Arena.ofConfined()) {
                finish(new CallState(arena));
            } catch (InterruptedIOException e) {
                // The next process does it.
            } catch (IOException e) {
                store.warn("object {0} cannot be completed, it stays partial: {1}", name, e);
            } finally {
                store.release(name, cut);
            }
        });
    }

    private void finish(CallState state) throws IOException {
        try {
            long noted = evictions.get();
            OpenFile whole = file;
            if (whole == null || (noted & 1) != 0) {
                return;
            }
            boolean sound = Verification.isSound(state, whole, name, size, store::read);
            lock.lock();
            try {
                if (complete || evictions.get() != noted || !allPresent()) {
                    return;
                }
                if (sound) {
                    complete(state, whole);
                } else {
                    store.warn("object {0} has wrong bytes on disk and is fetched again", name);
                    ahead = null;
                    evictions.addAndGet(2);
                    clear(0, pieces);
                    writeMaps(state, whole);
                }
            } finally {
                lock.unlock();
            }
        } finally {
            finishing.set(false);
        }
    }

    private void complete(CallState state, OpenFile whole) throws IOException {
        store.disk().truncate(state, whole, size);
        try {
            var _ = store.disk().link(state, whole, store.path(name));
        } catch (LinuxException e) {
            // Stays what it was.
            writeMaps(state, whole);
            throw e;
        }
        store.disk().delete(path());
        complete = true;
        ahead = null;
        store.markDirty();
    }

    /** Both maps and the foot, as they are in memory. */
    private void writeMaps(CallState state, OpenFile into) throws LinuxException {
        long[] words = new long[2 * map.length() + 2];
        for (int i = 0; i < map.length(); i++) {
            words[i] = map.get(i);
            words[map.length() + i] = synced[i];
        }
        words[2 * map.length()] = cut;
        words[2 * map.length() + 1] = pieces;
        writeWords(state, into, 0, 0, words);
    }

    private void clear(int from, int to) {
        for (int piece = from; piece < to; piece++) {
            int word = piece >> 6;
            map.set(word, map.get(word) & ~(1L << piece));
            synced[word] &= ~(1L << piece);
        }
    }

    /**
     * Gives bytes back to the file system.
     *
     * @param start offset in the object of a piece's first byte; of the number of pieces: the object's size
     * @param goal bytes that are enough
     * @return bytes given back, about
     */
    long evict(IntToLongFunction start, long goal) throws IOException {
        BitSet chosen = new BitSet(pieces);
        OpenFile from;
        long bytes = 0;
        lock.lock();
        try {
            from = file;
            if (complete || unverified || from == null || (evictions.get() & 1) != 0) {
                return 0;
            }
            for (int piece = 0; piece < pieces && bytes < goal; piece++) {
                if (has(piece)) {
                    chosen.set(piece);
                    bytes += start.applyAsLong(piece + 1) - start.applyAsLong(piece);
                    clear(piece, piece + 1);
                }
            }
            if (chosen.isEmpty() && ahead == null) {
                return 0;
            }
            // What came ahead of pieces that are not there goes with the first of those that are.
            ahead = null;
            for (int piece = 0; piece < pieces; piece++) {
                chosen.set(piece, !has(piece));
            }
            // From here on nobody writes into the file, and who read before knows that it must look again.
            evictions.incrementAndGet();
        } finally {
            lock.unlock();
        }
        try (Arena arena = Arena.ofConfined()) {
            CallState state = new CallState(arena);
            writeMaps(state, from);
            store.disk().sync(state, from);
            for (int first = chosen.nextSetBit(0); first >= 0; ) {
                int behind = chosen.nextClearBit(first);
                long offset = start.applyAsLong(first);
                store.disk().punchHole(state, from, offset, start.applyAsLong(behind) - offset);
                first = chosen.nextSetBit(behind);
            }
        } finally {
            evictions.incrementAndGet();
        }
        return bytes;
    }

    /**
     * Notes what was synced, so that a power loss does not lose it.
     *
     * @param present pieces whose bytes were there before the sync began
     * @param noted what {@link #evictions} was before they were looked at
     */
    void synced(CallState state, BitSet present, long noted) throws LinuxException {
        lock.lock();
        try {
            OpenFile into = file;
            if (complete || into == null || (noted & 1) != 0 || evictions.get() != noted) {
                return;
            }
            long[] words = Arrays.copyOf(present.toLongArray(), synced.length);
            for (int i = 0; i < words.length; i++) {
                if (words[i] != synced[i]) {
                    synced[i] = words[i];
                    writeWords(state, into, 1, i, words[i]);
                }
            }
        } finally {
            lock.unlock();
        }
    }

    private boolean allPresent() {
        for (int i = 0; i < pieces; i++) {
            if ((map.get(i >> 6) & (1L << i)) == 0) {
                return false;
            }
        }
        return true;
    }

    private long trailerAt() {
        return (size + ALIGN - 1) / ALIGN * ALIGN;
    }

    private long trailerBytes() {
        return 16L * map.length() + FOOT;
    }

    void retain() {
        users++;
    }

    /** Returns whether nobody uses it any more. */
    boolean unretain() {
        return --users == 0;
    }

    void closeFile() {
        OpenFile last = file;
        if (last != null) {
            last.close();
        }
    }
}
