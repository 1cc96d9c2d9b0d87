package dev.coldstart.snapshotter.object;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.OpenFile;
import dev.coldstart.snapshotter.layer.ObjectName;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.util.BitSet;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * An object that somebody reads, complete or not. While it is not, its bytes lie in a sparse file, followed, at the next
 * multiple of 4096, by {@code cut} (u64), the number of pieces (u64) and one bit for each piece that is there, set after
 * the piece's bytes were written. With the last piece it is cut to its size and becomes a complete object.
 */
public final class PartialObject {
    private static final long ALIGN = 4096;
    private static final int HEAD = 16;

    private final ObjectStore store;
    private final ObjectName name;
    private final long size;
    private final int pieces;
    private final long cut;
    private final AtomicLongArray map;
    private final ReentrantLock lock = new ReentrantLock();
    /** Set before the first bit, and before {@link #complete}. */
    private volatile @Nullable OpenFile file;

    private volatile boolean complete;
    /** Guarded by the store's table. */
    private int users;

    PartialObject(ObjectStore store, ObjectName name, long size, int pieces, long cut) {
        this.store = store;
        this.name = name;
        this.size = size;
        this.pieces = pieces;
        this.cut = cut;
        this.map = new AtomicLongArray((pieces + 63) / 64);
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
            complete = true;
            return;
        }
        if (pieces == 1 || !Files.exists(store.partialPath(name, cut))) {
            return;
        }
        OpenFile found = OpenFile.forWriting(store.partialPath(name, cut));
        try (Arena arena = Arena.ofConfined()) {
            CallState state = new CallState(arena);
            MemorySegment trailer = arena.allocate(HEAD + 8L * map.length(), 8);
            long n = found.read(state, trailer, trailer.byteSize(), trailerAt());
            if (n == trailer.byteSize()
                    && trailer.get(ValueLayout.JAVA_LONG, 0) == cut
                    && trailer.get(ValueLayout.JAVA_LONG, 8) == pieces) {
                for (int i = 0; i < map.length(); i++) {
                    map.set(i, trailer.get(ValueLayout.JAVA_LONG, HEAD + 8L * i));
                }
                file = found;
                if (allPresent()) {
                    finish(state, found);
                }
            } else {
                found.close();
                Files.delete(store.partialPath(name, cut));
            }
        }
    }

    /** Bytes of the object. */
    public long size() {
        return size;
    }

    /** Whether this piece can be read. */
    public boolean has(int piece) {
        return complete || (map.get(piece >> 6) & (1L << piece)) != 0;
    }

    public boolean complete() {
        return complete;
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
     * @return bytes read, or a negated errno
     */
    public long read(CallState state, MemorySegment into, long length, long offset) {
        OpenFile from = file;
        if (from == null) {
            throw new IllegalStateException("nothing of object " + name + " is there yet");
        }
        return from.read(state, into, length, offset);
    }

    /**
     * Keeps a piece.
     *
     * @param bytes all bytes of the piece, verified
     * @param offset of its first byte in the object
     * @return false if there is no room
     */
    public boolean write(CallState state, int piece, MemorySegment bytes, long offset) throws IOException {
        if (has(piece)) {
            return true;
        }
        try {
            if (pieces == 1) {
                writeWhole(state, bytes);
            } else {
                writePiece(state, piece, bytes, offset);
            }
            store.markDirty();
            return true;
        } catch (LinuxException e) {
            return store.survive(e);
        }
    }

    private void writeWhole(CallState state, MemorySegment bytes) throws IOException {
        lock.lock();
        try {
            if (complete) {
                return;
            }
            OpenFile whole = OpenFile.unnamed(store.partialDirectory(), 0444);
            try {
                whole.write(state, bytes, 0);
                var _ = whole.link(state, store.path(name));
            } catch (LinuxException e) {
                whole.close();
                throw e;
            }
            file = whole;
            complete = true;
        } finally {
            lock.unlock();
        }
    }

    private void writePiece(CallState state, int piece, MemorySegment bytes, long offset) throws IOException {
        OpenFile into = file == null ? create(state) : file;
        into.write(state, bytes, offset);
        lock.lock();
        try {
            int word = piece >> 6;
            long bits = map.get(word) | (1L << piece);
            try (Arena arena = Arena.ofConfined()) {
                if (!complete) {
                    into.write(state, arena.allocateFrom(ValueLayout.JAVA_LONG, bits), trailerAt() + HEAD + 8L * word);
                }
            }
            map.set(word, bits);
            if (!complete && allPresent()) {
                finish(state, into);
            }
        } finally {
            lock.unlock();
        }
    }

    private OpenFile create(CallState state) throws IOException {
        lock.lock();
        try {
            OpenFile made = file;
            if (made == null) {
                made = OpenFile.forWriting(store.partialPath(name, cut));
                try (Arena arena = Arena.ofConfined()) {
                    MemorySegment trailer = arena.allocate(HEAD + 8L * map.length(), 8);
                    trailer.set(ValueLayout.JAVA_LONG, 0, cut);
                    trailer.set(ValueLayout.JAVA_LONG, 8, pieces);
                    made.write(state, trailer, trailerAt());
                } catch (LinuxException e) {
                    made.close();
                    throw e;
                }
                file = made;
            }
            return made;
        } finally {
            lock.unlock();
        }
    }

    private void finish(CallState state, OpenFile whole) throws IOException {
        whole.truncate(state, size);
        var _ = whole.link(state, store.path(name));
        Files.deleteIfExists(store.partialPath(name, cut));
        complete = true;
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
