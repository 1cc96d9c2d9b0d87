package dev.coldstart.snapshotter.trace;

import dev.coldstart.snapshotter.fetch.Prefetch;
import dev.coldstart.snapshotter.layer.Digest;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.Deflater;
import org.jspecify.annotations.Nullable;

/**
 * The bytes of a layer that starts read here and there, packed: where a start needs some pages of many spans, it takes a
 * fraction of the bytes, of the processor and of the requests that the spans would.
 *
 * <h2>The bytes</h2>
 *
 * All numbers are big-endian.
 *
 * <pre>
 *   0   8  "CSPREFET"
 *   8   4  version, 1
 *  12  32  SHA-256 of the layer's blob
 *  44   4  n, number of ranges
 *  48      n rows of 12 bytes, in the order in which starts read them
 *          0  8  offset in the uncompressed tar
 *          8  4  bytes, 1 to 4 MiB
 *   …      frames, each with the bytes of the next ranges
 *          0  4  bytes, a sum of whole ranges, 8 MiB at most
 *          4  4  bytes compressed
 *          8     raw deflate data (RFC 1951)
 * </pre>
 */
public final class PrefetchBlob {
    /** Bytes of a range. */
    static final int LONGEST_RANGE = 4 << 20;

    private static final long MAGIC = 0x4353_5052_4546_4554L;
    private static final int VERSION = 1;
    /** A frame ends with the range that brings it to this many bytes. */
    private static final int FRAME = 512 << 10;

    private static final int LONGEST_FRAME = 8 << 20;
    private static final int MOST_RANGES = 1 << 20;

    private PrefetchBlob() {}

    /** Where the bytes of ranges come from. */
    @FunctionalInterface
    interface Bytes {
        /** Reads all of a range to the start of {@code into}. */
        void read(Prefetch.Range range, byte[] into) throws IOException;
    }

    /** @param ranges in their order, of at most {@link #LONGEST_RANGE} bytes */
    static void write(OutputStream to, Digest layer, List<Prefetch.Range> ranges, Bytes bytes) throws IOException {
        DataOutputStream out = new DataOutputStream(to);
        out.writeLong(MAGIC);
        out.writeInt(VERSION);
        out.write(layer.bytes());
        out.writeInt(ranges.size());
        for (Prefetch.Range range : ranges) {
            out.writeLong(range.offset());
            out.writeInt(range.length());
        }
        Deflater deflater = new Deflater(Deflater.DEFAULT_COMPRESSION, true);
        try {
            byte[] range = new byte[LONGEST_RANGE];
            byte[] frame = new byte[FRAME + LONGEST_RANGE];
            int filled = 0;
            for (Prefetch.Range next : ranges) {
                bytes.read(next, range);
                System.arraycopy(range, 0, frame, filled, next.length());
                filled += next.length();
                if (filled >= FRAME) {
                    writeFrame(out, deflater, frame, filled);
                    filled = 0;
                }
            }
            if (filled > 0) {
                writeFrame(out, deflater, frame, filled);
            }
        } finally {
            deflater.end();
        }
        out.flush();
    }

    private static void writeFrame(DataOutputStream out, Deflater deflater, byte[] frame, int length)
            throws IOException {
        deflater.reset();
        deflater.setInput(frame, 0, length);
        deflater.finish();
        // Data that cannot be compressed grows by 5 bytes for each block of 16 KiB at most, and some more at the end.
        byte[] compressed = new byte[length + length / 1024 + 64];
        int size = deflater.deflate(compressed);
        if (!deflater.finished()) {
            throw new IOException("a frame of " + length + " bytes does not fit into " + compressed.length);
        }
        out.writeInt(length);
        out.writeInt(size);
        out.write(compressed, 0, size);
    }

    /** Reads what {@link #write} wrote, from the front. For one thread. */
    static final class Reader {
        private final DataInputStream in;
        private final List<Prefetch.Range> ranges;
        private int at;

        private Reader(DataInputStream in, List<Prefetch.Range> ranges) {
            this.in = in;
            this.ranges = ranges;
        }

        /** All ranges, in their order. */
        List<Prefetch.Range> ranges() {
            return ranges;
        }

        /**
         * The next frame.
         *
         * @return null at the end
         * @throws TraceException if there cannot be such a frame
         */
        @Nullable
        Frame next() throws IOException {
            if (at == ranges.size()) {
                return null;
            }
            int length = in.readInt();
            int size = in.readInt();
            require(
                    length > 0 && length <= LONGEST_FRAME && size > 0 && size <= length + length / 1024 + 64,
                    "a frame says that it has " + length + " bytes in " + size);
            List<Prefetch.Range> own = new ArrayList<>();
            long sum = 0;
            while (sum < length && at < ranges.size()) {
                own.add(ranges.get(at));
                sum += ranges.get(at++).length();
            }
            require(sum == length, "a frame ends within a range");
            byte[] compressed = new byte[size];
            in.readFully(compressed);
            return new Frame(own, length, ByteBuffer.wrap(compressed));
        }
    }

    /**
     * Some ranges' bytes, compressed.
     *
     * @param length when they are not
     */
    record Frame(List<Prefetch.Range> ranges, int length, ByteBuffer compressed) {}

    /**
     * Begins to read.
     *
     * @throws TraceException if this is not the layer's prefetch blob
     */
    static Reader open(InputStream from, Digest layer) throws IOException {
        DataInputStream in = new DataInputStream(from);
        require(in.readLong() == MAGIC, "it does not start as one");
        int version = in.readInt();
        require(version == VERSION, "its version is " + version + ", not " + VERSION);
        byte[] digest = new byte[32];
        in.readFully(digest);
        require(Digest.of(digest).equals(layer), "it is one of " + Digest.of(digest));
        int count = in.readInt();
        require(count >= 0 && count <= MOST_RANGES, "it cannot have " + count + " ranges");
        List<Prefetch.Range> ranges = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            long offset = in.readLong();
            int length = in.readInt();
            require(
                    offset >= 0 && length > 0 && length <= LONGEST_RANGE && offset + length > 0,
                    "range " + i + " is impossible");
            ranges.add(new Prefetch.Range(offset, length));
        }
        return new Reader(in, List.copyOf(ranges));
    }

    private static void require(boolean sound, String flaw) throws TraceException {
        if (!sound) {
            throw new TraceException("not a sound prefetch blob of a layer: " + flaw);
        }
    }
}
