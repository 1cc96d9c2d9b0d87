package dev.coldstart.snapshotter.registry;

import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.time.Duration;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/** A body that fails when no bytes come for a while, or next to none: java.net.http waits for ever. */
public final class StallGuard extends FilterInputStream {
    /** Less than that in the time of a silence is a server that wants to be waited for, not a slow link. */
    private static final long TRICKLE_BYTES = 4 << 10;

    private final String from;
    private final long silenceNanos;
    private final ScheduledFuture<?> check;
    /** When the read that waits now began; 0 if none does. */
    private volatile long readingSince;

    private volatile boolean stalled;
    private long waited;
    private long came;

    /**
     * Guards a body.
     *
     * @param from who sends it, for messages
     */
    public StallGuard(InputStream body, ScheduledExecutorService clock, String from, Duration silence) {
        super(body);
        this.from = from;
        this.silenceNanos = silence.toNanos();
        this.check = clock.scheduleAtFixedRate(this::look, silenceNanos / 4, silenceNanos / 4, TimeUnit.NANOSECONDS);
    }

    private void look() {
        long since = readingSince;
        if (since != 0 && System.nanoTime() - since > silenceNanos) {
            stalled = true;
            try {
                super.close();
            } catch (IOException e) {
                // The reader is told by its own failure.
                check.cancel(false);
            }
        }
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] bytes, int offset, int length) throws IOException {
        // A reader that works long on what it has is no stall.
        long since = System.nanoTime() | 1;
        readingSince = since;
        try {
            int n = super.read(bytes, offset, length);
            if (n < 0 && stalled) {
                throw new IOException(from + " sent nothing for too long");
            }
            trickle(n, System.nanoTime() - since);
            return n;
        } catch (IOException e) {
            throw stalled ? new IOException(from + " sent nothing for too long", e) : e;
        } finally {
            readingSince = 0;
        }
    }

    private void trickle(int n, long nanos) throws IOException {
        waited += nanos;
        came += Math.max(0, n);
        if (waited > silenceNanos) {
            if (n >= 0 && came < TRICKLE_BYTES) {
                throw new IOException(from + " sent next to nothing for too long");
            }
            waited = 0;
            came = 0;
        }
    }

    @Override
    public void close() throws IOException {
        check.cancel(false);
        super.close();
    }
}
