package dev.coldstart.linux;

import java.nio.ByteBuffer;
import java.util.zip.DataFormatException;

/**
 * A decompressor of raw deflate data (RFC 1951) that starts in the middle of a stream, from a bit offset and a window.
 *
 * <p>Not thread-safe; may be used by one thread after another.
 */
public sealed interface RawInflater extends AutoCloseable permits Igzip, Zlib {
    /** Bytes of history that deflate data may refer to. */
    int WINDOW = 32 << 10;

    /** How a call of {@link #inflate} ended. */
    enum Status {
        /** There is more to do: more input, more room, or just another call. */
        MORE,
        /** The deflate stream is at its end, and so is the input's position. */
        END
    }

    /** The fastest that this host has, at the start of a stream. */
    static RawInflater fastest() {
        return Igzip.isAvailable() ? new Igzip() : new Zlib();
    }

    /** Goes back to the start of a raw deflate stream, with an empty window. */
    void reset();

    /**
     * After {@link #reset} and before any input: the stream goes on in the middle of a byte.
     *
     * @param bits how many of the byte's upper bits are still to be read, 1 to 7
     * @param value those bits, in the low end
     */
    void prime(int bits, int value);

    /** After {@link #reset} and before any input: what was decompressed before, at most {@link #WINDOW} bytes. */
    void setWindow(ByteBuffer bytes);

    /**
     * Decompresses from {@code in} to {@code out} and moves both positions by what was used. Input may be taken before
     * there is room for what becomes of it; what was taken from behind the end of the stream is given back at the end.
     *
     * @param in goes on where the last call left it, with the up to 8 bytes before its position that were taken last
     * @throws DataFormatException if this is not deflate data; the positions mean nothing then
     */
    Status inflate(ByteBuffer in, ByteBuffer out) throws DataFormatException;

    @Override
    void close();
}
