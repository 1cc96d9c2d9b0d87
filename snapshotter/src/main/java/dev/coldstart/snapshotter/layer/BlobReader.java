package dev.coldstart.snapshotter.layer;

import dev.coldstart.linux.RawInflater;
import dev.coldstart.linux.Zlib;
import dev.coldstart.snapshotter.zstd.ZstdException;
import dev.coldstart.snapshotter.zstd.ZstdStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import org.jspecify.annotations.Nullable;

/**
 * Reads a blob to its end, hashes it, inflates it, and finds the places where spans can start. A span is hashed here if the
 * thread that reads the tar is behind when it starts, and there otherwise: which of them has more to do depends on the
 * layer and on the disk.
 */
final class BlobReader implements AutoCloseable {
    private static final int INPUT = 128 << 10;
    private static final long REPORT = 1 << 20;
    private static final int TAR_CHECKSUM = 148;
    // Zstd data refers far back: a span that takes more than a 25th of its bytes from before it goes on, up to four
    // times the length. Of /usr of a Debian host at level 3, half of the spans stay at 1 MiB and checkpoints take 1.7 %
    // of the tar (2.4 % if all did); at level 19, with a window of 8 MiB, nearly all get 4 MiB, and checkpoints take
    // 9.7 % (13.7 %).
    private static final int ZSTD_SHARE = 25;
    private static final int ZSTD_SPANS = 4;

    private final InputStream blob;
    private final Pipe pipe;
    private final ProgressListener progress;
    private final int span;
    private final MessageDigest sha256 = Sha256.digest();
    private final MessageDigest spanSha256 = Sha256.digest();
    private final byte[] input = new byte[INPUT];
    private final ByteBuffer in =
            ByteBuffer.allocateDirect(INPUT + ZstdStream.MAX_INPUT).limit(0);
    private final byte[] window = new byte[RawInflater.WINDOW];
    private final Zlib zlib = new Zlib();
    private Pipe.Piece piece;
    private ByteBuffer out;
    private long read;
    private long produced;
    private long reported;
    private long spanIn;
    private long spanOut;
    private long dataEnd;
    private int format = LayerIndex.FORMAT_PLAIN;
    private @Nullable Checkpoint checkpoint;
    private boolean hashing;

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
        if (in.remaining() >= 2 && (in.get(0) & 0xff) == GzipHeader.ID1 && (in.get(1) & 0xff) == GzipHeader.ID2) {
            format = LayerIndex.FORMAT_GZIP;
            try {
                inflate();
            } catch (DataFormatException e) {
                throw new LayerException("the gzip data is corrupt near byte " + position() + ": " + e.getMessage(), e);
            }
        } else if (ZstdStream.recognises(in)) {
            format = LayerIndex.FORMAT_ZSTD;
            try {
                decode();
            } catch (ZstdException e) {
                throw new LayerException("the zstd data is wrong near byte " + position() + ": " + e.getMessage(), e);
            }
        } else {
            refuseOtherFormats();
            copy();
        }
        send();
        endHash();
        progress.progressed(read, produced);
        pipe.finish();
    }

    /** Of the blob, as {@link LayerIndex} has it. */
    int format() {
        return format;
    }

    /** Of zstd data, offset in the blob behind the last byte that the last span needs. */
    long dataEnd() {
        return dataEnd;
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
                checkpoint(position(), 0);
            }
            long memberStart = produced;
            RawInflater.Status status = RawInflater.Status.MORE;
            while (status != RawInflater.Status.END) {
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
                if (status == RawInflater.Status.MORE && isDue(span) && zlib.betweenBlocks()) {
                    int size = zlib.window(window);
                    checkpoint(position(), zlib.unusedBits()).state(Arrays.copyOf(window, size));
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

    private void decode() throws IOException {
        ZstdStream zstd = new ZstdStream();
        while (true) {
            if (zstd.beforeBlock() && isDue(zstd)) {
                endSpan(zstd);
                zstd.mark();
                checkpoint(position(), 0);
            }
            long before = position();
            switch (zstd.next(in)) {
                case NONE -> {
                    if (!fill()) {
                        if (!zstd.mayEnd() || in.hasRemaining()) {
                            throw new LayerException("the zstd data ends after " + read + " bytes, in the middle");
                        }
                        endSpan(zstd);
                        return;
                    }
                }
                case FRAME -> {
                    // Nothing has to be known at a frame's start: worth a shorter span.
                    if (produced == 0 || isDue(span / 4)) {
                        endSpan(zstd);
                        zstd.markFrame();
                        checkpoint(before, 0);
                    }
                }
                case BLOCK -> {
                    if (zstd.length() > 0) {
                        pass(zstd);
                        dataEnd = position();
                    }
                }
                case OTHER -> {}
            }
        }
    }

    /** The bytes that a span takes from before it are known when it is at its end. */
    private void endSpan(ZstdStream zstd) {
        if (checkpoint != null) {
            checkpoint.state(zstd.checkpoint());
        }
    }

    private void pass(ZstdStream zstd) throws IOException {
        int from = zstd.from();
        int end = from + zstd.length();
        while (from < end) {
            if (!out.hasRemaining()) {
                send();
            }
            int length = Math.min(end - from, out.remaining());
            out.put(zstd.bytes(), from, length);
            produced += length;
            from += length;
        }
    }

    private void copy() throws IOException {
        while (in.hasRemaining() || fill()) {
            if (produced == 0 || produced - spanOut == span) {
                checkpoint(position(), 0);
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
            case 0xfd37_7a58 -> "xz";
            default -> magic >>> 8 == 0x42_5a68 ? "bzip2" : "";
        };
        if (!format.isEmpty()) {
            throw new LayerException(
                    "the layer is compressed with " + format + "; only gzip, zstd and plain tar can be indexed");
        }
        if (in.remaining() > TAR_CHECKSUM && in.get(0) != 0 && !isOctal(in.get(TAR_CHECKSUM))) {
            throw new LayerException("the layer is neither gzip nor zstd nor tar");
        }
    }

    private static boolean isOctal(byte c) {
        return (c >= '0' && c <= '7') || c == ' ';
    }

    private boolean isDue(int bytes) {
        return produced - spanOut >= bytes || position() - spanIn >= bytes;
    }

    private boolean isDue(ZstdStream zstd) {
        long length = produced - spanOut;
        long most = (long) ZSTD_SPANS * span;
        return (length >= span && (long) zstd.noted() * ZSTD_SHARE <= length)
                || length > most - ZstdStream.MAX_BLOCK
                || position() - spanIn >= most;
    }

    private Checkpoint checkpoint(long at, int bits) throws IOException {
        if (out.position() > 0) {
            send();
        }
        if (format == LayerIndex.FORMAT_ZSTD && at - dataEnd > LayerIndex.MAX_SPAN) {
            throw new LayerException("the zstd data has more than " + (LayerIndex.MAX_SPAN >> 20)
                    + " MiB without data before byte " + at);
        }
        endHash();
        hashing = pipe.isBacklogged();
        // If nothing came since the last one, this takes its place: no span is empty.
        spanIn = at;
        spanOut = produced;
        Checkpoint start = new Checkpoint(produced, at, bits);
        checkpoint = start;
        piece.start = start;
        return start;
    }

    /** The span so far was sent. */
    private void endHash() {
        if (checkpoint != null && hashing) {
            checkpoint.sha256(spanSha256.digest());
        }
    }

    /** Passes on what was produced since the last time. */
    private void send() throws IOException {
        if (out.position() == 0) {
            return;
        }
        piece.length = out.position();
        piece.hashed = hashing;
        if (hashing) {
            spanSha256.update(piece.bytes, 0, piece.length);
        }
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
        in.compact().put(input, 0, length).flip();
        return length > 0;
    }
}
