package dev.coldstart.snapshotter.zstd;

import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * Decodes data of any length as it arrives, block by block, and makes checkpoints: what {@link ZstdDecoder#begin} needs to
 * go on from a place between two blocks. A checkpoint does not have the window, only the bytes of it that are used before
 * the next checkpoint; so it is complete when the next one is made.
 *
 * <p>Holds half a MiB and an array that grows up to the window of the data, 128 MiB at most. Not thread-safe.
 */
public final class ZstdStream {
    /** What a call of {@link #next} did. */
    public enum Step {
        /** Nothing: it needs more input than there is. */
        NONE,
        /** Read the header of a frame. */
        FRAME,
        /** Decoded a block; it may be empty. */
        BLOCK,
        /** Read something that gives no bytes. */
        OTHER
    }

    /** The most bytes that a block gives. */
    public static final int MAX_BLOCK = BlockDecoder.MAX_BLOCK;

    /** The most input that {@link #next} waits for. */
    public static final int MAX_INPUT = MAX_BLOCK + 3;

    private static final byte[] NO_STATE = {};

    private final FrameReader reader = new FrameReader();
    private final WindowOutput output = new WindowOutput();
    private final SavedState state = new SavedState();
    private boolean marked;
    private int from;

    /** Whether bytes that start like these are for this decoder. */
    public static boolean recognises(ByteBuffer start) {
        return FrameReader.recognises(start);
    }

    /**
     * Reads the next header, block or checksum.
     *
     * @param in its position is moved behind what was read, and not at all if that was not there as a whole
     * @throws ZstdException if the data is malformed or needs what is not supported
     */
    public Step next(ByteBuffer in) throws ZstdException {
        from = output.at;
        FrameReader.Step step = reader.step(in, output);
        return switch (step) {
            case NONE -> Step.NONE;
            case FRAME -> Step.FRAME;
            case BLOCK -> {
                from = output.at - reader.lastBlock();
                yield Step.BLOCK;
            }
            case SKIPPED, CHECKSUM -> Step.OTHER;
        };
    }

    /** The array with the last block's bytes; valid until the next call of {@link #next}. */
    public byte[] bytes() {
        return output.bytes;
    }

    /** Where the last block's bytes start. */
    public int from() {
        return from;
    }

    /** Bytes of the last block. */
    public int length() {
        return output.at - from;
    }

    /** Whether the data may end here. */
    public boolean mayEnd() {
        return reader.betweenFrames();
    }

    /** Whether this is between two blocks of a frame, or before the first. */
    public boolean beforeBlock() {
        return reader.beforeBlock();
    }

    /** Starts a checkpoint here, before a block. */
    public void mark() {
        marked = true;
        reader.save(state);
        output.mark();
    }

    /** Starts a checkpoint where there is a frame, whose header was just read: nothing has to be known there. */
    public void markFrame() {
        marked = false;
        output.mark();
    }

    /** Bytes from before the last mark that were used since, each as often as it was: most of what a checkpoint has. */
    public int noted() {
        return output.notedLength();
    }

    /**
     * What has to be known to decode what has come since the last mark: see {@link SavedState} for its form, behind which
     * come the bytes from before the mark in the order of their use.
     */
    public byte[] checkpoint() {
        if (!marked) {
            return NO_STATE;
        }
        byte[] tables = new byte[SavedState.MAX];
        int length = reader.write(state, tables, 0);
        byte[] whole = Arrays.copyOf(tables, length + output.notedLength());
        output.noted(whole, length);
        return whole;
    }
}
