package dev.coldstart.snapshotter.layer;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** Carries uncompressed bytes from the thread that inflates to the thread that reads them as a tar, in a few buffers. */
final class Pipe {
    private static final int PIECES = 8;
    private static final int PIECE = 256 << 10;

    /** Some bytes of the uncompressed stream; a piece never has bytes of two spans. */
    static final class Piece {
        final byte[] bytes = new byte[PIECE];
        int length;

        /** Whether the bytes are in the digest that their span's {@link Checkpoint} has at the end of the span. */
        boolean hashed;

        /** Set if a span starts with this piece. */
        @Nullable
        Checkpoint start;
    }

    /** The other side has given up; why is known there. */
    static final class BrokenException extends IOException {
        private static final long serialVersionUID = 1;
    }

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final Deque<Piece> empty = new ArrayDeque<>();
    private final Deque<Piece> full = new ArrayDeque<>();
    private boolean finished;
    private boolean broken;

    Pipe() {
        for (int i = 0; i < PIECES; i++) {
            empty.add(new Piece());
        }
    }

    /** Waits for a piece to fill. */
    Piece take() throws IOException {
        Piece piece = await(empty);
        if (piece == null) {
            throw new BrokenException();
        }
        piece.length = 0;
        piece.start = null;
        return piece;
    }

    /** Whether so many pieces wait that the side which empties them is the slower one. */
    boolean isBacklogged() {
        lock.lock();
        try {
            return full.size() >= PIECES / 2;
        } finally {
            lock.unlock();
        }
    }

    /** Hands a filled piece over. */
    void put(Piece piece) {
        change(() -> full.add(piece));
    }

    /** There will be no more pieces. */
    void finish() {
        change(() -> finished = true);
    }

    /** One side gives up; the other will see it at its next call. */
    void breakOff() {
        change(() -> broken = true);
    }

    /** Waits for a filled piece; null at the end. */
    @Nullable
    Piece next() throws IOException {
        return await(full);
    }

    /** Gives a piece back. */
    void release(Piece piece) {
        change(() -> empty.add(piece));
    }

    private @Nullable Piece await(Deque<Piece> pieces) throws IOException {
        lock.lock();
        try {
            while (true) {
                if (broken) {
                    throw new BrokenException();
                }
                Piece piece = pieces.poll();
                if (piece != null || finished) {
                    return piece;
                }
                changed.await();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted while indexing a layer");
        } finally {
            lock.unlock();
        }
    }

    private void change(Runnable change) {
        lock.lock();
        try {
            change.run();
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }
}
