package dev.coldstart.snapshotter.layer;

import dev.coldstart.linux.RawInflater;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.zip.DataFormatException;

/**
 * Turns a span of chunks into its bytes and proves each chunk. The names of objects in such an index were not computed
 * here: those that lie whole in the span are compared with their bytes too, so that no index can give an object's name to
 * other bytes. (Larger ones are compared when they are complete.)
 */
final class ChunkInflater {
    private static final int SKIPPED = 64 << 10;

    private final RawInflater inflater;
    private final ZstdFrame zstd = new ZstdFrame();
    private final ByteBuffer skipped = ByteBuffer.allocateDirect(SKIPPED);
    private final MessageDigest sha256 = Sha256.digest();
    private final byte[] digest = new byte[32];

    ChunkInflater(RawInflater inflater) {
        this.inflater = inflater;
    }

    /**
     * Inflates one span.
     *
     * @param compressed exactly the blob's bytes of the span
     * @param room exactly as large as the span; filled, then its position is 0 again
     */
    void inflate(LayerIndex index, int span, ByteBuffer compressed, ByteBuffer room) throws LayerException {
        int end = index.firstChunk(span + 1);
        int chunk = index.firstChunk(span);
        while (chunk < end) {
            int behind = chunk + 1;
            if (index.isZeros(chunk)) {
                MemorySegment.ofBuffer(part(index, span, chunk, room)).fill((byte) 0);
            } else {
                while (behind < end
                        && !index.isZeros(behind)
                        && index.chunkBlobStart(behind) == index.chunkBlobStart(chunk)) {
                    behind++;
                }
                int from = (int) (index.chunkBlobStart(chunk) - index.spanBlobStart(span)) + compressed.position();
                ByteBuffer member = compressed.slice(from, index.chunkBlobBytes(chunk));
                try {
                    if (index.zstdChunks()) {
                        decode(index, span, chunk, behind, member, room);
                    } else {
                        inflate(index, span, chunk, behind, member, room);
                    }
                } catch (DataFormatException | IOException e) {
                    throw new LayerException(
                            "inflate chunk " + chunk + " of layer " + index.layer() + ": " + e.getMessage(), e);
                }
            }
            chunk = behind;
        }
        prove(index, span, room);
    }

    private static ByteBuffer part(LayerIndex index, int span, int chunk, ByteBuffer room) {
        long start = index.chunkStart(chunk);
        return room.slice((int) (start - index.spanStart(span)), (int) (index.chunkEnd(chunk) - start));
    }

    /** The chunks of one gzip member. */
    private void inflate(LayerIndex index, int span, int chunk, int behind, ByteBuffer member, ByteBuffer room)
            throws LayerException, DataFormatException {
        GzipHeader.skip(() -> {
            if (!member.hasRemaining()) {
                throw new LayerException("the gzip header is cut off");
            }
            return member.get() & 0xff;
        });
        inflater.reset();
        int at = 0;
        for (int i = chunk; i < behind; i++) {
            while (at < index.chunkInnerOffset(i)) {
                skipped.clear().limit(Math.min(SKIPPED, index.chunkInnerOffset(i) - at));
                fill(member, skipped);
                at += skipped.limit();
            }
            ByteBuffer part = part(index, span, i, room);
            fill(member, part);
            at += part.limit();
        }
    }

    private void fill(ByteBuffer in, ByteBuffer out) throws DataFormatException {
        while (out.hasRemaining()) {
            int before = in.remaining() + out.remaining();
            RawInflater.Status status = inflater.inflate(in, out);
            if (out.hasRemaining()
                    && (status == RawInflater.Status.END || in.remaining() + out.remaining() == before)) {
                throw new DataFormatException("the deflate data ends too early");
            }
        }
    }

    /** The chunks of one zstd frame. */
    private void decode(LayerIndex index, int span, int chunk, int behind, ByteBuffer frame, ByteBuffer room)
            throws IOException {
        if (behind == chunk + 1 && index.chunkInnerOffset(chunk) == 0) {
            zstd.decode(frame, part(index, span, chunk, room));
            return;
        }
        int last = behind - 1;
        int length = (int) (index.chunkInnerOffset(last) + index.chunkEnd(last) - index.chunkStart(last));
        ByteBuffer whole = ByteBuffer.allocate(length);
        zstd.decode(frame, whole);
        for (int i = chunk; i < behind; i++) {
            ByteBuffer part = part(index, span, i, room);
            part.put(whole.slice(index.chunkInnerOffset(i), part.limit()));
        }
    }

    private void prove(LayerIndex index, int span, ByteBuffer room) throws LayerException {
        int end = index.firstChunk(span + 1);
        for (int chunk = index.firstChunk(span); chunk < end; chunk++) {
            if (!index.isZeros(chunk) && !index.isChunkDigest(chunk, digest(part(index, span, chunk, room)))) {
                throw new LayerException("chunk " + chunk + " of layer " + index.layer()
                        + " is not what the index says: its SHA-256 differs");
            }
        }
        int chunk = index.firstChunk(span);
        for (int i = index.firstObjectIn(span); i < index.objectCount(); i++) {
            int row = index.byOffset(i);
            long from = index.objectOffset(row);
            long to = from + index.objectSize(row);
            if (from >= index.spanEnd(span)) {
                break;
            }
            if (from < index.spanStart(span) || to > index.spanEnd(span)) {
                continue;
            }
            while (index.chunkEnd(chunk) <= from) {
                chunk++;
            }
            boolean one = index.chunkStart(chunk) == from && index.chunkEnd(chunk) == to && !index.isZeros(chunk);
            int at = (int) (from - index.spanStart(span));
            if (one
                    ? !index.isNamedAsChunk(row, chunk)
                    : !index.isObjectName(row, digest(room.slice(at, (int) (to - from))))) {
                throw new LayerException("object " + index.objectName(row) + " of layer " + index.layer()
                        + " is not what its name says: its SHA-256 differs");
            }
        }
    }

    private byte[] digest(ByteBuffer bytes) {
        sha256.update(bytes);
        try {
            sha256.digest(digest, 0, digest.length);
        } catch (java.security.DigestException e) {
            throw new AssertionError("a SHA-256 has 32 bytes", e);
        }
        return digest;
    }
}
