package dev.coldstart.snapshotter.zstd;

import java.util.Arrays;

/**
 * A decoding table of finite state entropy (RFC 8878, section 4.1). A state is an index into {@code entries}; an entry says
 * what the state means and what comes next, in one word:
 *
 * <pre>
 * bits  0–7   bits to read for the next state
 * bits  8–15  bits to read for the value
 * bits 16–31  to be added to the bits of the next state
 * bits 32–63  to be added to the bits of the value
 * </pre>
 */
final class FseTable {
    /** What the values of a table are: for each symbol the least value and the bits to read beyond it. */
    @SuppressWarnings("ImmutableEnumChecker") // Nobody writes to its arrays.
    enum Code {
        /** Lengths of literals. */
        LITERALS(
                9,
                new int[] {
                    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 128,
                    256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536
                },
                new int[] {
                    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12,
                    13, 14, 15, 16
                },
                6,
                new int[] {
                    4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1,
                    -1, -1, -1
                }),
        /** Offsets, where 1 to 3 stand for the last ones. */
        OFFSETS(8, powers(), ascending(), 5, new int[] {
            1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1
        }),
        /** Lengths of matches. */
        MATCHES(
                9,
                new int[] {
                    3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
                    30, 31, 32, 33, 34, 35, 37, 39, 41, 43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099,
                    8195, 16387, 32771, 65539
                },
                new int[] {
                    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
                    1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
                },
                6,
                new int[] {
                    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1
                }),
        /** Weights of a Huffman table: the symbols themselves. */
        WEIGHTS(6, ascending(), new int[32], 0, new int[0]);

        /** The most bits that a state has. */
        final int maxLog;

        private final int[] least;
        private final int[] bits;
        private final int predefinedLog;
        private final int[] predefined;

        Code(int maxLog, int[] least, int[] bits, int predefinedLog, int[] predefined) {
            this.maxLog = maxLog;
            this.least = least;
            this.bits = bits;
            this.predefinedLog = predefinedLog;
            this.predefined = predefined;
        }

        private static int[] powers() {
            int[] powers = new int[32];
            Arrays.setAll(powers, i -> 1 << i);
            return powers;
        }

        private static int[] ascending() {
            int[] numbers = new int[32];
            Arrays.setAll(numbers, i -> i);
            return numbers;
        }
    }

    /** More than any description takes. */
    private static final int MAX_DESCRIPTION = 128;

    final Code code;
    final long[] entries;
    /** Bits of a state. */
    int log;
    /** The bytes that the table was read from, in the form that they had there. */
    final byte[] description = new byte[MAX_DESCRIPTION];

    int descriptionLength;
    private final int[] counts;
    private final int[] next;
    private final byte[] symbols;

    FseTable(Code code) {
        this.code = code;
        entries = new long[1 << code.maxLog];
        counts = new int[code.least.length];
        next = new int[code.least.length];
        symbols = new byte[1 << code.maxLog];
    }

    /** The table that needs no description. */
    void predefined() {
        System.arraycopy(code.predefined, 0, counts, 0, code.predefined.length);
        build(code.predefined.length, code.predefinedLog);
        descriptionLength = 0;
    }

    /** A table of one symbol, which takes no bits. */
    void single(int symbol) throws ZstdException {
        if (symbol >= code.least.length) {
            throw new ZstdException("a code is out of range");
        }
        entries[0] = value(symbol);
        log = 0;
        description[0] = (byte) symbol;
        descriptionLength = 1;
    }

    /**
     * Reads a description (RFC 8878, section 4.1.1).
     *
     * @return where it ends, at most {@code to}
     */
    int read(byte[] in, int from, int to) throws ZstdException {
        if (from >= to) {
            throw new ZstdException("a table is cut off");
        }
        int accuracy = (in[from] & 15) + 5;
        if (accuracy > code.maxLog) {
            throw new ZstdException("a table is more accurate than allowed");
        }
        int at = 8 * from + 4;
        int limit = 8 * to;
        int remaining = 1 << accuracy;
        int symbol = 0;
        while (remaining > 0) {
            if (symbol == counts.length) {
                throw new ZstdException("a table has too many symbols");
            }
            // A value is 0 to remaining + 1; as this is no power of two, the lower ones take a bit less.
            int bits = 32 - Integer.numberOfLeadingZeros(remaining + 1);
            int shorter = (1 << bits) - 2 - remaining;
            int value = bits(in, at, to, bits - 1);
            if (value < shorter) {
                at += bits - 1;
            } else {
                value = bits(in, at, to, bits);
                if (value >= 1 << (bits - 1)) {
                    value -= shorter;
                }
                at += bits;
            }
            int count = value - 1;
            counts[symbol++] = count;
            remaining -= Math.abs(count);
            if (count == 0) {
                int repeat;
                do {
                    repeat = bits(in, at, to, 2);
                    at += 2;
                    if (symbol + repeat > counts.length) {
                        throw new ZstdException("a table has too many symbols");
                    }
                    for (int i = 0; i < repeat; i++) {
                        counts[symbol++] = 0;
                    }
                } while (repeat == 3 && at <= limit);
            }
            if (at > limit) {
                throw new ZstdException("a table is cut off");
            }
        }
        int end = (at + 7) >>> 3;
        build(symbol, accuracy);
        descriptionLength = end - from;
        System.arraycopy(in, from, description, 0, descriptionLength);
        return end;
    }

    private static int bits(byte[] in, int at, int to, int count) {
        int value = 0;
        int first = at >>> 3;
        for (int i = 0; i < 3 && first + i < to; i++) {
            value |= (in[first + i] & 0xff) << (8 * i);
        }
        return value >>> (at & 7) & ((1 << count) - 1);
    }

    /** Spreads the symbols over the states by their counts. */
    private void build(int symbolCount, int accuracy) {
        int size = 1 << accuracy;
        int high = size;
        for (int symbol = 0; symbol < symbolCount; symbol++) {
            if (counts[symbol] == -1) {
                symbols[--high] = (byte) symbol;
                next[symbol] = 1;
            } else {
                next[symbol] = counts[symbol];
            }
        }
        int step = (size >>> 1) + (size >>> 3) + 3;
        int at = 0;
        for (int symbol = 0; symbol < symbolCount; symbol++) {
            for (int i = 0; i < counts[symbol]; i++) {
                symbols[at] = (byte) symbol;
                do {
                    at = (at + step) & (size - 1);
                } while (at >= high);
            }
        }
        for (int state = 0; state < size; state++) {
            int symbol = symbols[state];
            int rank = next[symbol]++;
            int bits = accuracy - (31 - Integer.numberOfLeadingZeros(rank));
            int base = (rank << bits) - size;
            entries[state] = value(symbol) | (long) base << 16 | bits;
        }
        log = accuracy;
    }

    private long value(int symbol) {
        return (long) code.least[symbol] << 32 | (long) code.bits[symbol] << 8;
    }
}
