package dev.coldstart.snapshotter.fetch;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.Sha256;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.PartialObject;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.lang.foreign.MemorySegment;
import java.security.MessageDigest;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongConsumer;
import java.util.stream.IntStream;

/**
 * Bytes of a layer that were packed for its starts and come in the order in which starts read them. Whole objects become
 * objects on disk; parts of larger ones can be read as long as this is open. One thread brings them, any number reads.
 */
public final class Prefetch implements AutoCloseable {

    /** A read whose bytes are farther behind what has come than this does not wait for them, but asks for its own. */
    private static final long FAR_BYTES = 8 << 20;
    /** What brings nothing for so long is not waited for. */
    private static final long STALL_NANOS = TimeUnit.SECONDS.toNanos(1);

    /**
     * Some bytes of one object.
     *
     * @param offset in the uncompressed tar, 0 or more
     * @param length more than 0
     */
    public record Range(long offset, int length) {
        public Range {
            if (offset < 0 || length <= 0 || offset + length < 0) {
                throw new IllegalArgumentException("a range of " + length + " bytes at " + offset + " is impossible");
            }
        }
    }

    private final KnownLayer layer;
    private final ObjectStore store;
    private final LongConsumer fetched;
    /** In the order in which they come. */
    private final List<Range> ranges;
    /** Bytes of the ranges before each, in their order. */
    private final long[] before;
    /** Numbers of the ranges, by their offsets. */
    private final int[] byOffset;
    /** Held while a range is kept; guards what follows. */
    private final ReentrantLock keeping = new ReentrantLock();
    /** Open, by row: what they have of their pieces is known only as long as they are. */
    private final Map<Integer, PartialObject> open = new HashMap<>();

    private boolean closed;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    /** Ranges that have come; written by the thread that lands, with the lock held. */
    private int landed;

    private long newest = System.nanoTime();
    private boolean over;

    Prefetch(KnownLayer layer, ObjectStore store, List<Range> ranges, LongConsumer fetched) {
        this.layer = layer;
        this.store = store;
        this.ranges = List.copyOf(ranges);
        this.fetched = fetched;
        this.before = new long[ranges.size()];
        for (int i = 1; i < before.length; i++) {
            before[i] = before[i - 1] + ranges.get(i - 1).length();
        }
        this.byOffset = IntStream.range(0, before.length)
                .boxed()
                .sorted(Comparator.comparingLong(i -> this.ranges.get(i).offset()))
                .mapToInt(Integer::intValue)
                .toArray();
    }

    /** Counts bytes that came from elsewhere for this. */
    public void fetched(long bytes) {
        fetched.accept(bytes);
    }

    /**
     * The next range has come.
     *
     * @param bytes all of the range
     * @return false if this was closed
     * @throws IOException if they are not the layer's, as far as that can be told, or the disk fails
     */
    public boolean land(CallState state, MemorySegment bytes) throws IOException {
        Range range = ranges.get(landed);
        if (bytes.byteSize() != range.length()) {
            throw new IllegalArgumentException(
                    bytes.byteSize() + " bytes are not the " + range.length() + " of the next range");
        }
        keeping.lock();
        try {
            if (closed) {
                return false;
            }
            keep(state, range, bytes);
        } finally {
            keeping.unlock();
        }
        lock.lock();
        try {
            landed++;
            newest = System.nanoTime();
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        return true;
    }

    private void keep(CallState state, Range range, MemorySegment bytes) throws IOException {
        LayerIndex index = layer.index();
        long end = range.offset() + range.length();
        for (int i = index.firstObjectBehind(range.offset()); i < index.objectCount(); i++) {
            int row = index.byOffset(i);
            long offset = index.objectOffset(row);
            if (offset >= end) {
                return;
            }
            long from = Math.max(offset, range.offset());
            long to = Math.min(offset + index.objectSize(row), end);
            keep(state, row, from - offset, bytes.asSlice(from - range.offset(), to - from));
        }
    }

    private void keep(CallState state, int row, long offset, MemorySegment bytes) throws IOException {
        LayerIndex index = layer.index();
        ObjectName name = index.objectName(row);
        if (bytes.byteSize() < index.objectSize(row)) {
            open.computeIfAbsent(
                            row, absent -> store.acquire(name, index.objectSize(row), layer.pieces(row), layer.cut()))
                    .writeAhead(state, bytes, offset);
            return;
        }
        if (!name.isDerived() && !name.equals(ObjectName.of(sha256(bytes)))) {
            throw new IOException("what came for object " + name + " has another SHA-256");
        }
        if (!store.put(state, name, bytes)) {
            return;
        }
        // Who opened it before it had its name has to be told.
        PartialObject opened = store.acquireIfOpen(name, layer.cut());
        if (opened == null) {
            return;
        }
        try {
            if (layer.pieces(row) == 1) {
                var _ = opened.write(state, 0, bytes, 0);
            } else {
                opened.writeAhead(state, bytes, 0);
            }
        } finally {
            store.release(name, layer.cut());
        }
    }

    private static byte[] sha256(MemorySegment bytes) {
        MessageDigest sha256 = Sha256.digest();
        sha256.update(bytes.asByteBuffer());
        return sha256.digest();
    }

    /** Nothing more comes: readers ask for what they miss. */
    public void over() {
        lock.lock();
        try {
            over = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** The ranges that have not come; none if nobody waits for them any more. */
    public List<Range> missing() {
        keeping.lock();
        try {
            return closed ? List.of() : ranges.subList(landed, ranges.size());
        } finally {
            keeping.unlock();
        }
    }

    /** Whether all of these bytes have not come, but are about to: {@link #await} would wait for them. */
    boolean isComing(long from, long to) {
        int last = lastOf(from, to);
        if (last < 0) {
            return false;
        }
        lock.lock();
        try {
            return isComing(last) && System.nanoTime() - newest < STALL_NANOS;
        } finally {
            lock.unlock();
        }
    }

    private boolean isComing(int last) {
        return landed <= last && !over && before[last] - before[landed] <= FAR_BYTES;
    }

    /**
     * Waits for bytes if all of them are about to come.
     *
     * @param deadline by {@link System#nanoTime}
     * @return whether they have come meanwhile
     * @throws InterruptedIOException if the thread was interrupted
     */
    boolean await(long from, long to, long deadline) throws InterruptedIOException {
        int last = lastOf(from, to);
        if (last < 0) {
            return false;
        }
        lock.lock();
        try {
            boolean waited = false;
            while (isComing(last)) {
                long left = Math.min(deadline, newest + STALL_NANOS) - System.nanoTime();
                if (left <= 0) {
                    return false;
                }
                waited = true;
                var _ = changed.awaitNanos(left);
            }
            return waited && landed > last;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted while waiting for bytes");
        } finally {
            lock.unlock();
        }
    }

    /** The number of the range that comes last of those that these bytes are in; -1 if some are in none. */
    private int lastOf(long from, long to) {
        int low = 0;
        int high = byOffset.length;
        while (low < high) {
            int middle = (low + high) >>> 1;
            Range range = ranges.get(byOffset[middle]);
            if (range.offset() + range.length() > from) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        int last = -1;
        long at = from;
        for (int i = low; at < to && i < byOffset.length; i++) {
            Range range = ranges.get(byOffset[i]);
            if (range.offset() > at) {
                return -1;
            }
            last = Math.max(last, byOffset[i]);
            at = range.offset() + range.length();
        }
        return at < to ? -1 : last;
    }

    /** Ends the landing, lets go of the parts of objects. */
    @Override
    public void close() {
        over();
        keeping.lock();
        try {
            if (!closed) {
                closed = true;
                layer.expect(null);
                open.keySet().forEach(row -> store.release(layer.index().objectName(row), layer.cut()));
                open.clear();
            }
        } finally {
            keeping.unlock();
        }
    }
}
