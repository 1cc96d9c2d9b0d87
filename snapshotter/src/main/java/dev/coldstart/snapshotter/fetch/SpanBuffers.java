package dev.coldstart.snapshotter.fetch;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.layer.SpanInflater;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.util.concurrent.ConcurrentLinkedQueue;

/** Buffers and inflaters for requests in flight, kept for the next ones. */
final class SpanBuffers implements AutoCloseable {
    private static final int READ_BYTES = 64 << 10;
    /** Sizes are multiples of this, so that a slightly larger span finds room. */
    private static final int GRAIN = 256 << 10;
    /** A buffer that had to grow larger is not kept. */
    private static final int KEPT_BYTES = 4 << 20;

    private final ConcurrentLinkedQueue<Lease> idle = new ConcurrentLinkedQueue<>();
    private final int most;
    private volatile boolean closed;

    /** @param most how many are kept; how many are taken is for the caller to bound */
    SpanBuffers(int most) {
        this.most = most;
    }

    Lease take() {
        Lease lease = idle.poll();
        return lease == null ? new Lease() : lease;
    }

    @Override
    public void close() {
        closed = true;
        for (Lease lease = idle.poll(); lease != null; lease = idle.poll()) {
            lease.destroy();
        }
    }

    /** What one request needs; for one thread at a time. */
    final class Lease implements AutoCloseable {
        private final Arena arena = Arena.ofShared();
        private final CallState state = new CallState(arena);
        private final SpanInflater inflater = new SpanInflater();
        private final byte[] chunk = new byte[READ_BYTES];
        private ByteBuffer compressed = ByteBuffer.allocateDirect(0);
        private ByteBuffer uncompressed = ByteBuffer.allocateDirect(0);

        CallState state() {
            return state;
        }

        SpanInflater inflater() {
            return inflater;
        }

        /** Empty, with exactly this much room. */
        ByteBuffer compressed(int size) {
            if (compressed.capacity() < size) {
                compressed = allocate(size);
            }
            return compressed.clear().limit(size);
        }

        ByteBuffer uncompressed(int size) {
            if (uncompressed.capacity() < size) {
                uncompressed = allocate(size);
            }
            return uncompressed.clear().limit(size);
        }

        /** From the arena, so that it goes when the lease goes, not when the heap is full. */
        private ByteBuffer allocate(int size) {
            return arena.allocate(((long) size + GRAIN - 1) / GRAIN * GRAIN).asByteBuffer();
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
            if (!closed
                    && idle.size() < most
                    && compressed.capacity() <= KEPT_BYTES
                    && uncompressed.capacity() <= KEPT_BYTES) {
                idle.add(this);
            } else {
                destroy();
            }
        }

        private void destroy() {
            inflater.close();
            arena.close();
        }
    }
}
