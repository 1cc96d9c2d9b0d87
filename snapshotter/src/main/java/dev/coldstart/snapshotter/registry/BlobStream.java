package dev.coldstart.snapshotter.registry;

import dev.coldstart.snapshotter.registry.RegistryException.Reason;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The bytes of a blob from one place to another, over as many answers as it takes: where one breaks, the next goes on,
 * perhaps from another server. Delivers nothing beyond its end.
 */
final class BlobStream extends InputStream {
    /** Breaks without a MiB between them after which it gives up. */
    private static final int FAILURES = 3;

    private static final long PROGRESS = 1 << 20;
    private static final long FIRST_PAUSE_MILLIS = 20;
    /** The end of a blob whose length nobody has told. */
    static final long UNKNOWN = -1;

    private final String what;
    private final Opener opener;
    private long position;
    private long end;
    private long total = UNKNOWN;
    private @Nullable Body body;
    private int failures;
    private long lastFailure;
    private boolean closed;

    /** Asks for the rest. */
    @FunctionalInterface
    interface Opener {
        /**
         * One answer.
         *
         * @param end offset behind the last byte; {@link #UNKNOWN} for all there is
         */
        Body open(long from, long end) throws IOException;
    }

    /**
     * What one answer has.
     *
     * @param from offset of its first byte, not behind the one that was asked for
     * @param end offset behind its last byte; {@link #UNKNOWN} if it does not say
     * @param total size of the blob; {@link #UNKNOWN} if it does not say
     * @param exact whether the answer itself ends there, too, and says so
     */
    record Body(InputStream in, long from, long end, long total, boolean exact) {}

    /**
     * Opens the first answer.
     *
     * @param what for messages
     */
    BlobStream(String what, long from, long end, Opener opener) throws IOException {
        this.what = what;
        this.opener = opener;
        this.position = from;
        this.end = end;
        body = open();
    }

    private Body open() throws IOException {
        Body next = opener.open(position, end);
        try {
            if (next.total() >= 0) {
                if (total >= 0 && next.total() != total) {
                    throw new RegistryException(
                            Reason.MALFORMED,
                            what + " had " + total + " bytes at first and has " + next.total() + " now");
                }
                total = next.total();
                end = end < 0 ? total : end;
            }
            next.in().skipNBytes(position - next.from());
            return next;
        } catch (IOException e) {
            next.in().close();
            throw e;
        }
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] bytes, int offset, int length) throws IOException {
        Objects.checkFromIndexSize(offset, length, bytes.length);
        if (closed) {
            throw new IOException("closed");
        }
        while (length > 0 && (end < 0 || position < end)) {
            try {
                Body now = body;
                if (now == null) {
                    now = open();
                    body = now;
                }
                int n = now.in().read(bytes, offset, most(now, length));
                if (n > 0) {
                    position += n;
                    if (position == now.end()) {
                        finish(now);
                    }
                    return n;
                }
                if (now.end() < 0 && end < 0) {
                    end = position;
                    return -1;
                }
                throw new EOFException(what + " ended after " + position + " bytes, too early");
            } catch (IOException e) {
                closeBody();
                failed(e);
            }
        }
        return length == 0 ? 0 : -1;
    }

    /** An answer that is read to its end leaves its connection to the next request; it may not be what was asked for. */
    private void finish(Body now) {
        try {
            if (now.exact()) {
                var _ = now.in().read();
            }
        } catch (IOException e) {
            // All that was announced has come.
            body = now;
        }
        closeBody();
    }

    private int most(Body now, int length) {
        long most = length;
        if (end >= 0) {
            most = Math.min(most, end - position);
        }
        if (now.end() >= 0) {
            most = Math.min(most, now.end() - position);
        }
        return (int) most;
    }

    private void failed(IOException e) throws IOException {
        if (position - lastFailure >= PROGRESS) {
            failures = 0;
        }
        lastFailure = position;
        // Opening has had its own retries.
        if (++failures > FAILURES || e instanceof RegistryException || e instanceof InterruptedIOException) {
            throw e;
        }
        try {
            TimeUnit.MILLISECONDS.sleep(FIRST_PAUSE_MILLIS << failures);
        } catch (InterruptedException interrupt) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted");
        }
    }

    private void closeBody() {
        Body now = body;
        body = null;
        if (now != null) {
            try {
                now.in().close();
            } catch (IOException e) {
                // What it had is no longer wanted.
                body = null;
            }
        }
    }

    @Override
    public void close() {
        closed = true;
        closeBody();
    }
}
