package dev.coldstart.snapshotter.tree;

import java.io.IOException;
import java.util.Arrays;

/**
 * Spools a file of which only parts are given; the rest are zeros and take no room. Chunks are 4 KiB, or as much more as
 * keeps the file's table of chunks below 256 KiB.
 */
public final class SparseWriter {
    private static final int MAX_CHUNKS = 64 << 10;

    /** A file larger than this cannot be described by EROFS with 4 KiB blocks in so many chunks. */
    private static final long MAX_SIZE = 1L << 46;

    private final TreeSpool spool;
    private final long size;
    private final int chunkBits;
    private final long[] chunks;

    /**
     * A file that is one hole so far.
     *
     * @param size bytes of the file, more than 0
     * @throws TreeException if no file can be so large
     */
    public SparseWriter(TreeSpool spool, long size) throws TreeException {
        if (size <= 0 || size > MAX_SIZE) {
            throw new TreeException("a sparse file of " + size + " bytes fits in no tree");
        }
        this.spool = spool;
        this.size = size;
        int bits = TreeWriter.BLOCK_BITS;
        while (((size - 1) >>> bits) >= MAX_CHUNKS) {
            bits++;
        }
        chunkBits = bits;
        chunks = new long[(int) ((size - 1) >>> bits) + 1];
        Arrays.fill(chunks, -1);
    }

    /** Bytes one chunk takes in the tree as soon as there is a byte in it. */
    public long chunkSize() {
        return 1L << chunkBits;
    }

    /** Number of chunks that are no holes. */
    public int filled() {
        int filled = 0;
        for (long chunk : chunks) {
            filled += chunk < 0 ? 0 : 1;
        }
        return filled;
    }

    /** Puts bytes at an offset of the file; they must lie within its size. */
    public void write(long offset, byte[] bytes, int from, int length) throws IOException {
        while (length > 0) {
            int chunk = (int) (offset >>> chunkBits);
            long within = offset & (chunkSize() - 1);
            if (chunks[chunk] < 0) {
                chunks[chunk] = spool.reserve(chunkSize());
            }
            int piece = (int) Math.min(length, chunkSize() - within);
            spool.write(chunks[chunk] + within, bytes, from, piece);
            offset += piece;
            from += piece;
            length -= piece;
        }
    }

    /** The file as written so far. */
    public Content.Sparse content() {
        return new Content.Sparse(size, chunkBits, chunks);
    }
}
