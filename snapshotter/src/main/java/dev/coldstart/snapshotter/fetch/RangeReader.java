package dev.coldstart.snapshotter.fetch;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.layer.LayerException;
import dev.coldstart.snapshotter.layer.LayerIndex;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;

/** Turns one range of a blob into verified spans, while it arrives. */
final class RangeReader implements AutoCloseable {
    private final BlobSource source;
    private final SpanBuffers buffers;

    /** @param idle how many requests' buffers are kept for the next ones */
    RangeReader(BlobSource source, int idle) {
        this.source = source;
        this.buffers = new SpanBuffers(idle);
    }

    /** Who watches a request. */
    interface Progress {
        /** From now on the request waits for bytes. */
        void waiting();

        /**
         * Bytes came, or the end, and the request does not wait any more.
         *
         * @param bytes 0 at the end
         * @throws IOException to give the request up
         */
        void arrived(int bytes) throws IOException;
    }

    /** What is done with a span's verified bytes, which are gone afterwards. */
    @FunctionalInterface
    interface Sink {
        void take(int span, MemorySegment bytes, CallState state) throws IOException;
    }

    /**
     * One request for spans {@code first} to {@code last}, inclusive, each of which is delivered when it is whole.
     *
     * @param elsewhere not to be asked where others were asked
     */
    void read(KnownLayer layer, int first, int last, boolean elsewhere, Progress progress, Sink sink)
            throws IOException {
        LayerIndex index = layer.index();
        long position = index.spanBlobStart(first);
        long end = index.spanBlobEnd(last);
        progress.waiting();
        try (InputStream in = elsewhere
                        ? source.openElsewhere(index.layer(), position, end)
                        : source.open(index.layer(), position, end);
                SpanBuffers.Lease lease = buffers.take()) {
            int carried = -1;
            for (int span = first; span <= last; span++) {
                long from = index.spanBlobStart(span);
                int size = (int) (index.spanBlobEnd(span) - from);
                ByteBuffer compressed = lease.compressed(size);
                if (from < position && carried >= 0) {
                    // A byte of which the span before had the lower bits.
                    compressed.put((byte) carried);
                    position = from + 1;
                }
                ByteBuffer bytes = lease.uncompressed((int) (index.spanEnd(span) - index.spanStart(span)));
                lease.inflater().begin(index, span, bytes);
                // Inflated while it arrives: a reader waits for the slower of the two, not for both.
                ByteBuffer arrived = compressed.duplicate().position(0);
                while (compressed.hasRemaining()) {
                    progress.waiting();
                    int n = lease.readInto(in, compressed);
                    progress.arrived(Math.max(0, n));
                    if (n < 0) {
                        throw new EOFException("the registry ended a blob's range early");
                    }
                    position += n;
                    lease.inflater().arrived(arrived.limit(compressed.position()));
                }
                carried = size > 0 ? compressed.get(size - 1) & 0xff : carried;
                lease.inflater().finish(arrived.limit(size), bytes);
                bytes.flip();
                sink.take(span, MemorySegment.ofBuffer(bytes), lease.state());
            }
        } catch (LayerException e) {
            source.distrust(index.layer());
            throw new IOException("the registry sent wrong bytes: " + e.getMessage(), e);
        }
    }

    /** Lets go of buffers if nothing was read since the last call. */
    void rest() {
        buffers.rest();
    }

    @Override
    public void close() {
        buffers.close();
    }
}
