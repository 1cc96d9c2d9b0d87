package dev.coldstart.snapshotter.zstd;

import java.nio.ByteBuffer;

/**
 * Decodes data of a known size, which may still be arriving, from its start or from a checkpoint. Holds about half a MiB,
 * and the decoded bytes of the last call if they are less than 4 MiB; not thread-safe.
 */
public final class ZstdDecoder {
    /** How many bytes a checkpoint can have beyond the bytes that are decoded from it. */
    public static final int MAX_STATE = SavedState.MAX;

    /** Bytes that have to be unused before and behind a checkpoint in its array. */
    public static final int MARGIN = BlockDecoder.MARGIN;

    private final FrameReader reader = new FrameReader();
    private final WholeOutput output = new WholeOutput();

    /**
     * Decodes all frames in {@code in}, one or several, and verifies their checksums.
     *
     * @param in moved to its limit; after an exception anywhere
     * @param out its position is moved behind the decoded bytes; after an exception it is where it was
     * @throws ZstdException if the data is malformed, cut off, or has more bytes than {@code out} has room for
     */
    public void decode(ByteBuffer in, ByteBuffer out) throws ZstdException {
        begin(out.remaining());
        arrived(in);
        if (in.hasRemaining() || !reader.betweenFrames()) {
            throw new ZstdException("the data is cut off");
        }
        out.put(output.bytes, 0, output.at);
    }

    /** Begins at the start of a frame, with room for so many decoded bytes. */
    public void begin(int room) {
        reader.reset();
        output.begin(room);
    }

    /**
     * Begins at a checkpoint, where checksums are not verified.
     *
     * @param room how many bytes will be decoded at most
     * @param checkpoint has {@link ZstdStream#checkpoint} from {@code from} to {@code to}, and {@link #MARGIN} bytes before
     *     and behind it; not touched until the end
     * @throws ZstdException if it is not one
     */
    public void begin(int room, byte[] checkpoint, int from, int to) throws ZstdException {
        output.begin(room);
        output.history(checkpoint, reader.resume(checkpoint, from, to), to);
    }

    /**
     * Decodes what it can.
     *
     * @param in its position is moved behind what was used
     */
    public void arrived(ByteBuffer in) throws ZstdException {
        while (in.hasRemaining() && reader.step(in, output) != FrameReader.Step.NONE) {
            // All that is there.
        }
    }

    /** Ends, and copies what was decoded. */
    public void finish(ByteBuffer in, ByteBuffer out) throws ZstdException {
        arrived(in);
        if (in.hasRemaining() || output.at < out.remaining()) {
            throw new ZstdException("the data ends too early");
        }
        out.put(output.bytes, 0, output.at);
    }
}
