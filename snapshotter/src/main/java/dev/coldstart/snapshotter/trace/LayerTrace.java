package dev.coldstart.snapshotter.trace;

import dev.coldstart.snapshotter.layer.Digest;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.CRC32C;

/**
 * Which bytes of a layer were read when containers started, in the order of their first reads. In terms of the uncompressed
 * tar, so that it holds for every index of the layer, whatever its spans.
 *
 * <h2>The bytes</h2>
 *
 * All numbers are little-endian.
 *
 * <pre>
 *   0   8  "CSTRACE\n"
 *   8   4  version, 1
 *  12  32  SHA-256 of the layer's blob
 *  44   4  n, number of ranges
 *  48      n rows of 16 bytes, ascending by time; ranges do not overlap
 *          0  8  offset in the uncompressed tar
 *          8  4  bytes, more than 0
 *         12  4  milliseconds since the container's mounts were asked for
 *   …   4  CRC-32C of all before
 * </pre>
 *
 * @param layer digest of the blob
 * @param ranges ascending by time, without overlap
 */
public record LayerTrace(Digest layer, List<Range> ranges) {
    private static final long MAGIC = 0x0a45_4341_5254_5343L;
    private static final int VERSION = 1;
    private static final int HEADER = 48;
    private static final int ROW = 16;
    private static final int CHECKSUM = 4;
    /** A layer of a terabyte in spans of a megabyte. */
    private static final int MOST_RANGES = 1 << 20;

    /**
     * Bytes that were read.
     *
     * @param offset in the uncompressed tar, 0 or more
     * @param length more than 0
     * @param millis from the start, 0 or more
     */
    public record Range(long offset, int length, int millis) {
        public Range {
            if (offset < 0 || length <= 0 || millis < 0 || offset + length < 0) {
                throw new IllegalArgumentException(
                        "a range of " + length + " bytes at " + offset + " after " + millis + " ms is impossible");
            }
        }

        private long end() {
            return offset + length;
        }
    }

    public LayerTrace {
        ranges = List.copyOf(ranges);
    }

    /**
     * Reads what {@link #bytes} wrote.
     *
     * @throws TraceException if it is not that
     */
    public static LayerTrace parse(byte[] bytes) throws TraceException {
        ByteBuffer in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        require(bytes.length >= HEADER + CHECKSUM && in.getLong(0) == MAGIC, "it does not start as one");
        require(in.getInt(8) == VERSION, "its version is " + in.getInt(8) + ", not " + VERSION);
        int count = in.getInt(44);
        require(
                count >= 0 && count <= MOST_RANGES && bytes.length == HEADER + ROW * count + CHECKSUM,
                "it is not as long as it says");
        require(
                in.getInt(bytes.length - CHECKSUM) == checksum(bytes, bytes.length - CHECKSUM),
                "its checksum is wrong");
        byte[] layer = new byte[32];
        in.get(12, layer);
        List<Range> ranges = new ArrayList<>(count);
        TreeMap<Long, Range> seen = new TreeMap<>();
        int last = 0;
        for (int i = 0; i < count; i++) {
            int at = HEADER + ROW * i;
            long offset = in.getLong(at);
            int length = in.getInt(at + 8);
            int millis = in.getInt(at + 12);
            require(
                    offset >= 0 && length > 0 && millis >= last && offset + length > offset,
                    "range " + i + " is impossible");
            Range range = new Range(offset, length, millis);
            require(isFree(seen, range), "range " + i + " overlaps another");
            seen.put(offset, range);
            ranges.add(range);
            last = millis;
        }
        return new LayerTrace(Digest.of(layer), ranges);
    }

    /** The bytes that {@link #parse} reads. */
    public byte[] bytes() {
        ByteBuffer out =
                ByteBuffer.allocate(HEADER + ROW * ranges.size() + CHECKSUM).order(ByteOrder.LITTLE_ENDIAN);
        out.putLong(MAGIC).putInt(VERSION).put(layer.bytes()).putInt(ranges.size());
        for (Range range : ranges) {
            out.putLong(range.offset()).putInt(range.length()).putInt(range.millis());
        }
        out.putInt(checksum(out.array(), out.position()));
        return out.array();
    }

    /** This trace and what another start read besides. */
    public LayerTrace with(List<Range> more) {
        TreeMap<Long, Range> known = new TreeMap<>();
        ranges.forEach(range -> known.put(range.offset(), range));
        List<Range> all = new ArrayList<>(ranges);
        for (Range range : more) {
            for (Range part : unknown(known, range)) {
                if (all.size() < MOST_RANGES) {
                    known.put(part.offset(), part);
                    all.add(part);
                }
            }
        }
        if (all.size() == ranges.size()) {
            return this;
        }
        all.sort(Comparator.comparingInt(Range::millis));
        return new LayerTrace(layer, all);
    }

    /** What of a range is in none that is known. */
    private static List<Range> unknown(TreeMap<Long, Range> known, Range range) {
        List<Range> parts = new ArrayList<>();
        Map.Entry<Long, Range> before = known.floorEntry(range.offset());
        long at = before == null
                ? range.offset()
                : Math.max(range.offset(), before.getValue().end());
        while (at < range.end()) {
            Map.Entry<Long, Range> next = known.ceilingEntry(at);
            long end = next == null ? range.end() : Math.min(range.end(), next.getKey());
            if (end > at) {
                parts.add(new Range(at, (int) (end - at), range.millis()));
            }
            at = next == null ? range.end() : next.getValue().end();
        }
        return parts;
    }

    private static boolean isFree(TreeMap<Long, Range> taken, Range range) {
        Map.Entry<Long, Range> before = taken.lowerEntry(range.end());
        return before == null || before.getValue().end() <= range.offset();
    }

    private static int checksum(byte[] bytes, int length) {
        CRC32C crc = new CRC32C();
        crc.update(bytes, 0, length);
        return (int) crc.getValue();
    }

    private static void require(boolean sound, String flaw) throws TraceException {
        if (!sound) {
            throw new TraceException("not a sound trace of a layer: " + flaw);
        }
    }
}
