package dev.coldstart.snapshotter.layer;

import dev.coldstart.linux.Zlib;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;

/** Reads a blob to its end, hashes it, inflates it, and finds the places where spans can start. */
final class BlobReader implements AutoCloseable {
    private static final int INPUT = 128 << 10;
    private static final long REPORT = 1 << 20;
    private static final int TAR_CHECKSUM = 148;
    private static final byte[] NO_WINDOW = {};

    private final InputStream blob;
    private final Pipe pipe;
    private final ProgressListener progress;
    private final int span;
    private final MessageDigest sha256 = Sha256.digest();
    private final byte[] input = new byte[INPUT];
    private final ByteBuffer in = ByteBuffer.allocateDirect(INPUT).limit(0);
    private final byte[] window = new byte[Zlib.WINDOW];
    private final Zlib zlib = new Zlib();
    private Pipe.Piece piece;
    private ByteBuffer out;
    private long read;
    private long produced;
    private long reported;
    private long spanIn;
    private long spanOut;
    private boolean gzip;

    BlobReader(InputStream blob, Pipe pipe, ProgressListener progress, int span) throws IOException {
        this.blob = blob;
        this.pipe = pipe;
        this.progress = progress;
        this.span = span;
        piece = pipe.take();
        out = ByteBuffer.wrap(piece.bytes);
    }

    /** Sends the whole blob through the pipe. */
    void run() throws IOException {
        fill();
        gzip = in.remaining() >= 2 && (in.get(0) & 0xff) == GzipHeader.ID1 && (in.get(1) & 0xff) == GzipHeader.ID2;
        if (gzip) {
            try {
                inflate();
            } catch (DataFormatException e) {
                throw new LayerException("the gzip data is corrupt near byte " + position() + ": " + e.getMessage(), e);
            }
        } else {
            refuseOtherFormats();
            copy();
        }
        send();
        progress.progressed(read, produced);
        pipe.finish();
    }

    boolean gzip() {
        return gzip;
    }

    /** Bytes of the blob. */
    long blobSize() {
        return read;
    }

    /** Digest of the blob, once it was read. */
    Digest digest() {
        return Digest.of(sha256.digest());
    }

    @Override
    public void close() {
        zlib.close();
    }

    private void inflate() throws IOException, DataFormatException {
        CRC32 crc = new CRC32();
        do {
            GzipHeader.skip(this::next);
            zlib.reset();
            crc.reset();
            // A member's start is a checkpoint that needs no window: worth a shorter span.
            if (produced == 0 || isDue(span / 4)) {
                checkpoint(0, NO_WINDOW);
            }
            long memberStart = produced;
            Zlib.Status status = Zlib.Status.MORE;
            while (status != Zlib.Status.END) {
                if (!in.hasRemaining() && !fill()) {
                    throw new LayerException("the gzip data ends after " + read + " bytes, in the middle");
                }
                if (!out.hasRemaining()) {
                    send();
                }
                int from = out.position();
                status = zlib.inflate(in, out, true);
                int length = out.position() - from;
                crc.update(piece.bytes, from, length);
                produced += length;
                if (produced - spanOut >= LayerIndex.MAX_SPAN) {
                    throw new LayerException("the gzip data has a deflate block of more than "
                            + (LayerIndex.MAX_SPAN >> 20) + " MiB, which cannot be read in parts");
                }
                if (status == Zlib.Status.MORE && isDue(span) && zlib.betweenBlocks()) {
                    int size = zlib.window(window);
                    checkpoint(zlib.unusedBits(), Arrays.copyOf(window, size));
                }
            }
            long trailer = 0;
            for (int i = 0; i < 8; i++) {
                trailer |= (long) next() << (8 * i);
            }
            if ((trailer & 0xffff_ffffL) != crc.getValue()
                    || trailer >>> 32 != ((produced - memberStart) & 0xffff_ffffL)) {
                throw new LayerException("the gzip data's checksum or length is wrong near byte " + position());
            }
        } while (in.hasRemaining() || fill());
    }

    private void copy() throws IOException {
        while (in.hasRemaining() || fill()) {
            if (produced == 0 || produced - spanOut == span) {
                checkpoint(0, NO_WINDOW);
            }
            if (!out.hasRemaining()) {
                send();
            }
            int length = (int) Math.min(Math.min(in.remaining(), out.remaining()), span - (produced - spanOut));
            out.put(in.slice(in.position(), length));
            in.position(in.position() + length);
            produced += length;
        }
    }

    private void refuseOtherFormats() throws LayerException {
        int magic = in.remaining() < 4 ? 0 : in.getInt(0);
        String format = switch (magic) {
            case 0x28b5_2ffd -> "zstd";
            case 0xfd37_7a58 -> "xz";
            default -> magic >>> 8 == 0x42_5a68 ? "bzip2" : "";
        };
        if (!format.isEmpty()) {
            throw new LayerException(
                    "the layer is compressed with " + format + "; only gzip and plain tar can be indexed");
        }
        if (in.remaining() > TAR_CHECKSUM && in.get(0) != 0 && !isOctal(in.get(TAR_CHECKSUM))) {
            throw new LayerException("the layer is neither gzip nor tar");
        }
    }

    private static boolean isOctal(byte c) {
        return (c >= '0' && c <= '7') || c == ' ';
    }

    private boolean isDue(int bytes) {
        return produced - spanOut >= bytes || position() - spanIn >= bytes;
    }

    private void checkpoint(int bits, byte[] before) throws IOException {
        if (out.position() > 0) {
            send();
        }
        // If nothing came since the last one, this takes its place: no span is empty.
        spanIn = position();
        spanOut = produced;
        piece.start = new Checkpoint(produced, spanIn, bits, before);
    }

    /** Passes on what was produced since the last time. */
    private void send() throws IOException {
        if (out.position() == 0) {
            return;
        }
        piece.length = out.position();
        pipe.put(piece);
        piece = pipe.take();
        out = ByteBuffer.wrap(piece.bytes);
        if (produced - reported >= REPORT) {
            reported = produced;
            progress.progressed(position(), produced);
        }
    }

    /** Bytes of the blob used so far. */
    private long position() {
        return read - in.remaining();
    }

    private int next() throws IOException {
        if (!in.hasRemaining() && !fill()) {
            throw new LayerException("the gzip data ends after " + read + " bytes, in the middle");
        }
        return in.get() & 0xff;
    }

    private boolean fill() throws IOException {
        int length = blob.readNBytes(input, 0, INPUT);
        sha256.update(input, 0, length);
        read += length;
        in.clear();
        in.put(input, 0, length).flip();
        return length > 0;
    }
}
