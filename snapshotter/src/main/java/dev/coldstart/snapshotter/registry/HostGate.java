package dev.coldstart.snapshotter.registry;

import dev.coldstart.snapshotter.registry.RegistryException.Reason;
import java.io.InterruptedIOException;
import java.time.Duration;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/** How much is asked of one server at a time, and whether it wants to be left alone for a while. */
final class HostGate {
    /** More connections than that make nothing faster, and servers count them. */
    private static final int REQUESTS = 32;
    /** A server that could not be reached, or broke off, is asked after the others for so long. */
    private static final long DOWN_NANOS = TimeUnit.SECONDS.toNanos(60);

    private static final Duration LONGEST_QUIET = Duration.ofMinutes(5);

    private final String host;
    private final Semaphore permits = new Semaphore(REQUESTS);
    private volatile long quietUntil = System.nanoTime();
    private volatile long downUntil = System.nanoTime();

    HostGate(String host) {
        this.host = host;
    }

    /**
     * Waits for a turn, which {@link #leave} gives back.
     *
     * @throws RegistryException OVERLOADED if it does not come within the patience; at once if that is known now
     */
    void enter(Duration patience) throws RegistryException, InterruptedIOException {
        long quiet = quietUntil - System.nanoTime();
        if (quiet > patience.toNanos()) {
            throw new RegistryException(
                    Reason.OVERLOADED,
                    "registry " + host + " has asked to be left alone for "
                            + (TimeUnit.NANOSECONDS.toSeconds(quiet) + 1) + " s more");
        }
        try {
            if (quiet > 0) {
                TimeUnit.NANOSECONDS.sleep(quiet);
            }
            if (!permits.tryAcquire(patience.toNanos(), TimeUnit.NANOSECONDS)) {
                throw new RegistryException(
                        Reason.OVERLOADED,
                        "no request to registry " + host + " ended within " + patience.toSeconds() + " s, and "
                                + REQUESTS + " are under way");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted");
        }
    }

    void leave() {
        permits.release();
    }

    /** All requests wait that long, or fail if they cannot. */
    void quiet(Duration howLong) {
        Duration bounded = howLong.compareTo(LONGEST_QUIET) > 0 ? LONGEST_QUIET : howLong;
        long until = System.nanoTime() + bounded.toNanos();
        if (until - quietUntil > 0) {
            quietUntil = until;
        }
    }

    void down() {
        downUntil = System.nanoTime() + DOWN_NANOS;
    }

    void up() {
        downUntil = System.nanoTime();
    }

    /** Whether others are to be asked first. */
    boolean avoided() {
        long now = System.nanoTime();
        return downUntil - now > 0 || quietUntil - now > 0;
    }
}
