package dev.coldstart.snapshotter.zstd;

import java.util.Arrays;

/**
 * A Huffman code for literals (RFC 8878, section 4.2). The table always has 11 bits, the most a code may have, so that the
 * place of a code's bits is a constant: an entry is the symbol in the lower 8 bits and the length of its code above them.
 *
 * <p>Streams are read from their last bit to their first. A place in one is the number of bits from the start of the array
 * to there; reads may look at up to 8 bytes before the stream, which the array must have.
 */
final class HuffmanTable {
    private static final int LOG = 11;
    private static final int SYMBOLS = 256;
    /** Symbols of one stream decoded from one word of 56 bits. */
    private static final int ROUND = 5;

    private final char[] entries = new char[1 << LOG];
    private final byte[] weights = new byte[SYMBOLS];
    private final int[] starts = new int[LOG + 2];
    private final FseTable weightTable = new FseTable(FseTable.Code.WEIGHTS);
    /** The bytes that the table was read from, in the form that they had there. */
    final byte[] description = new byte[SYMBOLS / 2];

    /** 0 if there is no table yet. */
    int descriptionLength;
    /** Whether the table is the one that there was at the last mark. */
    boolean inherited;
    /** Whether that one was used since. */
    boolean needed;

    /** How the table was given, as {@link SequenceTable} has it. */
    int mode() {
        return descriptionLength == 0 ? SequenceTable.REPEAT : SequenceTable.DESCRIBED;
    }

    /** The next block has the same table. */
    void repeat() throws ZstdException {
        if (descriptionLength == 0) {
            throw new ZstdException("a block refers to a Huffman table that there was not");
        }
        needed |= inherited;
    }

    /**
     * Reads a description.
     *
     * @return where it ends, at most {@code to}
     */
    int read(byte[] in, int from, int to) throws ZstdException {
        if (from >= to) {
            throw new ZstdException("a Huffman table is cut off");
        }
        descriptionLength = 0;
        inherited = false;
        int header = in[from] & 0xff;
        int end = from + 1 + (header < 128 ? header : (header - 126) / 2);
        if (end > to) {
            throw new ZstdException("a Huffman table is cut off");
        }
        int count;
        if (header < 128) {
            count = compressedWeights(in, from + 1, end);
        } else {
            count = header - 127;
            for (int i = 0; i < count; i++) {
                int pair = in[from + 1 + i / 2];
                weights[i] = (byte) ((i & 1) == 0 ? pair >>> 4 & 15 : pair & 15);
            }
        }
        build(count);
        System.arraycopy(in, from, description, 0, end - from);
        descriptionLength = end - from;
        return end;
    }

    /** Decodes a stream that is all of {@code in} from {@code from} to {@code to}. */
    void decode(byte[] in, int from, int to, byte[] out, int at, int count) throws ZstdException {
        tail(in, 8 * from, last(in, from, to), out, at, at + count);
    }

    /** Decodes four streams, whose sizes come first. */
    void decodeFour(byte[] in, int from, int to, byte[] out, int at, int count) throws ZstdException {
        int part = (count + 3) / 4;
        if (to - from < 10 || 3 * part > count) {
            throw new ZstdException("a literals section is too short for four streams");
        }
        int from1 = from + 6;
        int from2 = from1 + LittleEndian.getShort(in, from);
        int from3 = from2 + LittleEndian.getShort(in, from + 2);
        int from4 = from3 + LittleEndian.getShort(in, from + 4);
        if (from4 >= to) {
            throw new ZstdException("the streams of a literals section do not lie in it");
        }
        int p1 = last(in, from1, from2);
        int p2 = last(in, from2, from3);
        int p3 = last(in, from3, from4);
        int p4 = last(in, from4, to);
        int start1 = 8 * from1;
        int start2 = 8 * from2;
        int start3 = 8 * from3;
        int start4 = 8 * from4;
        int end = at + count;
        int o1 = at;
        int o2 = o1 + part;
        int o3 = o2 + part;
        int o4 = o3 + part;
        char[] table = entries;
        // The last stream is the shortest.
        int rounds = (end - o4) / ROUND;
        for (int i = 0; i < rounds; i++) {
            if (((p1 - start1) | (p2 - start2) | (p3 - start3) | (p4 - start4)) < 0) {
                break;
            }
            long b1 = word(in, p1);
            long b2 = word(in, p2);
            long b3 = word(in, p3);
            long b4 = word(in, p4);
            for (int k = 0; k < ROUND; k++) {
                int e1 = table[(int) (b1 >>> (64 - LOG))];
                int e2 = table[(int) (b2 >>> (64 - LOG))];
                int e3 = table[(int) (b3 >>> (64 - LOG))];
                int e4 = table[(int) (b4 >>> (64 - LOG))];
                out[o1 + k] = (byte) e1;
                out[o2 + k] = (byte) e2;
                out[o3 + k] = (byte) e3;
                out[o4 + k] = (byte) e4;
                b1 <<= e1 >>> 8;
                b2 <<= e2 >>> 8;
                b3 <<= e3 >>> 8;
                b4 <<= e4 >>> 8;
                p1 -= e1 >>> 8;
                p2 -= e2 >>> 8;
                p3 -= e3 >>> 8;
                p4 -= e4 >>> 8;
            }
            o1 += ROUND;
            o2 += ROUND;
            o3 += ROUND;
            o4 += ROUND;
        }
        tail(in, start1, p1, out, o1, at + part);
        tail(in, start2, p2, out, o2, at + 2 * part);
        tail(in, start3, p3, out, o3, at + 3 * part);
        tail(in, start4, p4, out, o4, end);
    }

    private void tail(byte[] in, int start, int last, byte[] out, int from, int to) throws ZstdException {
        int p = last;
        int at = from;
        while (at < to && p >= start) {
            int entry = entries[(int) (word(in, p) >>> (64 - LOG))];
            out[at++] = (byte) entry;
            p -= entry >>> 8;
        }
        if (at < to || p != start) {
            throw new ZstdException("a stream of literals does not end where it should");
        }
    }

    /** The 56 bits or more before a place, first the one next to it. */
    static long word(byte[] in, int p) {
        return LittleEndian.getLong(in, (p >>> 3) - 7) << (8 - (p & 7));
    }

    /** Where the bits of a stream start that is read backwards: below the highest bit set of its last byte. */
    static int last(byte[] in, int from, int to) throws ZstdException {
        if (from >= to || in[to - 1] == 0) {
            throw new ZstdException("a stream of bits has no end mark");
        }
        return 8 * to - 1 - (Integer.numberOfLeadingZeros(in[to - 1] & 0xff) - 24);
    }

    /** Decodes weights written as two interleaved streams of states; returns how many. */
    private int compressedWeights(byte[] in, int from, int to) throws ZstdException {
        int start = weightTable.read(in, from, to);
        int p = last(in, start, to) - 2 * weightTable.log;
        if (p < 8 * start) {
            throw new ZstdException("the weights of a Huffman table are cut off");
        }
        long[] table = weightTable.entries;
        int state = bits(in, p + weightTable.log, weightTable.log);
        int other = bits(in, p, weightTable.log);
        int count = 0;
        while (true) {
            if (count > SYMBOLS - 3) {
                throw new ZstdException("a Huffman table has too many weights");
            }
            long entry = table[state];
            weights[count++] = (byte) (entry >>> 32);
            int length = (int) entry & 0xff;
            p -= length;
            if (p < 8 * start) {
                // What is left over is in the other state.
                weights[count++] = (byte) (table[other] >>> 32);
                return count;
            }
            state = other;
            other = (int) (entry >>> 16 & 0xffff) + bits(in, p, length);
        }
    }

    private static int bits(byte[] in, int p, int count) {
        return (int) (LittleEndian.getLong(in, p >>> 3) >>> (p & 7)) & ((1 << count) - 1);
    }

    /** Fills the table from the weights, of which the last one follows from the others. */
    private void build(int count) throws ZstdException {
        int sum = 0;
        Arrays.fill(starts, 0);
        for (int i = 0; i < count; i++) {
            int weight = weights[i];
            if (weight > LOG) {
                throw new ZstdException("a Huffman table has a code of more than 11 bits");
            }
            sum += 1 << weight >> 1;
            starts[weight]++;
        }
        int bits = 32 - Integer.numberOfLeadingZeros(sum);
        int rest = (1 << bits) - sum;
        if (sum == 0 || bits > LOG || Integer.bitCount(rest) != 1) {
            throw new ZstdException("the weights of a Huffman table do not add up");
        }
        int last = Integer.numberOfTrailingZeros(rest) + 1;
        weights[count] = (byte) last;
        starts[last]++;
        if (starts[1] < 2) {
            throw new ZstdException("a Huffman table has no code of its full length");
        }
        int at = 0;
        for (int weight = 1; weight <= bits; weight++) {
            int symbols = starts[weight];
            starts[weight] = at;
            at += symbols << (weight - 1 + LOG - bits);
        }
        for (int symbol = 0; symbol <= count; symbol++) {
            int weight = weights[symbol];
            if (weight > 0) {
                int length = 1 << (weight - 1 + LOG - bits);
                int from = starts[weight];
                starts[weight] += length;
                Arrays.fill(entries, from, from + length, (char) ((bits + 1 - weight) << 8 | symbol));
            }
        }
    }
}
