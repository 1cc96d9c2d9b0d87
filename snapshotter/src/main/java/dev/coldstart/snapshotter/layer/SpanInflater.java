package dev.coldstart.snapshotter.layer;

import dev.coldstart.linux.Zlib;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/**
 * Turns a span's range of the blob into its uncompressed bytes, and proves them by the SHA-256 in the index. Holds some
 * native memory (about 100 KiB); not thread-safe, so pool them, one per reading thread.
 */
public final class SpanInflater implements AutoCloseable {
    private static final int GZIP_TRAILER = 8;

    private final Zlib zlib = new Zlib();
    private final Inflater windowInflater = new Inflater(true);
    private final ByteBuffer window = ByteBuffer.allocateDirect(LayerIndexer.WINDOW);
    private final MessageDigest sha256 = Sha256.digest();
    private final byte[] digest = new byte[32];

    /**
     * Inflates one span. Writes {@code spanEnd - spanStart} bytes at {@code dst}'s position and moves it behind them;
     * after an exception the position is where it was and the bytes behind it are undefined.
     *
     * @param compressed exactly the blob's bytes from {@code spanBlobStart} to {@code spanBlobEnd}; its position is moved
     * @param dst room for the span; direct buffers spare a copy
     * @throws LayerException if the bytes are not those the index was made from
     */
    public void inflate(LayerIndex index, int span, ByteBuffer compressed, ByteBuffer dst) throws LayerException {
        int length = (int) (index.spanEnd(span) - index.spanStart(span));
        long range = index.spanBlobEnd(span) - index.spanBlobStart(span);
        if (compressed.remaining() != range) {
            throw new IllegalArgumentException(
                    "span " + span + " takes " + range + " bytes of the blob, not " + compressed.remaining());
        }
        if (dst.remaining() < length) {
            throw new IllegalArgumentException(
                    "span " + span + " has " + length + " bytes, there is room for " + dst.remaining());
        }
        int start = dst.position();
        ByteBuffer room = dst.slice(start, length);
        if (index.gzip()) {
            try {
                inflateGzip(index, span, compressed, room);
            } catch (DataFormatException e) {
                throw new LayerException(
                        "inflate span " + span + " of layer " + index.layer() + ": " + e.getMessage(), e);
            }
        } else {
            room.put(compressed);
        }
        sha256.update(room.flip());
        try {
            sha256.digest(digest, 0, digest.length);
        } catch (java.security.DigestException e) {
            throw new AssertionError("a SHA-256 has 32 bytes", e);
        }
        if (!index.isSpanDigest(span, digest)) {
            throw new LayerException(
                    "span " + span + " of layer " + index.layer() + " is not what the index says: its SHA-256 differs");
        }
        dst.position(start + length);
    }

    @Override
    public void close() {
        zlib.close();
        windowInflater.end();
    }

    private void inflateGzip(LayerIndex index, int span, ByteBuffer in, ByteBuffer out)
            throws LayerException, DataFormatException {
        zlib.reset();
        int bits = index.spanBits(span);
        if (bits > 0) {
            zlib.prime(bits, (in.get() & 0xff) >>> (8 - bits));
        }
        int windowSize = index.windowSize(span);
        if (windowSize > 0) {
            windowInflater.reset();
            windowInflater.setInput(index.window(span));
            window.clear().limit(windowSize);
            windowInflater.inflate(window);
            if (window.hasRemaining()) {
                throw new DataFormatException("its window is incomplete");
            }
            zlib.setWindow(window.flip());
        }
        while (out.hasRemaining()) {
            int before = in.remaining() + out.remaining();
            if (zlib.inflate(in, out, false) == Zlib.Status.END) {
                if (!out.hasRemaining()) {
                    return;
                }
                // The span goes on in the next gzip member.
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
                zlib.reset();
            } else if (in.remaining() + out.remaining() == before) {
                throw new DataFormatException("the deflate data ends too early");
            }
        }
    }
}
