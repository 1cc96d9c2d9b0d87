package dev.coldstart.snapshotter.layer;

import java.io.IOException;
import java.nio.ByteBuffer;

/** Decompresses the start of a zstd frame. */
@FunctionalInterface
public interface FrameDecoder {
    /**
     * Decompresses until {@code into} has no room left.
     *
     * @param frame starts with a zstd frame (RFC 8878); more frames may follow
     * @param into gets the first bytes of what the frames consist of
     * @throws IOException if this is no zstd data, or too little of it
     */
    void decode(ByteBuffer frame, ByteBuffer into) throws IOException;
}
