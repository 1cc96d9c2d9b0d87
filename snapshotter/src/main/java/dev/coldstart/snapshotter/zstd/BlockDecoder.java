package dev.coldstart.snapshotter.zstd;

import java.util.Arrays;

/**
 * Decodes compressed blocks (RFC 8878, section 3.1.1.3) and keeps what one block leaves to the next: the Huffman table, the
 * three tables of sequences, and the last three offsets.
 *
 * <p>A block's bytes lie in an array with {@link #MARGIN} bytes before and behind them.
 */
final class BlockDecoder {
    /** The most bytes that a block has, compressed or not. */
    static final int MAX_BLOCK = 128 << 10;

    static final int MARGIN = 32;

    // Sequences are decoded some at a time and then carried out: two small loops are faster than a large one.
    private static final int BATCH = 512;
    private static final int MIN_MATCH = 3;

    private static final int RAW = 0;
    private static final int RLE = 1;
    private static final int COMPRESSED = 2;

    /** A multiple of the index that is 8 or more, and less than 8 more than the index. */
    private static final int[] MULTIPLES = {0, 8, 8, 9, 8, 10, 12, 14};

    private final HuffmanTable huffman = new HuffmanTable();
    private final SequenceTable lengths = new SequenceTable(FseTable.Code.LITERALS);
    private final SequenceTable offsets = new SequenceTable(FseTable.Code.OFFSETS);
    private final SequenceTable matches = new SequenceTable(FseTable.Code.MATCHES);
    // The last offsets, newest first.
    private int last1;
    private int last2;
    private int last3;

    private final byte[] buffer = new byte[MAX_BLOCK + Output.SLACK];
    private byte[] literals = buffer;
    private int literal;
    private int literalEnd;
    private final int[] lengthOf = new int[BATCH];
    private final int[] matchOf = new int[BATCH];
    private final int[] offsetOf = new int[BATCH];
    // Where decoding of sequences stands between two batches.
    private int place;
    private int lengthState;
    private int offsetState;
    private int matchState;

    /** A frame starts. */
    void reset() {
        huffman.descriptionLength = 0;
        lengths.forget();
        offsets.forget();
        matches.forget();
        last1 = 1;
        last2 = 4;
        last3 = 8;
    }

    /** Writes down what is known between two blocks; which tables were needed turns out later. */
    void save(SavedState state) {
        state.offsets(last1, last2, last3);
        state.table(0, huffman.mode(), huffman.description, huffman.descriptionLength);
        lengths.save(state, 1);
        offsets.save(state, 2);
        matches.save(state, 3);
        huffman.inherited = true;
        huffman.needed = false;
    }

    /** Notes which of the tables that there were at the last {@link #save} were used since. */
    void saveNeeds(SavedState state) {
        state.need(0, huffman.needed);
        state.need(1, lengths.needed);
        state.need(2, offsets.needed);
        state.need(3, matches.needed);
    }

    /**
     * Goes back to a state that was saved.
     *
     * @param in what {@link SavedState#write} wrote but the first byte, with {@link #MARGIN} bytes before and behind it
     * @return where it ends
     */
    int restore(byte[] in, int from, int to) throws ZstdException {
        reset();
        if (to - from < 12) {
            throw new ZstdException("a saved state is cut off");
        }
        last1 = LittleEndian.getInt(in, from);
        last2 = LittleEndian.getInt(in, from + 4);
        last3 = LittleEndian.getInt(in, from + 8);
        int at = from + 12;
        for (int i = 0; i < 4; i++) {
            if (to - at < 2 || to - at - 2 < (in[at + 1] & 0xff)) {
                throw new ZstdException("a saved state is cut off");
            }
            int mode = in[at];
            int end = at + 2 + (in[at + 1] & 0xff);
            at += 2;
            if (mode != SequenceTable.REPEAT) {
                at = switch (i) {
                    case 0 -> huffman.read(in, at, end);
                    case 1 -> lengths.read(mode, in, at, end);
                    case 2 -> offsets.read(mode, in, at, end);
                    default -> matches.read(mode, in, at, end);
                };
            }
            if (at != end) {
                throw new ZstdException("a saved state has a table of another length");
            }
        }
        return at;
    }

    /**
     * Decodes a block.
     *
     * @param limit where in the output's array it has to end
     */
    void decode(byte[] in, int from, int to, Output out, int limit) throws ZstdException {
        int at = literals(in, from, to, limit - out.at);
        if (at >= to) {
            throw new ZstdException("a block has no sequences section");
        }
        int count = in[at++] & 0xff;
        if (count >= 128) {
            if (at + (count == 255 ? 2 : 1) > to) {
                throw new ZstdException("a sequences section is cut off");
            }
            if (count < 255) {
                count = ((count - 128) << 8) + (in[at++] & 0xff);
            } else {
                count = LittleEndian.getShort(in, at) + 0x7f00;
                at += 2;
            }
        }
        if (count > 0) {
            sequences(in, at, to, count, out, limit);
        } else if (at != to) {
            throw new ZstdException("a block goes on behind its end");
        }
        int rest = literalEnd - literal;
        if (rest > limit - out.at) {
            throw new ZstdException("a block has more bytes than it may");
        }
        System.arraycopy(literals, literal, out.bytes, out.at, rest);
        out.at += rest;
    }

    /** Reads the literals section and returns where it ends. */
    private int literals(byte[] in, int from, int to, int most) throws ZstdException {
        int left = to - from;
        int first = left > 0 ? in[from] & 0xff : 0;
        int type = first & 3;
        int format = first >>> 2 & 3;
        if (type == RAW || type == RLE) {
            int header = (format & 1) == 0 ? 1 : format == 1 ? 2 : 3;
            if (left < header) {
                throw new ZstdException("a literals section is cut off");
            }
            int size = LittleEndian.getInt(in, from);
            size = switch (header) {
                case 1 -> first >>> 3;
                case 2 -> size >>> 4 & 0xfff;
                default -> size >>> 4 & 0xf_ffff;
            };
            require(size, most);
            int body = type == RAW ? size : 1;
            if (left < header + body) {
                throw new ZstdException("a literals section is cut off");
            }
            int at = from + header;
            if (type == RAW) {
                literals = in;
                literal = at;
            } else {
                literals = buffer;
                literal = 0;
                Arrays.fill(buffer, 0, size, in[at]);
            }
            literalEnd = literal + size;
            return at + body;
        }
        int header = format < 2 ? 3 : format + 2;
        if (left < header) {
            throw new ZstdException("a literals section is cut off");
        }
        int width = format < 2 ? 10 : 4 * format + 6;
        long sizes = LittleEndian.getLong(in, from) >>> 4;
        int size = (int) sizes & ((1 << width) - 1);
        int compressed = (int) (sizes >>> width) & ((1 << width) - 1);
        require(size, most);
        int at = from + header;
        int end = at + compressed;
        if (end > to) {
            throw new ZstdException("a literals section is cut off");
        }
        if (type == COMPRESSED) {
            at = huffman.read(in, at, end);
        } else {
            huffman.repeat();
        }
        if (format == 0) {
            huffman.decode(in, at, end, buffer, 0, size);
        } else {
            huffman.decodeFour(in, at, end, buffer, 0, size);
        }
        literals = buffer;
        literal = 0;
        literalEnd = size;
        return end;
    }

    private static void require(int size, int most) throws ZstdException {
        if (size > most) {
            throw new ZstdException("a block has more bytes than it may");
        }
    }

    private void sequences(byte[] in, int from, int to, int count, Output out, int limit) throws ZstdException {
        if (count > MAX_BLOCK / MIN_MATCH || from >= to) {
            throw new ZstdException("a block has more sequences than it may");
        }
        int modes = in[from] & 0xff;
        if ((modes & 3) != 0) {
            throw new ZstdException("a sequences section has unknown flags");
        }
        int at = lengths.read(modes >>> 6, in, from + 1, to);
        at = offsets.read(modes >>> 4 & 3, in, at, to);
        at = matches.read(modes >>> 2 & 3, in, at, to);
        int start = 8 * at;
        int p = HuffmanTable.last(in, at, to);
        p -= lengths.table.log;
        lengthState = bits(in, p, lengths.table.log);
        p -= offsets.table.log;
        offsetState = bits(in, p, offsets.table.log);
        p -= matches.table.log;
        matchState = bits(in, p, matches.table.log);
        place = p;
        for (int done = 0; done < count; done += BATCH) {
            int some = Math.min(BATCH, count - done);
            read(in, start, some, done + some == count);
            carryOut(some, out, limit);
        }
        if (place != start) {
            throw new ZstdException("a sequences section does not end where it should");
        }
    }

    private static int bits(byte[] in, int p, int count) {
        return (int) (LittleEndian.getLong(in, p >>> 3) >>> (p & 7)) & ((1 << count) - 1);
    }

    /** The upper bits of a word, at most 32. */
    private static int top(long word, int count) {
        // In two steps, because a shift by 64 would be none; 63 - count and ~count are the same shift.
        return (int) (word >>> 1 >>> ~count);
    }

    /** Decodes the next sequences. */
    private void read(byte[] in, int start, int count, boolean end) throws ZstdException {
        long[] lengthTable = lengths.table.entries;
        long[] offsetTable = offsets.table.entries;
        long[] matchTable = matches.table.entries;
        int p = place;
        int lengthAt = lengthState;
        int offsetAt = offsetState;
        int matchAt = matchState;
        int r1 = last1;
        int r2 = last2;
        int r3 = last3;
        for (int i = 0; i < count; i++) {
            if (p < start) {
                throw new ZstdException("a sequences section is cut off");
            }
            long length = lengthTable[lengthAt];
            long offset = offsetTable[offsetAt];
            long match = matchTable[matchAt];
            int offsetBits = (int) offset >>> 8 & 0xff;
            int matchBits = (int) match >>> 8 & 0xff;
            int lengthBits = (int) length >>> 8 & 0xff;
            int lengthNext = (int) length & 0xff;
            int matchNext = (int) match & 0xff;
            int offsetNext = (int) offset & 0xff;
            int valueBits = offsetBits + matchBits + lengthBits;
            int bits = valueBits + lengthNext + matchNext + offsetNext;
            long word = HuffmanTable.word(in, p);
            long value = (offset >>> 32) + top(word, offsetBits);
            int ml;
            int ll;
            long states;
            if (bits <= 56) {
                // Nearly always; that the next states do not wait for another word makes a third of the speed.
                ml = (int) (match >>> 32) + top(word << offsetBits, matchBits);
                ll = (int) (length >>> 32) + top(word << (offsetBits + matchBits), lengthBits);
                states = word << valueBits;
            } else {
                word = HuffmanTable.word(in, p - offsetBits);
                ml = (int) (match >>> 32) + top(word, matchBits);
                ll = (int) (length >>> 32) + top(word << matchBits, lengthBits);
                states = HuffmanTable.word(in, p - valueBits);
            }
            int distance;
            if (value > 3) {
                distance = (int) value - 3;
                r3 = r2;
                r2 = r1;
                r1 = distance;
            } else {
                int which = (int) value + (ll == 0 ? 1 : 0);
                if (which == 1) {
                    distance = r1;
                } else {
                    distance = which == 2 ? r2 : which == 3 ? r3 : r1 - 1;
                    r3 = which == 2 ? r3 : r2;
                    r2 = r1;
                    r1 = distance;
                }
            }
            lengthOf[i] = ll;
            matchOf[i] = ml;
            offsetOf[i] = distance;
            if (end && i + 1 == count) {
                p -= valueBits;
                break;
            }
            p -= bits;
            lengthAt = ((int) length >>> 16) + top(states, lengthNext);
            matchAt = ((int) match >>> 16) + top(states << lengthNext, matchNext);
            offsetAt = ((int) offset >>> 16) + top(states << (lengthNext + matchNext), offsetNext);
        }
        place = p;
        lengthState = lengthAt;
        offsetState = offsetAt;
        matchState = matchAt;
        last1 = r1;
        last2 = r2;
        last3 = r3;
    }

    /** Carries out the sequences decoded. */
    private void carryOut(int count, Output out, int limit) throws ZstdException {
        byte[] bytes = out.bytes;
        byte[] from = literals;
        int reach = out.reach;
        int at = out.at;
        int lit = literal;
        for (int i = 0; i < count; i++) {
            int ll = lengthOf[i];
            int ml = matchOf[i];
            int offset = offsetOf[i];
            if (ll > literalEnd - lit || ll + ml > limit - at) {
                throw new ZstdException("a sequence has more bytes than there are");
            }
            LittleEndian.copy(from, lit, bytes, at, ll);
            lit += ll;
            at += ll;
            if (Integer.compareUnsigned(offset - 1, at - reach) >= 0) {
                out.farther(at, offset, ml);
            } else {
                copy(bytes, at, offset, ml);
            }
            at += ml;
        }
        out.at = at;
        literal = lit;
    }

    /** Copies what lies {@code offset} bytes before; what is copied may be copied again. Up to 15 bytes more are written. */
    static void copy(byte[] bytes, int at, int offset, int length) {
        if (offset >= 16) {
            LittleEndian.copy(bytes, at - offset, bytes, at, length);
            return;
        }
        int distance = offset;
        int i = 0;
        if (distance < 8) {
            for (; i < 8; i++) {
                bytes[at + i] = bytes[at + i - distance];
            }
            distance = MULTIPLES[distance];
        }
        for (; i < length; i += 8) {
            LittleEndian.putLong(bytes, at + i, LittleEndian.getLong(bytes, at + i - distance));
        }
    }
}
