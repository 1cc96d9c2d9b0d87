package dev.coldstart.snapshotter.zstd;

/** The hash behind a frame's checksum: XXH64 with seed 0 (xxHash specification 0.1.1; RFC 8878, section 3.1.1). */
final class XxHash64 {
    private static final long P1 = 0x9e37_79b1_85eb_ca87L;
    private static final long P2 = 0xc2b2_ae3d_27d4_eb4fL;
    private static final long P3 = 0x1656_67b1_9e37_79f9L;
    private static final long P4 = 0x85eb_ca77_c2b2_ae63L;
    private static final long P5 = 0x27d4_eb2f_1656_67c5L;
    private static final int STRIPE = 32;

    private final byte[] rest = new byte[STRIPE];
    private int left;
    private long length;
    private long a;
    private long b;
    private long c;
    private long d;

    void reset() {
        left = 0;
        length = 0;
        a = 0x60ea_27ee_adc0_b5d6L;
        b = P2;
        c = 0;
        d = 0x61c8_864e_7a14_3579L;
    }

    void update(byte[] bytes, int from, int count) {
        int at = from;
        int end = from + count;
        length += count;
        if (left > 0) {
            int some = Math.min(STRIPE - left, count);
            System.arraycopy(bytes, at, rest, left, some);
            left += some;
            at += some;
            if (left < STRIPE) {
                return;
            }
            stripes(rest, 0, STRIPE);
            left = 0;
        }
        int whole = (end - at) & -STRIPE;
        stripes(bytes, at, at + whole);
        at += whole;
        left = end - at;
        System.arraycopy(bytes, at, rest, 0, left);
    }

    long value() {
        long hash;
        if (length >= STRIPE) {
            hash = Long.rotateLeft(a, 1) + Long.rotateLeft(b, 7) + Long.rotateLeft(c, 12) + Long.rotateLeft(d, 18);
            hash = merge(merge(merge(merge(hash, a), b), c), d);
        } else {
            hash = P5;
        }
        hash += length;
        int at = 0;
        for (; at + 8 <= left; at += 8) {
            hash = Long.rotateLeft(hash ^ round(0, LittleEndian.getLong(rest, at)), 27) * P1 + P4;
        }
        if (at + 4 <= left) {
            hash = Long.rotateLeft(hash ^ (LittleEndian.getInt(rest, at) & 0xffff_ffffL) * P1, 23) * P2 + P3;
            at += 4;
        }
        for (; at < left; at++) {
            hash = Long.rotateLeft(hash ^ (rest[at] & 0xff) * P5, 11) * P1;
        }
        hash = (hash ^ hash >>> 33) * P2;
        hash = (hash ^ hash >>> 29) * P3;
        return hash ^ hash >>> 32;
    }

    private void stripes(byte[] bytes, int from, int to) {
        long w = a;
        long x = b;
        long y = c;
        long z = d;
        for (int at = from; at < to; at += STRIPE) {
            w = round(w, LittleEndian.getLong(bytes, at));
            x = round(x, LittleEndian.getLong(bytes, at + 8));
            y = round(y, LittleEndian.getLong(bytes, at + 16));
            z = round(z, LittleEndian.getLong(bytes, at + 24));
        }
        a = w;
        b = x;
        c = y;
        d = z;
    }

    private static long round(long accumulator, long lane) {
        return Long.rotateLeft(accumulator + lane * P2, 31) * P1;
    }

    private static long merge(long hash, long accumulator) {
        return (hash ^ round(0, accumulator)) * P1 + P4;
    }
}
