package dev.coldstart.snapshotter.fetch;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.layer.LayerException;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.PartialObject;
import dev.coldstart.snapshotter.object.Source;
import dev.coldstart.snapshotter.registry.RegistryException;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.IntPredicate;

/**
 * Brings spans. Each span is fetched by one request at a time, whoever asks; adjacent missing spans of a read share a
 * request and are delivered as they arrive; what an arriving span holds for open objects is delivered first. Reads
 * that wait go before read-ahead.
 */
public final class SpanFetcher implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(SpanFetcher.class.getName());
    private static final int DEMAND_REQUESTS = 8;
    private static final int READ_AHEAD_REQUESTS = 2;
    /** Bytes of the blob in one request. */
    private static final long DEMAND_BYTES = 4 << 20;

    private static final long READ_AHEAD_BYTES = 2 << 20;
    private static final int ATTEMPTS = 3;

    private final BlobSource source;
    private final ObjectStore store;
    private final Duration patience;
    private final ConcurrentHashMap<SpanKey, Flight> flights = new ConcurrentHashMap<>();
    private final ExecutorService threads = Executors.newThreadPerTaskExecutor(
            Thread.ofVirtual().name("fetch-", 0).factory());
    private final Semaphore demand = new Semaphore(DEMAND_REQUESTS);
    private final Semaphore ahead = new Semaphore(READ_AHEAD_REQUESTS);
    private final AtomicInteger demanded = new AtomicInteger();
    private final AtomicBoolean failing = new AtomicBoolean();
    private final LongAdder fetchedBytes = new LongAdder();
    private final SpanBuffers buffers = new SpanBuffers(DEMAND_REQUESTS + READ_AHEAD_REQUESTS);

    private record SpanKey(int ordinal, int span) {}

    /** @param patience how long a read waits for its bytes before it fails */
    public SpanFetcher(BlobSource source, ObjectStore store, Duration patience) {
        this.source = source;
        this.store = store;
        this.patience = patience;
    }

    /** Bytes of blobs fetched so far. */
    public long fetchedBytes() {
        return fetchedBytes.sum();
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
            if (!object.has(span - base)) {
                return false;
            }
        }
        return true;
    }

    /**
     * Says that a read was served from what is here, so that sequential readers find more of it. Allocates nothing
     * unless there is something to fetch.
     */
    public void touched(KnownLayer layer, int row, long offset) {
        int span = layer.index().spanAt(layer.index().objectOffset(row) + offset);
        if (!layer.readAhead().mayContinue(span)) {
            return;
        }
        int from = layer.readAhead().touched(span);
        if (from >= 0) {
            readAhead(layer, from, layer.readAhead().window());
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
        demanded.incrementAndGet();
        try {
            List<Flight> waiting = new ArrayList<>();
            int from = first;
            while (from <= last) {
                if (object.has(from - base)) {
                    from++;
                    continue;
                }
                int to = from;
                while (to < last && !object.has(to + 1 - base)) {
                    to++;
                }
                waiting.addAll(request(layer, from, to, span -> object.has(span - base)));
                from = to + 1;
            }
            if (!waiting.isEmpty()) {
                long window = layer.readAhead().missed(first, last);
                if (window > 0) {
                    readAhead(layer, last + 1, window);
                }
            }
            for (int span = first; span <= last; span++) {
                long spanFrom = Math.max(index.spanStart(span), start + offset);
                long spanTo = Math.min(index.spanEnd(span), start + offset + length);
                MemorySegment part = into.asSlice(spanFrom - start - offset, spanTo - spanFrom);
                deliver(layer, span, span - base, object, state, part, spanFrom, spanFrom - start, deadline);
            }
        } finally {
            demanded.decrementAndGet();
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
        while (true) {
            long evictions = object.evictions();
            if (object.has(piece)) {
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
            Flight flight =
                    request(layer, span, span, again -> object.has(piece)).getFirst();
            await(flight.open, layer, deadline);
            if (!object.has(piece)) {
                await(flight.all, layer, deadline);
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

    /**
     * The flights of these spans; starts those that are not on their way.
     *
     * @param here whether a span has landed after all: a flight leaves the table after its bytes are in place
     */
    private List<Flight> request(KnownLayer layer, int first, int last, IntPredicate here) {
        List<Flight> all = new ArrayList<>(last - first + 1);
        List<Flight> mine = new ArrayList<>();
        int from = first;
        for (int span = first; span <= last; span++) {
            Flight fresh = new Flight();
            SpanKey key = new SpanKey(layer.ordinal(), span);
            Flight found = flights.putIfAbsent(key, fresh);
            all.add(found == null ? fresh : found);
            boolean start = found == null && !here.test(span);
            if (found == null && !start) {
                flights.remove(key);
                fresh.open.complete(null);
                fresh.all.complete(null);
            }
            if (start) {
                if (mine.isEmpty()) {
                    from = span;
                }
                mine.add(fresh);
            }
            boolean full = layer.index().spanBlobEnd(span) - layer.index().spanBlobStart(from) >= DEMAND_BYTES;
            if (!mine.isEmpty() && (!start || full || span == last)) {
                submit(layer, from, List.copyOf(mine), demand);
                mine.clear();
            }
        }
        return all;
    }

    private void submit(KnownLayer layer, int start, List<Flight> run, Semaphore permits) {
        threads.execute(() -> {
            permits.acquireUninterruptibly();
            try {
                fetch(layer, start, run);
            } finally {
                permits.release();
            }
        });
    }

    private void readAhead(KnownLayer layer, int from, long window) {
        LayerIndex index = layer.index();
        if (from >= index.spanCount()) {
            return;
        }
        long limit = index.spanBlobStart(from) + window;
        int end = from;
        while (end < index.spanCount() && index.spanBlobEnd(end) <= limit) {
            end++;
        }
        layer.readAhead().planned(from, end);
        int stop = end;
        threads.execute(() -> fetchAhead(layer, from, stop));
    }

    private void fetchAhead(KnownLayer layer, int from, int end) {
        int span = from;
        while (span < end) {
            if (isHeld(layer, span)) {
                span++;
                continue;
            }
            ahead.acquireUninterruptibly();
            try {
                giveWay();
                int start = span;
                long limit = layer.index().spanBlobStart(start) + READ_AHEAD_BYTES;
                List<Flight> run = new ArrayList<>();
                while (span < end
                        && (span == start || layer.index().spanBlobEnd(span) <= limit)
                        && !isHeld(layer, span)) {
                    Flight fresh = new Flight();
                    SpanKey key = new SpanKey(layer.ordinal(), span);
                    if (flights.putIfAbsent(key, fresh) != null) {
                        break;
                    }
                    if (isHeld(layer, span)) {
                        // It landed between the two looks; who has joined meanwhile looks again.
                        flights.remove(key);
                        fresh.open.complete(null);
                        fresh.all.complete(null);
                        break;
                    }
                    run.add(fresh);
                    span++;
                }
                if (run.isEmpty()) {
                    span++;
                } else {
                    fetch(layer, start, run);
                }
            } finally {
                ahead.release();
            }
        }
    }

    /** Lets reads that wait go first, but not for ever: they may wait for the same link for long. */
    private void giveWay() {
        for (int i = 0; i < 20 && demanded.get() > 0; i++) {
            try {
                TimeUnit.MILLISECONDS.sleep(2);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }

    private boolean isHeld(KnownLayer layer, int span) {
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
            try {
                stream(layer, next[0], last, (span, bytes, state) -> {
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

    private void fetch(KnownLayer layer, int start, List<Flight> run) {
        int done = 0;
        IOException last = null;
        try {
            for (int attempt = 0; attempt < ATTEMPTS && done < run.size(); attempt++) {
                int[] landed = {done};
                try {
                    stream(layer, start + done, start + run.size() - 1, (span, bytes, state) -> {
                        land(layer, span, run.get(span - start), bytes, state);
                        landed[0]++;
                    });
                } catch (RegistryException e) {
                    last = e;
                    if (e.reason() != RegistryException.Reason.MALFORMED) {
                        // The client has tried as often as makes sense.
                        attempt = ATTEMPTS;
                    }
                } catch (IOException e) {
                    last = e;
                }
                done = landed[0];
            }
            if (done == run.size()) {
                failing.set(false);
            } else {
                if (failing.compareAndSet(false, true)) {
                    LOG.log(
                            System.Logger.Level.WARNING,
                            "cannot fetch bytes of layer {0}: {1}",
                            layer.index().layer(),
                            last == null ? "unknown reason" : last.getMessage());
                }
            }
        } catch (RuntimeException | Error e) {
            last = new IOException("fetching failed: " + e, e);
            LOG.log(System.Logger.Level.ERROR, "fetching failed", e);
        } finally {
            IOException cause = last == null ? new IOException("the fetch was given up") : last;
            for (int i = done; i < run.size(); i++) {
                flights.remove(new SpanKey(layer.ordinal(), start + i));
                run.get(i).fail(cause);
            }
        }
    }

    /** What is done with a span's verified bytes. */
    @FunctionalInterface
    private interface Landing {
        void land(int span, MemorySegment bytes, CallState state) throws IOException;
    }

    /** One request for some spans, which land one after the other. */
    private void stream(KnownLayer layer, int first, int last, Landing landing) throws IOException {
        LayerIndex index = layer.index();
        long position = index.spanBlobStart(first);
        try (SpanBuffers.Lease lease = buffers.take();
                InputStream in = source.open(index.layer(), position, index.spanBlobEnd(last))) {
            int carried = -1;
            for (int span = first; span <= last; span++) {
                long from = index.spanBlobStart(span);
                int size = (int) (index.spanBlobEnd(span) - from);
                ByteBuffer compressed = lease.compressed(size);
                if (from < position && carried >= 0) {
                    compressed.put((byte) carried);
                    position = from + 1;
                }
                ByteBuffer bytes = lease.uncompressed((int) (index.spanEnd(span) - index.spanStart(span)));
                lease.inflater().begin(index, span, bytes);
                // Inflated while it arrives: a reader waits for the slower of the two, not for both.
                ByteBuffer arrived = compressed.duplicate().position(0);
                while (compressed.hasRemaining()) {
                    int n = lease.readInto(in, compressed);
                    if (n < 0) {
                        throw new EOFException("the registry ended a blob's range early");
                    }
                    fetchedBytes.add(n);
                    position += n;
                    lease.inflater().arrived(arrived.limit(compressed.position()));
                }
                carried = size > 0 ? compressed.get(size - 1) & 0xff : carried;
                lease.inflater().finish(arrived.limit(size), bytes);
                bytes.flip();
                landing.land(span, MemorySegment.ofBuffer(bytes), lease.state());
            }
        } catch (LayerException e) {
            source.distrust(index.layer());
            throw new IOException("the registry sent wrong bytes: " + e.getMessage(), e);
        }
    }

    /** Puts what the span holds where it belongs: first into objects that somebody has open, then into all others. */
    private void land(KnownLayer layer, int span, Flight flight, MemorySegment bytes, CallState state)
            throws IOException {
        long evictions = store.evictions();
        boolean kept = distribute(layer, span, bytes, state, true);
        if (!kept) {
            flight.bytes = bytes.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
        }
        flight.open.complete(null);
        if (kept) {
            kept = distribute(layer, span, bytes, state, false);
            if (kept) {
                layer.markHeld(span, evictions);
            } else {
                flight.bytes = bytes.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
            }
        }
        flights.remove(new SpanKey(layer.ordinal(), span));
        flight.all.complete(null);
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
            boolean kept =
                    (whole && !open) ? store.put(state, name, part) : writePiece(layer, row, span, name, part, state);
            if (!kept) {
                return false;
            }
        }
        return true;
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

    @Override
    public void close() {
        threads.shutdownNow();
        buffers.close();
    }
}
