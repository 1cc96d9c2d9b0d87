package dev.coldstart.snapshotter.zstd;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** Reads frames (RFC 8878, section 3.1), one step after the other, each as soon as its bytes are there. */
final class FrameReader {
    static final int MAGIC = 0xfd2f_b528;
    private static final int SKIPPABLE = 0x184d_2a50;
    private static final int MAX_HEADER = 18;
    private static final int RAW = 0;
    private static final int RLE = 1;
    private static final int COMPRESSED = 2;

    /** What a step did. */
    enum Step {
        /** Nothing: it needs more input. */
        NONE,
        /** Skipped some or all of a frame without data. */
        SKIPPED,
        /** Read the header of a frame with data. */
        FRAME,
        /** Decoded a block, which may be empty. */
        BLOCK,
        /** Read the checksum. */
        CHECKSUM
    }

    private enum Next {
        FRAME,
        SKIPPABLE,
        BLOCK,
        CHECKSUM
    }

    private final BlockDecoder blocks = new BlockDecoder();
    private final XxHash64 hash = new XxHash64();
    private final byte[] input = new byte[2 * BlockDecoder.MARGIN + BlockDecoder.MAX_BLOCK];
    private Next next = Next.FRAME;
    private long skip;
    private boolean checksum;
    private boolean hashing;
    private int mostOfBlock;
    private long window;
    private long produced;
    private int lastBlock;
    /** -1 if the header does not tell. */
    private long contentSize;

    /** Whether bytes that start like these are frames. */
    static boolean recognises(ByteBuffer start) {
        if (start.remaining() < 4) {
            return false;
        }
        int magic = Integer.reverseBytes(
                start.duplicate().order(ByteOrder.BIG_ENDIAN).getInt());
        return magic == MAGIC || (magic & ~15) == SKIPPABLE;
    }

    /** Bytes of the last block. */
    int lastBlock() {
        return lastBlock;
    }

    /** Expects a frame. */
    void reset() {
        next = Next.FRAME;
    }

    /** Goes on in the middle of a frame, as {@link #save} left it. */
    int resume(byte[] state, int from, int to) throws ZstdException {
        if (from >= to) {
            throw new ZstdException("a saved state is cut off");
        }
        checksum = state[from] != 0;
        hashing = false;
        contentSize = -1;
        mostOfBlock = BlockDecoder.MAX_BLOCK;
        next = Next.BLOCK;
        return blocks.restore(state, from + 1, to);
    }

    /** Writes down what is known before a block; {@link #write} makes bytes of it. */
    void save(SavedState state) {
        state.checksum(checksum);
        blocks.save(state);
    }

    /** Writes a saved state, with those tables only that blocks have used since. */
    int write(SavedState state, byte[] into, int from) {
        blocks.saveNeeds(state);
        return state.write(into, from);
    }

    /** Whether the data may end here. */
    boolean betweenFrames() {
        return next == Next.FRAME;
    }

    /** Whether a block has to follow. */
    boolean beforeBlock() {
        return next == Next.BLOCK;
    }

    /** Does the next step if its input is there; takes none otherwise. */
    Step step(ByteBuffer in, Output out) throws ZstdException {
        return switch (next) {
            case FRAME -> frame(in, out);
            case SKIPPABLE -> {
                int some = (int) Math.min(skip, in.remaining());
                in.position(in.position() + some);
                skip -= some;
                if (skip == 0) {
                    next = Next.FRAME;
                }
                yield some == 0 && skip > 0 ? Step.NONE : Step.SKIPPED;
            }
            case BLOCK -> block(in, out);
            case CHECKSUM -> checksum(in);
        };
    }

    private Step frame(ByteBuffer in, Output out) throws ZstdException {
        int available = Math.min(in.remaining(), MAX_HEADER);
        if (available < 5) {
            return Step.NONE;
        }
        in.get(in.position(), input, 0, available);
        Arrays.fill(input, available, MAX_HEADER + 8, (byte) 0);
        int magic = LittleEndian.getInt(input, 0);
        if ((magic & ~15) == SKIPPABLE) {
            if (available < 8) {
                return Step.NONE;
            }
            skip = LittleEndian.getInt(input, 4) & 0xffff_ffffL;
            next = skip == 0 ? Next.FRAME : Next.SKIPPABLE;
            in.position(in.position() + 8);
            return Step.SKIPPED;
        }
        if (magic != MAGIC) {
            throw new ZstdException("there is no frame where one has to be");
        }
        int descriptor = input[4] & 0xff;
        boolean single = (descriptor & 0x20) != 0;
        int dictionaryBytes = (1 << (descriptor & 3)) >>> 1;
        int sizeBytes = descriptor >>> 6 == 0 ? (single ? 1 : 0) : 1 << (descriptor >>> 6);
        int at = 5;
        int length = at + (single ? 0 : 1) + dictionaryBytes + sizeBytes;
        if (available < length) {
            return Step.NONE;
        }
        if ((descriptor & 8) != 0) {
            throw new ZstdException("a frame has an unknown flag");
        }
        window = 0;
        if (!single) {
            int code = input[at++] & 0xff;
            long power = 1L << (10 + (code >>> 3));
            window = power + (power >>> 3) * (code & 7);
        }
        long dictionary = LittleEndian.getLong(input, at) & mask(dictionaryBytes);
        if (dictionary != 0) {
            throw new ZstdException("a frame needs dictionary " + dictionary + ", and dictionaries are not supported");
        }
        at += dictionaryBytes;
        contentSize = sizeBytes == 0 ? -1 : LittleEndian.getLong(input, at) & mask(sizeBytes);
        if (sizeBytes == 2) {
            contentSize += 256;
        }
        if (sizeBytes == 8 && contentSize < 0) {
            throw new ZstdException("a frame has an impossible size");
        }
        if (single) {
            window = contentSize;
        }
        mostOfBlock = (int) Math.min(window, BlockDecoder.MAX_BLOCK);
        checksum = (descriptor & 4) != 0;
        hashing = checksum;
        hash.reset();
        produced = 0;
        out.startFrame(window);
        blocks.reset();
        next = Next.BLOCK;
        in.position(in.position() + length);
        return Step.FRAME;
    }

    private static long mask(int bytes) {
        return bytes == 8 ? -1 : (1L << (8 * bytes)) - 1;
    }

    private Step block(ByteBuffer in, Output out) throws ZstdException {
        if (in.remaining() < 3) {
            return Step.NONE;
        }
        int position = in.position();
        int header =
                (in.get(position) & 0xff) | (in.get(position + 1) & 0xff) << 8 | (in.get(position + 2) & 0xff) << 16;
        int type = header >>> 1 & 3;
        int size = header >>> 3;
        if (size > mostOfBlock) {
            throw new ZstdException("a block has more bytes than it may");
        }
        int length = type == RLE ? 1 : size;
        if (in.remaining() < 3 + length) {
            return Step.NONE;
        }
        int limit = out.room(mostOfBlock);
        int from = out.at;
        if (type != COMPRESSED && size > limit - from) {
            throw new ZstdException("there is no room for the bytes of a block");
        }
        in.position(position + 3);
        switch (type) {
            case RAW -> {
                in.get(out.bytes, from, size);
                out.at += size;
            }
            case RLE -> {
                Arrays.fill(out.bytes, from, from + size, in.get());
                out.at += size;
            }
            case COMPRESSED -> {
                in.get(input, BlockDecoder.MARGIN, size);
                blocks.decode(input, BlockDecoder.MARGIN, BlockDecoder.MARGIN + size, out, limit);
            }
            default -> throw new ZstdException("a block is of a type that does not exist");
        }
        lastBlock = out.at - from;
        produced += lastBlock;
        if (hashing) {
            hash.update(out.bytes, from, lastBlock);
        }
        if ((header & 1) != 0) {
            if (contentSize >= 0 && produced != contentSize) {
                throw new ZstdException("a frame has " + produced + " bytes, and its header says " + contentSize);
            }
            next = checksum ? Next.CHECKSUM : Next.FRAME;
        } else if (contentSize >= 0 && produced > contentSize) {
            throw new ZstdException("a frame has more than the " + contentSize + " bytes that its header says");
        }
        return Step.BLOCK;
    }

    private Step checksum(ByteBuffer in) throws ZstdException {
        if (in.remaining() < 4) {
            return Step.NONE;
        }
        in.get(input, 0, 4);
        if (hashing && LittleEndian.getInt(input, 0) != (int) hash.value()) {
            throw new ZstdException("the checksum of a frame is wrong");
        }
        next = Next.FRAME;
        return Step.CHECKSUM;
    }
}
