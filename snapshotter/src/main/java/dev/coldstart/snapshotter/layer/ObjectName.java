package dev.coldstart.snapshotter.layer;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.HexFormat;
import org.jspecify.annotations.Nullable;

/**
 * The name of an object: the SHA-256 of its bytes, as four big-endian words. Ordered as its hexadecimal digits are. Where an
 * index does not know the bytes, the name is a {@link #derived} one, which says where they are; it ends in eight bytes that
 * no digest has but by a chance of 1 in 2^64.
 */
public record ObjectName(long a, long b, long c, long d) implements Comparable<ObjectName> {
    /** Bytes of a name. */
    public static final int BYTES = 32;

    /** "derived\n" */
    private static final long DERIVED = 0x6465_7269_7665_640aL;

    /**
     * The name of the object whose SHA-256 this is.
     *
     * @param sha256 32 bytes
     */
    public static ObjectName of(byte[] sha256) {
        if (sha256.length != BYTES) {
            throw new IllegalArgumentException("a SHA-256 has 32 bytes, not " + sha256.length);
        }
        ByteBuffer words = ByteBuffer.wrap(sha256).order(ByteOrder.BIG_ENDIAN);
        return new ObjectName(words.getLong(), words.getLong(), words.getLong(), words.getLong());
    }

    /**
     * The name of bytes that are known by their place only.
     *
     * @param index digest of what says how to read the layer: another one may read other bytes
     * @param layer digest of its blob
     * @param offset of the bytes in the uncompressed tar
     * @param size how many
     */
    public static ObjectName derived(Digest index, Digest layer, long offset, long size) {
        MessageDigest sha256 = Sha256.digest();
        sha256.update("coldstart derived".getBytes(StandardCharsets.US_ASCII));
        sha256.update(index.bytes());
        sha256.update(layer.bytes());
        sha256.update(ByteBuffer.allocate(16).putLong(offset).putLong(size).flip());
        ObjectName digest = of(sha256.digest());
        return new ObjectName(digest.a, digest.b, digest.c, DERIVED);
    }

    /**
     * Whether this is a {@link #derived} name. Bytes cannot be compared with it: what has it was proven when it was fetched.
     */
    public boolean isDerived() {
        return d == DERIVED;
    }

    /**
     * Reads 64 lower-case hexadecimal digits.
     *
     * @throws IllegalArgumentException if this is anything else
     */
    public static ObjectName parse(String hex) {
        if (!isHex(hex)) {
            throw new IllegalArgumentException("\"" + hex + "\" is not a SHA-256 in 64 lower-case hexadecimal digits");
        }
        return of(HexFormat.of().parseHex(hex));
    }

    /**
     * Reads 64 lower-case hexadecimal digits.
     *
     * @return null if this is anything else
     */
    public static @Nullable ObjectName parse(byte[] hex) {
        if (hex.length != 2 * BYTES) {
            return null;
        }
        for (byte digit : hex) {
            if (!isDigit(digit)) {
                return null;
            }
        }
        return new ObjectName(word(hex, 0), word(hex, 16), word(hex, 32), word(hex, 48));
    }

    private static long word(byte[] hex, int from) {
        long word = 0;
        for (int i = from; i < from + 16; i++) {
            word = word << 4 | (hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
        }
        return word;
    }

    /** 64 lower-case hexadecimal digits. */
    public String hex() {
        HexFormat digits = HexFormat.of();
        return digits.toHexDigits(a) + digits.toHexDigits(b) + digits.toHexDigits(c) + digits.toHexDigits(d);
    }

    /** The 32 bytes. */
    public byte[] bytes() {
        return ByteBuffer.allocate(BYTES)
                .putLong(a)
                .putLong(b)
                .putLong(c)
                .putLong(d)
                .array();
    }

    /** Where the object lies in a tier, relative to it: {@code ab/cdef…}. */
    public String path() {
        String hex = hex();
        return hex.substring(0, 2) + "/" + hex.substring(2);
    }

    @Override
    public int compareTo(ObjectName other) {
        int order = Long.compareUnsigned(a, other.a);
        order = order != 0 ? order : Long.compareUnsigned(b, other.b);
        order = order != 0 ? order : Long.compareUnsigned(c, other.c);
        return order != 0 ? order : Long.compareUnsigned(d, other.d);
    }

    @Override
    public String toString() {
        return hex();
    }

    static boolean isHex(String text) {
        return text.length() == 2 * BYTES && text.chars().allMatch(ObjectName::isDigit);
    }

    private static boolean isDigit(int c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    }
}
