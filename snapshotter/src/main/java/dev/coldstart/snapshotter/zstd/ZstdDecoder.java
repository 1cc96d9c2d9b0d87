package dev.coldstart.snapshotter.zstd;

import java.nio.ByteBuffer;

/**
 * Decodes data that is there as a whole. Holds about 400 KiB and the decoded bytes of the last call if they are less than 4
 * MiB; not thread-safe.
 */
public final class ZstdDecoder {
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
        reader.reset();
        output.begin(out.remaining());
        while (in.hasRemaining()) {
            if (reader.step(in, output) == FrameReader.Step.NONE) {
                break;
            }
        }
        if (in.hasRemaining() || !reader.betweenFrames()) {
            throw new ZstdException("the data is cut off");
        }
        out.put(output.bytes, 0, output.at);
    }
}
