package dev.coldstart.snapshotter.layer;

import dev.coldstart.snapshotter.zstd.ZstdDecoder;
import dev.coldstart.snapshotter.zstd.ZstdException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.jspecify.annotations.Nullable;

/**
 * Decompresses the first bytes of a zstd frame (RFC 8878, section 3.1.1) of which it is not known how many it has in all:
 * behind a chunk a frame may have padding and headers of the tar. Keeps a decoder and a buffer; not thread-safe.
 */
public final class ZstdFrame {
    private static final int MAGIC = 0xfd2f_b528;
    private static final int MAX_BLOCK = 128 << 10;
    private static final int RAW = 0;
    private static final int RLE = 1;
    private static final int COMPRESSED = 2;
    /** What a frame mostly has behind the bytes that are wanted, and what it may have. */
    private static final int TAIL = 16 << 10;

    private static final long MAX_BYTES = 2L * LayerIndex.MAX_SPAN;
    private static final int KEPT = 4 << 20;

    private @Nullable ZstdDecoder decoder;
    private byte[] whole = {};

    /** Where a frame ends, and how much comes out of it at most. */
    private record Extent(int end, long most) {}

    /**
     * Decompresses until {@code into} has no room left. The whole frame is decompressed and its checksum verified.
     *
     * @param in starts with the frame; what follows it is not looked at
     * @throws IOException if it is no sound frame, or has too few bytes
     */
    public void decode(ByteBuffer in, ByteBuffer into) throws IOException {
        ByteBuffer frame = in.slice().order(ByteOrder.LITTLE_ENDIAN);
        Extent extent = extent(frame);
        if (extent.most() < into.remaining()) {
            throw new LayerException("the zstd frame has fewer bytes than it should");
        }
        ZstdDecoder zstd = decoder == null ? new ZstdDecoder() : decoder;
        decoder = zstd;
        long most = Math.min(extent.most(), MAX_BYTES);
        int room = (int) Math.min(most, into.remaining() + TAIL);
        while (true) {
            byte[] bytes = whole.length >= room ? whole : new byte[room];
            whole = bytes.length <= KEPT ? bytes : whole;
            ByteBuffer out = ByteBuffer.wrap(bytes, 0, room);
            try {
                zstd.decode(frame.duplicate().limit(extent.end()), out);
            } catch (ZstdException e) {
                // Perhaps there was more than what there was room for.
                if (room == most) {
                    throw e;
                }
                room = (int) Math.min(most, 2L * room);
                continue;
            }
            if (out.position() < into.remaining()) {
                throw new LayerException("the zstd frame has fewer bytes than it should");
            }
            into.put(bytes, 0, into.remaining());
            return;
        }
    }

    private static Extent extent(ByteBuffer frame) throws LayerException {
        if (frame.remaining() < 6 || frame.getInt(0) != MAGIC) {
            throw new LayerException("there is no zstd frame where one has to be");
        }
        int descriptor = frame.get(4) & 0xff;
        boolean single = (descriptor & 0x20) != 0;
        int size = descriptor >> 6;
        int sizeBytes = size == 0 ? (single ? 1 : 0) : 1 << size;
        int dictionary = descriptor & 3;
        long at = 5L + (single ? 0 : 1) + (dictionary == 3 ? 4 : dictionary) + sizeBytes;
        long most = 0;
        boolean last = false;
        while (!last) {
            if (at > frame.limit() - 3) {
                throw new LayerException("the zstd frame is cut off");
            }
            int block = (frame.getShort((int) at) & 0xffff) | ((frame.get((int) at + 2) & 0xff) << 16);
            last = (block & 1) != 0;
            int length = block >> 3;
            switch ((block >> 1) & 3) {
                case RAW -> {
                    most += length;
                    at += 3L + length;
                }
                case RLE -> {
                    most += length;
                    at += 4;
                }
                case COMPRESSED -> {
                    most += MAX_BLOCK;
                    at += 3L + length;
                }
                default -> throw new LayerException("the zstd frame has a block of an unknown type");
            }
        }
        at += (descriptor & 4) != 0 ? 4 : 0;
        if (at > frame.limit()) {
            throw new LayerException("the zstd frame is cut off");
        }
        return new Extent((int) at, most);
    }
}
