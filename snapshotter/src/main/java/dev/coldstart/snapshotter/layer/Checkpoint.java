package dev.coldstart.snapshotter.layer;

/** Where a span starts and what is needed to start there. */
final class Checkpoint {
    private final long out;
    private final long in;
    private final int bits;
    private byte[] state = {};
    private byte[] sha256 = {};

    /**
     * A place without {@link #state}, which is to be set before the next span starts.
     *
     * @param out offset in the uncompressed tar
     * @param in offset in the blob behind the last byte touched before
     * @param bits how many upper bits of that byte are still to be read, 0 to 7
     */
    Checkpoint(long out, long in, int bits) {
        this.out = out;
        this.in = in;
        this.bits = bits;
    }

    long out() {
        return out;
    }

    long in() {
        return in;
    }

    int bits() {
        return bits;
    }

    /**
     * What a decoder has to know: of deflate data the up to 32 KiB before {@code out}, of zstd data what {@link
     * dev.coldstart.snapshotter.zstd.ZstdStream#checkpoint} says, of a plain tar nothing.
     */
    byte[] state() {
        return state;
    }

    void state(byte[] bytes) {
        state = bytes;
    }

    /** Digest of the span's uncompressed bytes, if whoever made them hashed them; else empty. */
    byte[] sha256() {
        return sha256;
    }

    void sha256(byte[] digest) {
        sha256 = digest;
    }
}
