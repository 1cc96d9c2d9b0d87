package dev.coldstart.snapshotter.fetch;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.PartialObject;
import dev.coldstart.snapshotter.object.Source;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Function;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Brings spans. Each is fetched by one request at a time, whoever asks; adjacent missing spans of a read share a request
 * and are delivered as they arrive; what an arriving span holds for open objects is delivered first. What reads wait for
 * goes before all else: see {@link Scheduler}.
 */
public final class SpanFetcher implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(SpanFetcher.class.getName());
    private static final int ATTEMPTS = 3;
    /** Spans that {@link #bring} has queued or on their way; more of them find more neighbours. */
    private static final int PREPARED = 128;
    /** How many of them are queued at a time. */
    private static final int TOGETHER = 16;

    private final ObjectStore store;
    private final Duration patience;
    private final Scheduler scheduler;
    private final LongAdder repairs = new LongAdder();
    private final LongAdder repairBytes = new LongAdder();
    private final LongAdder packedBytes = new LongAdder();

    /** @param patience how long a read waits for its bytes before it fails */
    public SpanFetcher(BlobSource source, ObjectStore store, Duration patience) {
        this(source, layer -> "", store, patience);
    }

    /**
     * With several hosts, of which none waits for another.
     *
     * @param hosts which host the source asks for a layer's blob
     * @param patience how long a read waits for its bytes before it fails
     */
    public SpanFetcher(BlobSource source, Function<Digest, String> hosts, ObjectStore store, Duration patience) {
        this.store = store;
        this.patience = patience;
        this.scheduler = new Scheduler(source, hosts, this::land);
    }

    /** Bytes of blobs fetched so far. */
    public long fetchedBytes() {
        return statistics().allBytes();
    }

    /** What was done so far, and what waits. */
    public FetchStatistics statistics() {
        return scheduler.statistics(repairs.sum(), repairBytes.sum(), packedBytes.sum());
    }

    /** Whether all bytes of a read are here. Does not allocate. */
    public static boolean isHere(KnownLayer layer, int row, PartialObject object, long offset, long length) {
        if (object.complete()) {
            return true;
        }
        LayerIndex index = layer.index();
        long start = index.objectOffset(row);
        int base = index.spanAt(start);
        int first = index.spanAt(start + offset);
        int last = index.spanAt(start + offset + length - 1);
        for (int span = first; span <= last; span++) {
            if (!object.has(span - base)
                    && !object.hasAhead(
                            Math.max(offset, index.spanStart(span) - start),
                            Math.min(offset + length, index.spanEnd(span) - start))) {
                return false;
            }
        }
        return true;
    }

    /**
     * Says that a read was served from what is here, so that sequential readers find more of it. Allocates nothing
     * unless there is something to fetch.
     */
    public void touched(KnownLayer layer, int row, long offset, long length) {
        Accesses accesses = layer.accesses();
        ReadAhead readAhead = layer.readAheads().find(row);
        if (accesses == null && !readAhead.waits()) {
            return;
        }
        LayerIndex index = layer.index();
        long start = index.objectOffset(row) + offset;
        if (accesses != null) {
            accesses.read(start, start + length);
        }
        int first = index.spanAt(start);
        int from = readAhead.touched(first);
        if (from >= 0) {
            readAhead(layer, readAhead, from, readAhead.window());
        }
    }

    /** When a read that comes now fails, by {@link System#nanoTime}. */
    public long deadline() {
        return System.nanoTime() + patience.toNanos();
    }

    /**
     * Reads bytes of an object, fetching what is missing. Waits for the spans of this read only, and not longer than
     * until {@code deadline}.
     *
     * @param object acquired by the caller, who keeps it meanwhile
     * @throws InterruptedIOException if the thread was interrupted
     * @throws IOException if they cannot be had; never delivers bytes that were not verified
     */
    public void read(
            KnownLayer layer,
            int row,
            PartialObject object,
            CallState state,
            MemorySegment into,
            long length,
            long offset,
            long deadline)
            throws IOException {
        object.verify(state);
        LayerIndex index = layer.index();
        long start = index.objectOffset(row);
        int base = index.spanAt(start);
        int first = index.spanAt(start + offset);
        int last = index.spanAt(start + offset + length - 1);
        Accesses accesses = layer.accesses();
        if (accesses != null) {
            accesses.read(start + offset, start + offset + length);
        }
        Prefetch prefetch = layer.prefetch();
        IntPredicate notNeeded = span -> {
            long spanFrom = Math.max(start + offset, index.spanStart(span));
            long spanTo = Math.min(start + offset + length, index.spanEnd(span));
            return object.has(span - base)
                    || object.hasAhead(spanFrom - start, spanTo - start)
                    || (prefetch != null && prefetch.isComing(spanFrom, spanTo));
        };
        boolean missed = false;
        int from = first;
        while (from <= last) {
            if (notNeeded.test(from)) {
                from++;
                continue;
            }
            int to = from;
            while (to < last && !notNeeded.test(to + 1)) {
                to++;
            }
            missed |= !request(layer, from, to, notNeeded).isEmpty();
            from = to + 1;
        }
        if (missed) {
            ReadAhead readAhead = layer.readAheads().of(layer, row);
            long window = readAhead.missed(first, last);
            if (window > 0) {
                readAhead(layer, readAhead, last + 1, window);
            }
        }
        for (int span = first; span <= last; span++) {
            long spanFrom = Math.max(index.spanStart(span), start + offset);
            long spanTo = Math.min(index.spanEnd(span), start + offset + length);
            MemorySegment part = into.asSlice(spanFrom - start - offset, spanTo - spanFrom);
            deliver(layer, span, span - base, object, state, part, spanFrom, spanFrom - start, deadline);
        }
    }

    private void deliver(
            KnownLayer layer,
            int span,
            int piece,
            PartialObject object,
            CallState state,
            MemorySegment part,
            long tarOffset,
            long objectOffset,
            long deadline)
            throws IOException {
        boolean retried = false;
        while (true) {
            long evictions = object.evictions();
            if (object.has(piece) || object.hasAhead(objectOffset, objectOffset + part.byteSize())) {
                long n = object.read(state, part, part.byteSize(), objectOffset, evictions);
                if (n == PartialObject.MISSING) {
                    continue;
                }
                if (n != part.byteSize()) {
                    throw new IOException("cannot read an object on disk: "
                            + (n < 0 ? dev.coldstart.linux.Errno.describe((int) -n) : "it is too short"));
                }
                return;
            }
            Prefetch prefetch = layer.prefetch();
            if (prefetch != null && prefetch.await(tarOffset, tarOffset + part.byteSize(), deadline)) {
                continue;
            }
            List<Flight> flights = request(layer, span, span, again -> object.has(piece));
            if (flights.isEmpty()) {
                continue;
            }
            Flight flight = flights.getFirst();
            try {
                await(flight.open, layer, deadline);
                if (!object.has(piece)) {
                    await(flight.all, layer, deadline);
                }
            } catch (IOException e) {
                boolean joined = flight.since - (deadline - patience.toNanos()) < 0;
                if (!joined || retried || !flight.all.isCompletedExceptionally()) {
                    throw e;
                }
                // It had been tried for long when this read came.
                retried = true;
                continue;
            }
            byte[] bytes = flight.bytes;
            if (!object.has(piece) && bytes != null) {
                long at = tarOffset - layer.index().spanStart(span);
                MemorySegment.copy(MemorySegment.ofArray(bytes), at, part, 0, part.byteSize());
                return;
            }
        }
    }

    private void await(java.util.concurrent.Future<?> future, KnownLayer layer, long deadline) throws IOException {
        try {
            var _ = future.get(Math.max(1, deadline - System.nanoTime()), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            throw new IOException(
                    "bytes of layer " + layer.index().layer() + " did not come within " + patience.toSeconds() + " s",
                    e);
        } catch (ExecutionException e) {
            throw e.getCause() instanceof IOException cause
                    ? new IOException(cause.getMessage(), cause)
                    : new IOException("fetching failed", e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted while waiting for bytes");
        }
    }

    /** The flights of these spans, but of those that have landed; starts those that are not on their way. */
    private List<Flight> request(KnownLayer layer, int first, int last, IntPredicate here) throws IOException {
        List<Wanted> spans = new ArrayList<>(last - first + 1);
        for (int span = first; span <= last; span++) {
            spans.add(new Wanted(layer, span));
        }
        return scheduler.want(spans, Priority.DEMAND, wanted -> here.test(wanted.span()));
    }

    private void readAhead(KnownLayer layer, ReadAhead readAhead, int from, long window) {
        LayerIndex index = layer.index();
        if (from >= readAhead.end()) {
            return;
        }
        long limit = index.spanBlobStart(from) + window;
        int end = from;
        while (end < readAhead.end() && index.spanBlobEnd(end) <= limit) {
            end++;
        }
        readAhead.planned(from, end);
        int stop = end;
        Thread.ofVirtual().name("read-ahead").start(() -> {
            try {
                var _ = ahead(
                        IntStream.range(from, stop)
                                .mapToObj(span -> new Wanted(layer, span))
                                .toList(),
                        Priority.READ_AHEAD);
            } catch (IOException e) {
                LOG.log(System.Logger.Level.DEBUG, "nothing is read ahead: {0}", e.getMessage());
            }
        });
    }

    /** The flights of spans that nobody waits for yet, but of those that are here. */
    private List<Flight> ahead(List<Wanted> spans, Priority priority) throws IOException {
        List<Wanted> missing = spans.stream()
                .filter(wanted -> !isHeld(wanted.layer(), wanted.span()))
                .toList();
        return missing.isEmpty()
                ? List.of()
                : scheduler.want(missing, priority, wanted -> wanted.layer().isHeld(wanted.span(), store.evictions()));
    }

    /**
     * Fetches spans that are not here, in about this order, neighbours together; returns when all have come or one could
     * not be had.
     *
     * @throws IOException if one could not be had
     * @throws InterruptedException if the thread was interrupted; what is on its way comes nevertheless
     */
    public void bring(Iterator<Wanted> spans, Priority priority) throws IOException, InterruptedException {
        Semaphore room = new Semaphore(PREPARED);
        AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
        while (spans.hasNext() && failure.get() == null) {
            List<Wanted> some = new ArrayList<>();
            while (some.size() < TOGETHER && spans.hasNext()) {
                some.add(spans.next());
            }
            room.acquire(some.size());
            List<Flight> flights = ahead(some, priority);
            room.release(some.size() - flights.size());
            for (Flight flight : flights) {
                var _ = flight.all.whenComplete((done, e) -> {
                    if (e != null) {
                        failure.compareAndSet(null, e);
                    }
                    room.release();
                });
            }
        }
        room.acquire(PREPARED);
        Throwable cause = failure.get();
        if (cause != null) {
            throw new IOException(cause.getMessage(), cause);
        }
    }

    /** Bytes of the layer's blob that cost no more than another request would. */
    public long bytesWorthARequest(KnownLayer layer) {
        return scheduler.bytesWorthARequest(layer.index().layer());
    }

    /** Whether all bytes of a span are here. */
    public boolean isHeld(KnownLayer layer, int span) {
        long evictions = store.evictions();
        if (layer.isHeld(span, evictions)) {
            return true;
        }
        LayerIndex index = layer.index();
        long end = index.spanEnd(span);
        for (int i = index.firstObjectIn(span); i < index.objectCount(); i++) {
            int row = index.byOffset(i);
            if (index.objectOffset(row) >= end) {
                break;
            }
            ObjectName name = index.objectName(row);
            if (!store.contains(name)
                    && !store.presentPieces(name, index.objectSize(row), layer.pieces(row), layer.cut())
                            .get(span - layer.firstSpan(row))) {
                return false;
            }
        }
        layer.markHeld(span, evictions);
        return true;
    }

    /**
     * Fetches all bytes of an object, whether they are here or not, and keeps none.
     *
     * @throws IOException if they cannot be had; the sink gets verified bytes only
     */
    public void fetch(KnownLayer layer, int row, Source.Sink sink) throws IOException {
        LayerIndex index = layer.index();
        long offset = index.objectOffset(row);
        long end = offset + index.objectSize(row);
        int[] next = {layer.firstSpan(row)};
        int last = layer.lastSpan(row);
        for (int attempt = 1; next[0] <= last; attempt++) {
            repairs.increment();
            try {
                scheduler.reader().read(layer, next[0], last, false, new Repair(), (span, bytes, state) -> {
                    long from = Math.max(offset, index.spanStart(span));
                    long to = Math.min(end, index.spanEnd(span));
                    sink.write(bytes.asSlice(from - index.spanStart(span), to - from), from - offset);
                    next[0] = span + 1;
                });
            } catch (IOException e) {
                if (attempt >= ATTEMPTS) {
                    throw e;
                }
            }
        }
    }

    /**
     * Says that bytes of a layer are about to come that were packed for its starts; null if some are coming already. Until
     * it is closed, reads of these bytes wait for them.
     *
     * @param ranges in the order in which they come
     */
    public @Nullable Prefetch prefetch(KnownLayer layer, List<Prefetch.Range> ranges) {
        synchronized (layer) {
            if (layer.prefetch() != null) {
                return null;
            }
            Prefetch coming = new Prefetch(layer, store, ranges, packedBytes::add);
            layer.expect(coming);
            return coming;
        }
    }

    /** Rare, and its bytes are for one file only: no part of the queue. */
    private final class Repair implements RangeReader.Progress {
        @Override
        public void waiting() {}

        @Override
        public void arrived(int bytes) {
            repairBytes.add(bytes);
        }
    }

    /** Puts what the span holds where it belongs: first into objects that somebody has open, then into all others. */
    private void land(Flight flight, MemorySegment bytes, CallState state) throws IOException {
        KnownLayer layer = flight.layer;
        long evictions = store.evictions();
        boolean kept = distribute(layer, flight.span, bytes, state, true);
        if (!kept) {
            flight.bytes = bytes.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
        }
        flight.open.complete(null);
        if (kept) {
            kept = distribute(layer, flight.span, bytes, state, false);
            if (kept) {
                layer.markHeld(flight.span, evictions);
            } else {
                flight.bytes = bytes.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
            }
        }
    }

    private boolean distribute(KnownLayer layer, int span, MemorySegment bytes, CallState state, boolean onlyOpen)
            throws IOException {
        LayerIndex index = layer.index();
        long spanStart = index.spanStart(span);
        long spanEnd = index.spanEnd(span);
        for (int i = index.firstObjectIn(span); i < index.objectCount(); i++) {
            int row = index.byOffset(i);
            long offset = index.objectOffset(row);
            long size = index.objectSize(row);
            if (offset >= spanEnd) {
                break;
            }
            ObjectName name = index.objectName(row);
            boolean whole = offset >= spanStart && offset + size <= spanEnd;
            boolean open = store.isOpen(name, layer.cut());
            if (onlyOpen && !open) {
                continue;
            }
            long from = Math.max(offset, spanStart);
            MemorySegment part = bytes.asSlice(from - spanStart, Math.min(offset + size, spanEnd) - from);
            boolean kept = (whole && !open)
                    ? putWhole(layer, name, part, state)
                    : writePiece(layer, row, span, name, part, state);
            if (!kept) {
                return false;
            }
        }
        return true;
    }

    private boolean putWhole(KnownLayer layer, ObjectName name, MemorySegment bytes, CallState state)
            throws IOException {
        if (!store.put(state, name, bytes)) {
            return false;
        }
        // Who opened it before it had its name has to be told.
        PartialObject opened = store.acquireIfOpen(name, layer.cut());
        if (opened == null) {
            return true;
        }
        try {
            return opened.write(state, 0, bytes, 0);
        } finally {
            store.release(name, layer.cut());
        }
    }

    private boolean writePiece(
            KnownLayer layer, int row, int span, ObjectName name, MemorySegment part, CallState state)
            throws IOException {
        LayerIndex index = layer.index();
        long offset = index.objectOffset(row);
        int piece = span - layer.firstSpan(row);
        PartialObject object = store.acquire(name, index.objectSize(row), layer.pieces(row), layer.cut());
        try {
            return object.write(state, piece, part, Math.max(0, index.spanStart(span) - offset));
        } finally {
            store.release(name, layer.cut());
        }
    }

    /** Lets go of buffers if nothing was fetched since the last call. */
    void rest() {
        scheduler.reader().rest();
    }

    /** Ends all requests; reads that wait fail. */
    @Override
    public void close() {
        scheduler.close();
    }
}
