package dev.coldstart.snapshotter.fetch;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Function;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Decides which spans are fetched when, and in which requests. A span is on its way once, whoever wants it; who wants it for
 * more lifts it. What reads wait for starts at once, on connections that nothing else gets; the rest shares as many as the
 * host is found to need, in ranges short enough not to be in the way.
 */
final class Scheduler implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(Scheduler.class.getName());
    /** Requests at once to all hosts, each of which has buffers for a span. */
    private static final int MOST_DEMAND = 24;

    private static final int MOST_OTHER = 16;
    /** Requests whose buffers stay. */
    private static final int IDLE = 8;

    private static final long CLOSE_SECONDS = 5;

    /** Where a span's verified bytes go. */
    @FunctionalInterface
    interface Landing {
        /** Has {@code flight.open} done when it returns. */
        void land(Flight flight, MemorySegment bytes, CallState state) throws IOException;
    }

    private record SpanKey(int ordinal, int span) {}

    private final RangeReader reader;
    private final Function<Digest, String> hosts;
    private final Landing landing;
    private final ExecutorService threads = Executors.newThreadPerTaskExecutor(
            Thread.ofVirtual().name("fetch-", 0).factory());
    private final Transfer.Courtesy courtesy = new Transfer.Courtesy();

    private final ReentrantLock lock = new ReentrantLock();
    /** A transfer began that may have to be hedged, or the end has come. */
    private final Condition changed = lock.newCondition();

    private final Map<SpanKey, Flight> flights = new HashMap<>();
    private final Map<String, HostQueue> queues = new HashMap<>();
    private final Set<Transfer> transfers = new LinkedHashSet<>();
    private final Map<Priority, LongAdder> bytes = new EnumMap<>(Priority.class);
    private final Map<Priority, Long> requests = new EnumMap<>(Priority.class);
    private long merged;
    private long lifted;
    private long hedges;
    private long failures;
    private final LongAdder hedgesWon = new LongAdder();
    private volatile boolean closed;

    /** @param hosts which host is asked for a layer's blob */
    Scheduler(BlobSource source, Function<Digest, String> hosts, Landing landing) {
        this.reader = new RangeReader(source, IDLE);
        this.hosts = hosts;
        this.landing = landing;
        for (Priority priority : Priority.values()) {
            bytes.put(priority, new LongAdder());
            requests.put(priority, 0L);
        }
        threads.execute(this::hedgeSilentOnes);
    }

    RangeReader reader() {
        return reader;
    }

    Transfer.Courtesy courtesy() {
        return courtesy;
    }

    boolean closed() {
        return closed;
    }

    /**
     * The flights of these spans, but of those that are here; starts those that are not on their way.
     *
     * @param here whether a span's bytes are here; called with the scheduler's lock held
     * @throws IOException if this was closed
     */
    List<Flight> want(List<Wanted> spans, Priority priority, Predicate<Wanted> here) throws IOException {
        Map<KnownLayer, String> places = new HashMap<>();
        for (Wanted wanted : spans) {
            var _ = places.computeIfAbsent(
                    wanted.layer(), layer -> hosts.apply(layer.index().layer()));
        }
        List<Flight> flown = new ArrayList<>(spans.size());
        lock.lock();
        try {
            if (closed) {
                throw new IOException("fetching was ended");
            }
            for (Wanted wanted : spans) {
                Flight found = find(wanted.layer(), wanted.span());
                if (found != null) {
                    lift(found, priority);
                    flown.add(found);
                } else if (!here.test(wanted)) {
                    // A flight leaves the table after its bytes are in place, so they are really not here.
                    HostQueue queue = queues.computeIfAbsent(places.getOrDefault(wanted.layer(), ""), HostQueue::new);
                    Flight fresh = new Flight(wanted.layer(), wanted.span(), priority, queue);
                    flights.put(new SpanKey(wanted.layer().ordinal(), wanted.span()), fresh);
                    queue.enqueue(fresh);
                    flown.add(fresh);
                }
            }
            startWhatMay();
        } finally {
            lock.unlock();
        }
        return flown;
    }

    private @Nullable Flight find(KnownLayer layer, int span) {
        return flights.get(new SpanKey(layer.ordinal(), span));
    }

    private void lift(Flight flight, Priority to) {
        if (to.compareTo(flight.priority) >= 0) {
            return;
        }
        Transfer transfer = flight.transfer;
        if (transfer == null) {
            flight.host.lift(flight, to);
        } else {
            flight.priority = to;
            if (to == Priority.DEMAND) {
                transfer.demand();
                changed.signal();
            }
        }
        if (to == Priority.DEMAND) {
            lifted++;
        }
    }

    private void startWhatMay() {
        for (HostQueue queue : queues.values()) {
            while (running(true) < MOST_DEMAND && start(queue, queue.nextDemand(this::find), Priority.DEMAND)) {
                changed.signal();
            }
        }
        for (HostQueue queue : queues.values()) {
            boolean more = true;
            while (more && running(false) < MOST_OTHER) {
                List<Flight> run = queue.nextOther(this::find);
                more = run != null && start(queue, run, run.getFirst().priority);
            }
            queue.look(System.nanoTime());
        }
    }

    private int running(boolean demand) {
        int sum = 0;
        for (HostQueue queue : queues.values()) {
            int own = queue.running(Priority.DEMAND);
            sum += demand ? own : queue.running() - own;
        }
        return sum;
    }

    private boolean start(HostQueue queue, @Nullable List<Flight> run, Priority priority) {
        if (run == null) {
            return false;
        }
        Transfer transfer = new Transfer(this, queue, run, priority);
        for (Flight flight : run) {
            flight.transfer = transfer;
        }
        transfers.add(transfer);
        requests.merge(priority, 1L, Long::sum);
        merged += run.size() - 1;
        threads.execute(() -> run(transfer));
        return true;
    }

    private void run(Transfer transfer) {
        IOException failure = transfer.run();
        List<Flight> missing = transfer.missing();
        HostQueue host = transfer.host();
        if (missing.isEmpty()) {
            host.failing.set(false);
        } else if (!closed && host.failing.compareAndSet(false, true)) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "cannot fetch bytes of layer {0}: {1}",
                    missing.getFirst().layer.index().layer(),
                    failure == null ? "unknown reason" : failure.getMessage());
        }
        lock.lock();
        try {
            transfers.remove(transfer);
            host.ended(transfer.priority());
            if (!missing.isEmpty()) {
                failures++;
                missing.forEach(this::remove);
            }
            if (!closed) {
                startWhatMay();
            }
        } finally {
            lock.unlock();
        }
        IOException cause = failure == null ? new IOException("the fetch was given up") : failure;
        missing.forEach(flight -> flight.fail(cause));
    }

    private void remove(Flight flight) {
        flights.remove(new SpanKey(flight.layer.ordinal(), flight.span));
    }

    /** Puts a span where it belongs, after which it is not on its way any more. */
    void land(Flight flight, MemorySegment segment, CallState state) throws IOException {
        landing.land(flight, segment, state);
        lock.lock();
        try {
            remove(flight);
        } finally {
            lock.unlock();
        }
        flight.all.complete(null);
    }

    void arrived(HostQueue host, Priority priority, int count) {
        host.bytes.add(count);
        LongAdder counter = bytes.get(priority);
        if (counter != null) {
            counter.add(count);
        }
    }

    void answered(HostQueue host, long firstByteNanos) {
        lock.lock();
        try {
            host.measured(firstByteNanos);
        } finally {
            lock.unlock();
        }
    }

    void measured(HostQueue host, long count, long nanos) {
        lock.lock();
        try {
            host.measured(count, nanos);
        } finally {
            lock.unlock();
        }
    }

    void hedgeWon() {
        hedgesWon.increment();
    }

    void broken(Throwable e) {
        LOG.log(System.Logger.Level.ERROR, "fetching failed", e);
    }

    /** Called with the lock held. */
    void startHedge(Runnable hedge) {
        hedges++;
        threads.execute(hedge);
    }

    private void hedgeSilentOnes() {
        lock.lock();
        try {
            while (!closed) {
                long now = System.nanoTime();
                long next = Long.MAX_VALUE;
                for (Transfer transfer : transfers) {
                    next = Math.min(next, transfer.hedge(now, transfer.host().patience()));
                }
                if (next == Long.MAX_VALUE) {
                    changed.await();
                } else {
                    var _ = changed.awaitNanos(next);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            lock.unlock();
        }
    }

    /** Bytes of a layer's blob that cost no more than another request. */
    long bytesWorthARequest(Digest layer) {
        String host = hosts.apply(layer);
        lock.lock();
        try {
            HostQueue queue = queues.get(host);
            return queue == null ? 0 : queue.bytesPerLatency();
        } finally {
            lock.unlock();
        }
    }

    FetchStatistics statistics(long repairs, long repairBytes, long packedBytes) {
        Map<Priority, Long> fetched = new EnumMap<>(Priority.class);
        bytes.forEach((priority, counter) -> fetched.put(priority, counter.sum()));
        fetched.merge(Priority.DEMAND, repairBytes, Long::sum);
        fetched.merge(Priority.REPLAY, packedBytes, Long::sum);
        Map<Priority, Integer> queued = new EnumMap<>(Priority.class);
        Map<String, Integer> connections = new HashMap<>();
        lock.lock();
        try {
            int running = 0;
            for (HostQueue queue : queues.values()) {
                running += queue.running();
                connections.put(queue.name(), queue.limit());
                for (Priority priority : Priority.values()) {
                    queued.merge(priority, queue.queued(priority), Integer::sum);
                }
            }
            return new FetchStatistics(
                    fetched,
                    requests,
                    queued,
                    running,
                    connections,
                    merged,
                    lifted,
                    hedges,
                    hedgesWon.sum(),
                    repairs,
                    failures);
        } finally {
            lock.unlock();
        }
    }

    /** Ends all requests; who waits gets an error. */
    @Override
    public void close() {
        List<Flight> queued = new ArrayList<>();
        lock.lock();
        try {
            closed = true;
            changed.signalAll();
            for (Flight flight : flights.values()) {
                if (flight.transfer == null) {
                    queued.add(flight);
                }
            }
            queued.forEach(this::remove);
        } finally {
            lock.unlock();
        }
        IOException cause = new IOException("fetching was ended");
        queued.forEach(flight -> flight.fail(cause));
        threads.shutdownNow();
        try {
            if (!threads.awaitTermination(CLOSE_SECONDS, TimeUnit.SECONDS)) {
                LOG.log(System.Logger.Level.WARNING, "requests for bytes of layers did not end in time");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        reader.close();
    }
}
