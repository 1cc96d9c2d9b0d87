package dev.coldstart.snapshotter.fetch;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.layer.SpanInflater;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/** Buffers and inflaters for requests in flight, kept for the next ones. */
final class SpanBuffers implements AutoCloseable {
    private static final int READ_BYTES = 64 << 10;
    /** Sizes are multiples of this, so that a slightly larger span finds room. */
    private static final int GRAIN = 256 << 10;
    /** A buffer that had to grow larger is not kept. */
    private static final int KEPT_BYTES = 4 << 20;

    private final ConcurrentLinkedQueue<Lease> idle = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean used = new AtomicBoolean();
    private final int most;
    private volatile boolean closed;

    /** @param most how many are kept; how many are taken is for the caller to bound */
    SpanBuffers(int most) {
        this.most = most;
    }

    Lease take() {
        used.setPlain(true);
        Lease lease = idle.poll();
        return lease == null ? new Lease() : lease;
    }

    /** Lets go of what is kept if nothing was taken since the last call. */
    void rest() {
        if (!used.getAndSet(false)) {
            drop();
        }
    }

    @Override
    public void close() {
        closed = true;
        drop();
    }

    private void drop() {
        for (Lease lease = idle.poll(); lease != null; lease = idle.poll()) {
            lease.destroy();
        }
    }

    /** Native memory that is given back at once: direct buffers would wait for a collection that has no other cause. */
    private static final class Room {
        private @Nullable Arena arena;
        private ByteBuffer buffer = ByteBuffer.allocate(0);

        /** Empty, with exactly this much room. */
        ByteBuffer of(int size) {
            if (buffer.capacity() < size) {
                free();
                Arena fresh = Arena.ofShared();
                arena = fresh;
                buffer = fresh.allocate(((long) size + GRAIN - 1) / GRAIN * GRAIN)
                        .asByteBuffer();
            }
            return buffer.clear().limit(size);
        }

        void freeIfLarge() {
            if (buffer.capacity() > KEPT_BYTES) {
                free();
            }
        }

        void free() {
            if (arena != null) {
                buffer = ByteBuffer.allocate(0);
                arena.close();
                arena = null;
            }
        }
    }

    /** What one request needs; for one thread at a time. */
    final class Lease implements AutoCloseable {
        private final Arena arena = Arena.ofShared();
        private final CallState state = new CallState(arena);
        private final SpanInflater inflater = new SpanInflater();
        private final byte[] chunk = new byte[READ_BYTES];
        private final Room compressed = new Room();
        private final Room uncompressed = new Room();

        CallState state() {
            return state;
        }

        SpanInflater inflater() {
            return inflater;
        }

        /** Empty, with exactly this much room. */
        ByteBuffer compressed(int size) {
            return compressed.of(size);
        }

        ByteBuffer uncompressed(int size) {
            return uncompressed.of(size);
        }

        int readInto(InputStream in, ByteBuffer into) throws IOException {
            int n = in.read(chunk, 0, Math.min(chunk.length, into.remaining()));
            if (n > 0) {
                into.put(chunk, 0, n);
            }
            return n;
        }

        @Override
        public void close() {
            compressed.freeIfLarge();
            uncompressed.freeIfLarge();
            if (!closed && idle.size() < most) {
                idle.add(this);
            } else {
                destroy();
            }
        }

        private void destroy() {
            inflater.close();
            compressed.free();
            uncompressed.free();
            arena.close();
        }
    }
}
