package dev.coldstart.shim.ttrpc;

import com.google.protobuf.ByteString;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * What came for a stream and was not taken yet. ttrpc has no flow control for a stream, so when this is full the thread
 * that reads the connection waits, and with it the peer, as Go's implementation does; but only for a second, because all
 * other calls of the connection wait too.
 */
final class Inbox {
    private static final int ROOM_BYTES = 1 << 20;
    private static final int MESSAGE_BYTES = 64;
    /** Less than containerd's shortest limit for a call to a shim, 2 s for {@code State}. */
    private static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(1);

    /** All that the connection's inboxes hold. */
    private final AtomicLong held;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition arrived = lock.newCondition();
    private final Condition taken = lock.newCondition();
    // All guarded by lock.
    private final Queue<ByteString> messages = new ArrayDeque<>();
    private long bytes;
    private boolean ended;
    private @Nullable Exception failure;

    Inbox(AtomicLong held) {
        this.held = held;
    }

    /** What a message takes from the connection's room. */
    static long cost(long length) {
        return length + MESSAGE_BYTES;
    }

    /** Adds a message; it is dropped if the stream has ended. False if there was no room for it for too long. */
    boolean put(ByteString message) {
        long cost = cost(message.size());
        lock.lock();
        try {
            long left = PATIENCE_NANOS;
            while (!ended && !messages.isEmpty() && bytes + cost > ROOM_BYTES) {
                if (left <= 0) {
                    return false;
                }
                left = taken.awaitNanos(left);
            }
            if (!ended) {
                messages.add(message);
                charge(cost);
                arrived.signal();
            }
            return true;
        } catch (InterruptedException e) {
            // Nobody interrupts a thread that reads a connection.
            Thread.currentThread().interrupt();
            return false;
        } finally {
            lock.unlock();
        }
    }

    /** Nothing more comes; what is here can still be taken, then comes {@code failure} if there is one. */
    void end(@Nullable Exception failure) {
        lock.lock();
        try {
            if (!ended) {
                ended = true;
                this.failure = failure;
                arrived.signalAll();
                taken.signalAll();
            }
        } finally {
            lock.unlock();
        }
    }

    /** Ends the stream at once, whether or not it had ended; what is here is dropped. */
    void abort(Exception reason) {
        lock.lock();
        try {
            messages.clear();
            charge(-bytes);
            ended = true;
            failure = reason;
            arrived.signalAll();
            taken.signalAll();
        } finally {
            lock.unlock();
        }
    }

    boolean ended() {
        lock.lock();
        try {
            return ended;
        } finally {
            lock.unlock();
        }
    }

    /**
     * The next message, waited for.
     *
     * @param deadline by {@link System#nanoTime}, if there is one
     * @return null after the last
     * @throws StatusException the failure with which the stream ended, or that the deadline has passed
     */
    @Nullable
    ByteString take(@Nullable Long deadline) throws StatusException, IOException, InterruptedException {
        lock.lockInterruptibly();
        try {
            while (messages.isEmpty() && !ended) {
                if (deadline == null) {
                    arrived.await();
                } else if (arrived.awaitNanos(deadline - System.nanoTime()) <= 0 && messages.isEmpty() && !ended) {
                    throw new StatusException(Code.DEADLINE_EXCEEDED, "no message came in time");
                }
            }
            ByteString message = messages.poll();
            if (message != null) {
                charge(-cost(message.size()));
                taken.signal();
                return message;
            }
            throwFailure();
            return null;
        } finally {
            lock.unlock();
        }
    }

    /** Throws what ended the stream, if it was no success. */
    void throwFailure() throws StatusException, IOException {
        lock.lock();
        try {
            switch (failure) {
                case null -> {}
                // Anew, for a stack trace of the thread that learns of it.
                case StatusException e -> throw new StatusException(e.code(), String.valueOf(e.getMessage()), e);
                case Exception e -> throw new IOException(e.getMessage(), e);
            }
        } finally {
            lock.unlock();
        }
    }

    private void charge(long cost) {
        bytes += cost;
        held.addAndGet(cost);
    }
}
