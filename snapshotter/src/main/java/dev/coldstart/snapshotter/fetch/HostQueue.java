package dev.coldstart.snapshotter.fetch;

import dev.coldstart.snapshotter.layer.LayerIndex;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.LongAdder;
import org.jspecify.annotations.Nullable;

/** What waits for one host, and what that host was found to be like. Guarded by the scheduler's lock but for the meters. */
final class HostQueue {
    /** At once, beside what is fetched for less: a read never waits for a connection that others have. */
    static final int DEMAND_REQUESTS = 12;

    /** Bytes of the blob in one request. */
    private static final long DEMAND_BYTES = 4 << 20;

    private static final long LONGEST = 8 << 20;
    private static final long SHORTEST = 1 << 20;
    private static final long UNMEASURED = 2 << 20;
    /** Long runs are cut for idle connections, but not into smaller ranges than this. */
    private static final long SHORTEST_DEMAND = 256 << 10;
    /** A request should be worth some round trips, and let others in soon. */
    private static final int WORTH_LATENCIES = 4;

    /** Docker's registry reads 4 MiB ahead for every request, however few bytes of it were asked for. */
    private static final double SHORT_SECONDS = 0.2;
    /** Hedges: so many at once, and one for so many requests that reads wait for. */
    private static final double MOST_HEDGES = 4;

    private static final double HEDGES_PER_REQUEST = 0.03;
    /** Weight of the newest measurement. */
    private static final double WEIGHT = 0.2;

    private final String name;
    private final Map<Priority, Line> lines = new EnumMap<>(Priority.class);
    private final Latencies latencies = new Latencies();
    private final ConnectionLimit limit = new ConnectionLimit();
    /** Bytes per second of one connection; 0 if not known. */
    private double rate;

    private double hedges = MOST_HEDGES;
    final LongAdder bytes = new LongAdder();
    final AtomicBoolean failing = new AtomicBoolean();

    HostQueue(String name) {
        this.name = name;
        for (Priority priority : Priority.values()) {
            lines.put(priority, new Line());
        }
    }

    /** What waits for the same. */
    private static final class Line {
        /** Also flights that do not wait any more, or for more; these are passed over. */
        private final Deque<Flight> waiting = new ArrayDeque<>();

        private int queued;
        private int running;
    }

    private Line line(Priority priority) {
        return Objects.requireNonNull(lines.get(priority));
    }

    String name() {
        return name;
    }

    int queued(Priority priority) {
        return line(priority).queued;
    }

    int running(Priority priority) {
        return line(priority).running;
    }

    int running() {
        int sum = 0;
        for (Line line : lines.values()) {
            sum += line.running;
        }
        return sum;
    }

    int limit() {
        return limit.get();
    }

    void enqueue(Flight flight) {
        Line line = line(flight.priority);
        line.waiting.add(flight);
        line.queued++;
    }

    /** Moves a flight that waits to another line. */
    void lift(Flight flight, Priority to) {
        line(flight.priority).queued--;
        flight.priority = to;
        enqueue(flight);
    }

    /** The next of a class, which stays in the queue; null if there is none. */
    private @Nullable Flight head(Priority priority) {
        Deque<Flight> queue = line(priority).waiting;
        Flight head = queue.peek();
        while (head != null && (head.transfer != null || head.priority != priority)) {
            queue.poll();
            head = queue.peek();
        }
        return head;
    }

    /** Where flights are looked up. */
    @FunctionalInterface
    interface Flights {
        @Nullable
        Flight find(KnownLayer layer, int span);
    }

    /** The next request for reads that wait; null if there is none or enough run. */
    @Nullable
    List<Flight> nextDemand(Flights flights) {
        Flight head = head(Priority.DEMAND);
        if (head == null || running(Priority.DEMAND) >= DEMAND_REQUESTS) {
            return null;
        }
        // As long as the host may take more, one read's spans come side by side.
        int idle = Math.clamp(limit() - running(), 1, DEMAND_REQUESTS - running(Priority.DEMAND));
        return start(cut(head, flights, SHORTEST_DEMAND, DEMAND_BYTES, idle), Priority.DEMAND);
    }

    /** The next request for what nobody waits for; null if there is none or enough run. */
    @Nullable
    List<Flight> nextOther(Flights flights) {
        if (queued(Priority.DEMAND) > 0 || running() >= limit()) {
            return null;
        }
        for (Priority priority : Priority.values()) {
            Flight head = priority == Priority.DEMAND ? null : head(priority);
            if (head != null) {
                return start(cut(head, flights, SHORTEST, longest(), limit() - running()), priority);
            }
        }
        return null;
    }

    private long longest() {
        if (rate == 0) {
            return UNMEASURED;
        }
        double seconds = Math.max(SHORT_SECONDS, WORTH_LATENCIES * latencies.median() / 1e9);
        return Math.clamp((long) (rate * seconds), SHORTEST, LONGEST);
    }

    private List<Flight> start(List<Flight> run, Priority priority) {
        line(priority).queued -= run.size();
        line(priority).running++;
        if (priority == Priority.DEMAND) {
            hedges = Math.min(MOST_HEDGES, hedges + HEDGES_PER_REQUEST);
        }
        return run;
    }

    /** The neighbours of a span that are wanted for the same, behind it and then before it, shared out over {@code idle}. */
    private List<Flight> cut(Flight head, Flights flights, long shortest, long longest, int idle) {
        LayerIndex index = head.layer.index();
        long most = longest * idle;
        Deque<Flight> run = new ArrayDeque<>(List.of(head));
        for (int span = head.span + 1; span < index.spanCount(); span++) {
            Flight next = flights.find(head.layer, span);
            if (next == null || !joins(next, head) || index.spanBlobEnd(span) - index.spanBlobStart(head.span) > most) {
                break;
            }
            run.add(next);
        }
        long end = index.spanBlobEnd(run.getLast().span);
        if (head.priority != Priority.DEMAND) {
            for (int span = head.span - 1; span >= 0; span--) {
                Flight next = flights.find(head.layer, span);
                if (next == null || !joins(next, head) || end - index.spanBlobStart(span) > longest) {
                    break;
                }
                run.addFirst(next);
            }
        }
        long start = index.spanBlobStart(run.getFirst().span);
        long share = Math.clamp((end - start) / idle, shortest, longest);
        List<Flight> taken = new ArrayList<>();
        for (Flight next : run) {
            long length = index.spanBlobEnd(next.span) - start;
            // The span that everything is about must be in it.
            if (next.span > head.span && (length > longest || index.spanBlobStart(next.span) - start >= share)) {
                break;
            }
            taken.add(next);
        }
        return taken;
    }

    @SuppressWarnings("ReferenceEquality") // There is one queue for each host.
    private boolean joins(Flight next, Flight head) {
        return next.transfer == null && next.priority == head.priority && next.host == this;
    }

    /** A request has ended. */
    void ended(Priority priority) {
        line(priority).running--;
    }

    /** Notes what a host did. */
    void measured(long firstByteNanos) {
        latencies.add(firstByteNanos);
    }

    /** Notes how fast a request's bytes came once they came. */
    void measured(long count, long nanos) {
        double now = count * 1e9 / Math.max(1, nanos);
        rate = rate == 0 ? now : rate + WEIGHT * (now - rate);
    }

    /** See {@link ConnectionLimit#look}; to be called after what can be started was started. */
    void look(long now) {
        boolean more = queued(Priority.READ_AHEAD) + queued(Priority.REPLAY) + queued(Priority.BACKGROUND) > 0;
        limit.look(now, bytes.sum(), more && running() >= limit());
    }

    /** After so many nanoseconds without a byte a request is hedged. */
    long patience() {
        return latencies.tail();
    }

    /** Bytes that come in the time that a request takes to its first. */
    long bytesPerLatency() {
        return (long) (rate * latencies.median() / 1e9);
    }

    /** Takes a hedge from those that are allowed. */
    boolean hedge() {
        if (hedges < 1) {
            return false;
        }
        hedges--;
        return true;
    }
}
