package dev.coldstart.snapshotter.layer;

import java.io.IOException;
import java.security.MessageDigest;
import org.jspecify.annotations.Nullable;

/** The uncompressed bytes of a layer in their order, hashed on their way: as a whole, and by spans where that was not done. */
final class TarStream {
    /** Takes some bytes; they are valid during the call only. */
    @FunctionalInterface
    interface Sink {
        void accept(byte[] bytes, int from, int length) throws IOException;
    }

    private final Pipe pipe;
    private final IndexFile index;
    private final MessageDigest diffId = Sha256.digest();
    private final MessageDigest span = Sha256.digest();
    private @Nullable Checkpoint checkpoint;
    private Pipe.@Nullable Piece piece;
    private int from;
    private long position;
    private byte[] digest = {};

    TarStream(Pipe pipe, IndexFile index) {
        this.pipe = pipe;
        this.index = index;
    }

    /** Offset of the next byte. */
    long position() {
        return position;
    }

    /** Reads as many bytes as there are, up to {@code length}. */
    int read(byte[] into, int at, int length) throws IOException {
        int done = 0;
        while (done < length) {
            Pipe.Piece here = more();
            if (here == null) {
                break;
            }
            int some = Math.min(length - done, here.length - from);
            System.arraycopy(here.bytes, from, into, at + done, some);
            advance(some);
            done += some;
        }
        return done;
    }

    /** Passes exactly {@code length} bytes on. */
    void read(long length, Sink sink) throws IOException {
        long left = length;
        while (left > 0) {
            Pipe.Piece here = more();
            if (here == null) {
                throw new LayerException("the tar ends after " + position + " bytes, in the middle of a file");
            }
            int some = (int) Math.min(left, here.length - from);
            sink.accept(here.bytes, from, some);
            advance(some);
            left -= some;
        }
    }

    /** Reads to the end. */
    void drain() throws IOException {
        for (Pipe.Piece here = more(); here != null; here = more()) {
            advance(here.length - from);
        }
    }

    /** Digest of all bytes, once they were read. */
    Digest diffId() {
        return Digest.of(digest);
    }

    private void advance(int length) {
        from += length;
        position += length;
    }

    private Pipe.@Nullable Piece more() throws IOException {
        if (piece != null && from < piece.length) {
            return piece;
        }
        if (piece != null) {
            pipe.release(piece);
            piece = null;
        } else if (digest.length > 0) {
            return null;
        }
        Pipe.Piece next = pipe.next();
        from = 0;
        piece = next;
        if (next == null) {
            endSpan();
            digest = diffId.digest();
            return null;
        }
        if (next.start != null) {
            endSpan();
            checkpoint = next.start;
        }
        diffId.update(next.bytes, 0, next.length);
        if (!next.hashed) {
            span.update(next.bytes, 0, next.length);
        }
        return next;
    }

    private void endSpan() throws IOException {
        if (checkpoint != null) {
            byte[] known = checkpoint.sha256();
            index.addSpan(checkpoint, known.length > 0 ? known : span.digest());
        }
    }
}
