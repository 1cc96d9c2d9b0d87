package dev.coldstart.snapshotter.layer;

import dev.coldstart.linux.RawInflater;
import dev.coldstart.snapshotter.zstd.ZstdDecoder;
import dev.coldstart.snapshotter.zstd.ZstdException;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;
import org.jspecify.annotations.Nullable;

/**
 * Turns a span's range of the blob into its uncompressed bytes, and proves them by the SHA-256 in the index. Holds some
 * native memory (about 250 KiB) and, once there was a span of zstd data, as much as it has twice; not thread-safe, so pool
 * them, one per reading thread.
 */
public final class SpanInflater implements AutoCloseable {
    private static final int GZIP_TRAILER = 8;
    /** A zstd checkpoint that takes more is not kept. */
    private static final int MOST_KEPT = 1 << 20;

    private final RawInflater inflater;
    private final Inflater stateInflater = new Inflater(true);
    private final ByteBuffer window = ByteBuffer.allocateDirect(LayerIndexer.WINDOW);
    // Most layers have no zstd.
    private @Nullable ZstdDecoder zstd;
    private byte[] state = {};
    private final MessageDigest sha256 = Sha256.digest();
    private final byte[] digest = new byte[32];
    private final ChunkInflater chunks;
    private @Nullable Current current;

    /** Inflates as fast as this host can. */
    public SpanInflater() {
        this(RawInflater.fastest());
    }

    /** @param inflater closed with this */
    SpanInflater(RawInflater inflater) {
        this.inflater = inflater;
        chunks = new ChunkInflater(inflater);
    }

    /**
     * Inflates one span. Writes {@code spanEnd - spanStart} bytes at {@code dst}'s position and moves it behind them;
     * after an exception the position is where it was and the bytes behind it are undefined.
     *
     * @param compressed exactly the blob's bytes from {@code spanBlobStart} to {@code spanBlobEnd}; its position is moved
     * @param dst room for the span; direct buffers spare a copy
     * @throws LayerException if the bytes are not those the index was made from
     */
    public void inflate(LayerIndex index, int span, ByteBuffer compressed, ByteBuffer dst) throws LayerException {
        begin(index, span, dst);
        finish(compressed, dst);
    }

    /**
     * Begins a span whose bytes are still arriving: {@link #arrived} takes them as they come, {@link #finish} the rest.
     *
     * @param dst room for the span; the same buffer is given to {@link #finish}
     */
    public void begin(LayerIndex index, int span, ByteBuffer dst) throws LayerException {
        int length = (int) (index.spanEnd(span) - index.spanStart(span));
        if (dst.remaining() < length) {
            throw new IllegalArgumentException(
                    "span " + span + " has " + length + " bytes, there is room for " + dst.remaining());
        }
        current = new Current(
                index, span, index.spanBlobEnd(span) - index.spanBlobStart(span), dst.slice(dst.position(), length));
        try {
            switch (index.format()) {
                case LayerIndex.FORMAT_GZIP, LayerIndex.FORMAT_GZIP_PROVEN -> startGzip(index, span);
                case LayerIndex.FORMAT_ZSTD -> startZstd(index, span, length);
                default -> {}
            }
        } catch (DataFormatException | ZstdException e) {
            throw wrong(current, e);
        }
    }

    /**
     * Inflates what it can of a span that is still arriving.
     *
     * @param compressed the blob's bytes from {@code spanBlobStart} on, as far as they are here; its position, which is
     *     moved, is where the last call left it
     */
    public void arrived(ByteBuffer compressed) throws LayerException {
        Current span = current();
        try {
            switch (span.index.format()) {
                case LayerIndex.FORMAT_GZIP -> inflateGzip(span, compressed, false);
                case LayerIndex.FORMAT_ZSTD -> {
                    int start = compressed.position();
                    zstd().arrived(compressed);
                    span.taken += compressed.position() - start;
                }
                default -> {}
            }
        } catch (DataFormatException | ZstdException e) {
            throw wrong(span, e);
        }
    }

    /**
     * Ends a span: inflates the rest of it and proves it.
     *
     * @param compressed all of the span's bytes, its position where the last call left it, 0 if there was none
     * @param dst the buffer given to {@link #begin}; its position is moved behind the span
     * @throws LayerException if the bytes are not those the index was made from
     */
    public void finish(ByteBuffer compressed, ByteBuffer dst) throws LayerException {
        Current span = current();
        current = null;
        if (span.taken + compressed.remaining() != span.range) {
            throw new IllegalArgumentException("span " + span.span + " takes " + span.range + " bytes of the blob, not "
                    + (span.taken + compressed.remaining()));
        }
        ByteBuffer room = span.room;
        if (span.index.chunked()) {
            chunks.inflate(span.index, span.span, compressed, room);
            dst.position(dst.position() + room.limit());
            return;
        }
        if (span.index.provenBeforeInflating()) {
            prove(span, compressed.duplicate());
        }
        try {
            switch (span.index.format()) {
                case LayerIndex.FORMAT_GZIP, LayerIndex.FORMAT_GZIP_PROVEN -> inflateGzip(span, compressed, true);
                case LayerIndex.FORMAT_ZSTD -> zstd().finish(compressed, room);
                default -> room.put(compressed);
            }
        } catch (DataFormatException | ZstdException e) {
            throw wrong(span, e);
        }
        room.flip();
        if (!span.index.provenBeforeInflating()) {
            prove(span, room);
        }
        dst.position(dst.position() + room.limit());
    }

    private void prove(Current span, ByteBuffer bytes) throws LayerException {
        sha256.update(bytes);
        try {
            sha256.digest(digest, 0, digest.length);
        } catch (java.security.DigestException e) {
            throw new AssertionError("a SHA-256 has 32 bytes", e);
        }
        if (!span.index.isSpanDigest(span.span, digest)) {
            throw new LayerException("span " + span.span + " of layer " + span.index.layer()
                    + " is not what the index says: its SHA-256 differs");
        }
    }

    private Current current() {
        Current span = current;
        if (span == null) {
            throw new IllegalStateException("no span was begun");
        }
        return span;
    }

    private static LayerException wrong(Current span, Exception e) {
        return new LayerException(
                "inflate span " + span.span + " of layer " + span.index.layer() + ": " + e.getMessage(), e);
    }

    @Override
    public void close() {
        inflater.close();
        stateInflater.end();
    }

    private void startGzip(LayerIndex index, int span) throws LayerException, DataFormatException {
        inflater.reset();
        int windowSize = index.stateSize(span);
        if (windowSize == 0) {
            return;
        }
        inflater.inflate(index.state(span), window.clear().limit(windowSize));
        if (window.hasRemaining()) {
            throw new DataFormatException("its window is incomplete");
        }
        inflater.reset();
        inflater.setWindow(window.flip());
    }

    private void startZstd(LayerIndex index, int span, int length) throws ZstdException, DataFormatException {
        int size = index.stateSize(span);
        if (size == 0) {
            zstd().begin(length);
            return;
        }
        if (state.length < size + 2 * ZstdDecoder.MARGIN || state.length > MOST_KEPT) {
            state = new byte[size + 2 * ZstdDecoder.MARGIN];
        }
        stateInflater.reset();
        stateInflater.setInput(index.state(span));
        if (stateInflater.inflate(state, ZstdDecoder.MARGIN, size) != size) {
            throw new DataFormatException("its checkpoint is incomplete");
        }
        zstd().begin(length, state, ZstdDecoder.MARGIN, ZstdDecoder.MARGIN + size);
    }

    private ZstdDecoder zstd() {
        ZstdDecoder decoder = zstd;
        if (decoder == null) {
            decoder = new ZstdDecoder();
            zstd = decoder;
        }
        return decoder;
    }

    private void inflateGzip(Current span, ByteBuffer in, boolean whole) throws LayerException, DataFormatException {
        int start = in.position();
        ByteBuffer out = span.room;
        if (span.taken == 0 && in.hasRemaining()) {
            int bits = span.index.spanBits(span.span);
            if (bits > 0) {
                inflater.prime(bits, (in.get() & 0xff) >>> (8 - bits));
            }
        }
        while (out.hasRemaining()) {
            if (span.memberEnded) {
                // What is between two members is read in one go.
                if (!whole) {
                    break;
                }
                if (in.remaining() < GZIP_TRAILER) {
                    throw new DataFormatException("the gzip member has no trailer");
                }
                in.position(in.position() + GZIP_TRAILER);
                GzipHeader.skip(() -> {
                    if (!in.hasRemaining()) {
                        throw new LayerException("the gzip header is cut off");
                    }
                    return in.get() & 0xff;
                });
                inflater.reset();
                span.memberEnded = false;
            }
            int before = in.remaining() + out.remaining();
            if (inflater.inflate(in, out) == RawInflater.Status.END) {
                span.memberEnded = true;
            } else if (in.remaining() + out.remaining() == before) {
                if (!whole) {
                    break;
                }
                throw new DataFormatException("the deflate data ends too early");
            }
        }
        span.taken += in.position() - start;
    }

    /** The span in work. */
    private static final class Current {
        private final LayerIndex index;
        private final int span;
        /** Bytes of the blob that it takes. */
        private final long range;
        /** What is left of its room. */
        private final ByteBuffer room;
        /** Bytes of the blob inflated. */
        private long taken;
        /** The gzip member is at its end, and the span is not. */
        private boolean memberEnded;

        private Current(LayerIndex index, int span, long range, ByteBuffer room) {
            this.index = index;
            this.span = span;
            this.range = range;
            this.room = room;
        }
    }
}
