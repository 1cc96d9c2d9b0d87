package dev.coldstart.shim.ttrpc;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Frames on their way to a peer, for threads that may be interrupted or have a deadline: they wait for room here, and a
 * thread of its own writes, because an interrupt in the middle of a write closes a channel. That thread lives as long as
 * there is something to write.
 */
final class Outbox {
    private static final ThreadFactory THREADS =
            Thread.ofVirtual().name("ttrpc writer").factory();
    private static final int ROOM_BYTES = 256 << 10;
    /** More than all that can wait for room take together. */
    private static final int UNBOUNDED = Integer.MAX_VALUE / 2;

    private final Connection connection;
    private final Semaphore room = new Semaphore(ROOM_BYTES, true);
    private final Runnable writer = this::write;
    private final ReentrantLock lock = new ReentrantLock();
    // All guarded by lock.
    private final Queue<ByteBuffer> frames = new ArrayDeque<>();
    private boolean writing;
    private @Nullable IOException failure;

    Outbox(Connection connection) {
        this.connection = connection;
    }

    /** Waits for room for a frame, which must then be added or given up. */
    void reserve(ByteBuffer frame) throws InterruptedException {
        room.acquire(cost(frame));
    }

    /** Waits for room until {@link System#nanoTime} is {@code deadline}; false when there was none. */
    boolean reserve(ByteBuffer frame, long deadline) throws InterruptedException {
        return room.tryAcquire(cost(frame), deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
    }

    /** Waits for room for as long as the connection lives. */
    void reserveUninterruptibly(ByteBuffer frame) {
        room.acquireUninterruptibly(cost(frame));
    }

    void giveUp(ByteBuffer frame) {
        room.release(cost(frame));
    }

    /**
     * Queues a frame for which there is room; frames are sent in the order of these calls.
     *
     * @throws IOException if the connection has ended
     */
    void add(ByteBuffer frame) throws IOException {
        lock.lock();
        try {
            if (failure != null) {
                throw new IOException("the connection has ended: " + failure.getMessage(), failure);
            }
            frames.add(frame);
            if (!writing) {
                writing = true;
                THREADS.newThread(writer).start();
            }
        } finally {
            lock.unlock();
        }
    }

    /** Ends all waiting, now and later; returns why the connection ended first. */
    IOException fail(IOException reason) {
        lock.lock();
        try {
            if (failure == null) {
                failure = reason;
                frames.clear();
                room.release(UNBOUNDED);
            }
            return failure;
        } finally {
            lock.unlock();
        }
    }

    private void write() {
        try {
            for (ByteBuffer frame = next(); frame != null; frame = next()) {
                connection.write(frame);
                room.release(cost(frame));
            }
        } catch (IOException e) {
            end(e);
        } catch (RuntimeException | Error e) {
            end(new IOException("cannot send: " + e, e));
            throw e;
        }
    }

    private void end(IOException reason) {
        fail(reason);
        try {
            // Half a frame may have been sent. The reader learns by this that it is over.
            connection.close();
        } catch (IOException e) {
            reason.addSuppressed(e);
        }
    }

    private @Nullable ByteBuffer next() {
        lock.lock();
        try {
            ByteBuffer frame = frames.poll();
            writing = frame != null;
            return frame;
        } finally {
            lock.unlock();
        }
    }

    /** A frame larger than the room takes all of it. */
    private static int cost(ByteBuffer frame) {
        return Math.min(frame.limit(), ROOM_BYTES);
    }
}
