package dev.coldstart.snapshotter.fetch;

import dev.coldstart.snapshotter.registry.RegistryException;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Some adjacent spans of a layer on their way, by one request or, while that is silent, by two of which the first to bring a
 * byte goes on. Its state is guarded by itself; the scheduler's lock may be held when it is entered, never taken inside.
 */
final class Transfer {
    private static final int ATTEMPTS = 3;
    /** How long one span of ours is held up for reads that wait. */
    private static final long COURTESY_NANOS = 50_000_000;
    /** Fewer bytes than this were on the way with the first ones. */
    private static final long MEASURABLE = 128 << 10;

    private final Scheduler scheduler;
    private final HostQueue host;
    private final List<Flight> flights;
    private final Priority priority;
    private final int first;
    /** Spans that have landed. */
    private int landed;

    private boolean demanded;
    /** Who may land spans; null while two requests race. */
    private @Nullable Attempt owner;

    private @Nullable Attempt hedge;
    private @Nullable Attempt primary;
    private boolean arriving;
    private boolean counted;

    Transfer(Scheduler scheduler, HostQueue host, List<Flight> flights, Priority priority) {
        this.scheduler = scheduler;
        this.host = host;
        this.flights = flights;
        this.priority = priority;
        this.first = flights.getFirst().span;
        this.demanded = priority == Priority.DEMAND;
    }

    Priority priority() {
        return priority;
    }

    HostQueue host() {
        return host;
    }

    /** The flights that have not landed; for whoever ends the transfer. */
    synchronized List<Flight> missing() {
        return flights.subList(landed, flights.size());
    }

    /** A read waits for one of the spans. */
    synchronized void demand() {
        demanded = true;
        count();
    }

    /** While bytes for a read arrive, what is fetched for less waits. */
    private void count() {
        if (demanded && arriving && !counted) {
            counted = true;
            scheduler.courtesy().enter();
        }
    }

    /**
     * Fetches all spans.
     *
     * @return null, or why some did not come
     */
    @Nullable
    IOException run() {
        KnownLayer layer = flights.getFirst().layer;
        IOException failure = null;
        try {
            for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
                failure = once(layer);
                if (failure == null || scheduler.closed()) {
                    break;
                }
                if (failure instanceof RegistryException e && e.reason() != RegistryException.Reason.MALFORMED) {
                    // The client has tried as often as makes sense.
                    break;
                }
            }
        } finally {
            synchronized (this) {
                if (counted) {
                    scheduler.courtesy().leave();
                }
            }
        }
        return failure;
    }

    private @Nullable IOException once(KnownLayer layer) {
        Attempt mine = new Attempt(false);
        synchronized (this) {
            primary = mine;
            hedge = null;
            owner = mine;
        }
        IOException failure = mine.read(layer);
        Attempt other;
        boolean won;
        synchronized (this) {
            primary = null;
            other = hedge;
            won = mine.isOwner();
            if (other != null && won) {
                other.interrupt();
            }
        }
        // The interrupt of a hedge that won was for the read only.
        boolean interrupted = Thread.interrupted();
        if (other == null || won) {
            if (interrupted && scheduler.closed()) {
                Thread.currentThread().interrupt();
            }
            return failure;
        }
        try {
            other.done.await();
            return other.failure;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return new IOException("fetching was ended");
        }
    }

    /**
     * Starts a second request if the first has been silent for long and a read waits for it.
     *
     * @param now by {@link System#nanoTime}
     * @return when to look again, in nanoseconds from now; {@link Long#MAX_VALUE} if there is nothing to look for
     */
    long hedge(long now, long patience) {
        Attempt silent;
        Attempt second;
        synchronized (this) {
            silent = primary;
            if (!demanded || hedge != null || silent == null) {
                return Long.MAX_VALUE;
            }
            long waited = silent.waitingSince == 0 ? 0 : now - silent.waitingSince;
            if (waited < patience) {
                return patience - waited;
            }
            if (!host.hedge()) {
                return patience;
            }
            second = new Attempt(true);
            hedge = second;
            owner = null;
        }
        scheduler.startHedge(() -> second.run(flights.getFirst().layer));
        return Long.MAX_VALUE;
    }

    /** One request. */
    private final class Attempt implements RangeReader.Progress {
        private final boolean isHedge;
        private final CountDownLatch done = new CountDownLatch(1);
        private final long began = System.nanoTime();
        private long firstByte;
        private long firstBytes;
        private long bytes;
        private long courtesy;
        /** When it began to wait for bytes; 0 if it does not. Guarded by the transfer, as is the thread. */
        private long waitingSince;

        private @Nullable Thread thread;
        private @Nullable IOException failure;

        Attempt(boolean isHedge) {
            this.isHedge = isHedge;
        }

        @SuppressWarnings("ReferenceEquality") // One of two.
        boolean isOwner() {
            return owner == this;
        }

        void interrupt() {
            if (thread != null) {
                thread.interrupt();
            }
        }

        /** A hedge's thread. */
        void run(KnownLayer layer) {
            boolean needed;
            synchronized (Transfer.this) {
                needed = owner == null;
            }
            IOException ended = needed ? read(layer) : new IOException("not needed any more");
            synchronized (Transfer.this) {
                failure = ended;
            }
            done.countDown();
        }

        @Nullable
        IOException read(KnownLayer layer) {
            int from;
            synchronized (Transfer.this) {
                thread = Thread.currentThread();
                from = landed;
            }
            try {
                scheduler
                        .reader()
                        .read(layer, first + from, flights.getLast().span, isHedge, this, (span, segment, state) -> {
                            courtesy = 0;
                            scheduler.land(flights.get(span - first), segment, state);
                            synchronized (Transfer.this) {
                                landed++;
                            }
                        });
                if (bytes - firstBytes >= MEASURABLE) {
                    scheduler.measured(host, bytes - firstBytes, System.nanoTime() - firstByte);
                }
                return null;
            } catch (IOException e) {
                return e;
            } catch (RuntimeException | Error e) {
                scheduler.broken(e);
                return new IOException("fetching failed: " + e, e);
            } finally {
                synchronized (Transfer.this) {
                    thread = null;
                    waitingSince = 0;
                }
            }
        }

        @Override
        public void waiting() {
            synchronized (Transfer.this) {
                if (waitingSince == 0) {
                    waitingSince = System.nanoTime() | 1;
                }
            }
        }

        @Override
        public void arrived(int n) throws IOException {
            boolean gentle;
            boolean mine;
            synchronized (Transfer.this) {
                waitingSince = 0;
                if (owner == null && n > 0) {
                    owner = this;
                    Attempt loser = isHedge ? primary : hedge;
                    if (loser != null) {
                        loser.interrupt();
                    }
                    if (isHedge) {
                        scheduler.hedgeWon();
                    }
                }
                if (n > 0) {
                    arriving = true;
                    count();
                }
                gentle = !demanded;
                mine = isOwner();
            }
            scheduler.arrived(host, priority, n);
            bytes += n;
            if (firstByte == 0 && n > 0) {
                firstByte = System.nanoTime();
                firstBytes = n;
                scheduler.answered(host, firstByte - began);
            }
            if (!mine) {
                throw new IOException("another request was faster");
            }
            if (gentle && courtesy < COURTESY_NANOS) {
                courtesy += scheduler.courtesy().giveWay(COURTESY_NANOS - courtesy);
            }
        }
    }

    /** Where what is fetched for less waits while bytes for reads arrive. */
    static final class Courtesy {
        private int reads;

        synchronized void enter() {
            reads++;
        }

        synchronized void leave() {
            reads--;
            if (reads == 0) {
                notifyAll();
            }
        }

        /**
         * Waits while there are such reads.
         *
         * @return nanoseconds waited, not much more than {@code most}
         */
        synchronized long giveWay(long most) {
            if (reads == 0) {
                return 0;
            }
            long start = System.nanoTime();
            long left = most;
            try {
                while (reads > 0 && left > 0) {
                    TimeUnit.NANOSECONDS.timedWait(this, left);
                    left = most - (System.nanoTime() - start);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            return System.nanoTime() - start;
        }
    }
}
