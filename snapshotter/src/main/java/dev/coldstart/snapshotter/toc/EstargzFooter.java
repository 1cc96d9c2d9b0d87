package dev.coldstart.snapshotter.toc;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The end of an eStargz blob: an empty gzip member whose extra field says where the table of contents is (stargz-snapshotter,
 * {@code docs/estargz.md}). It has 51 bytes, with the subfield {@code SG} that RFC 1952 asks for, or 47 without it, in blobs
 * of the older stargz.
 *
 * @param tableStart offset in the blob of the gzip member with the table of contents
 * @param bytes of the footer
 */
record EstargzFooter(long tableStart, int bytes) {
    static final int MAX_BYTES = 51;

    private static final byte[] HEADER = {0x1f, (byte) 0x8b, 8, 4};
    private static final byte[] SUBFIELD = {26, 0, 'S', 'G', 22, 0};
    private static final byte[] NO_SUBFIELD = {22, 0};
    private static final String MAGIC = "STARGZ";
    private static final int EXTRA_AT = 10;
    private static final int DIGITS = 16;

    /**
     * Reads the footer.
     *
     * @param tail the blob's last bytes
     * @return null if this is none
     */
    static @Nullable EstargzFooter of(byte[] tail) {
        EstargzFooter footer = of(tail, SUBFIELD, MAX_BYTES);
        return footer != null ? footer : of(tail, NO_SUBFIELD, MAX_BYTES - SUBFIELD.length + NO_SUBFIELD.length);
    }

    private static @Nullable EstargzFooter of(byte[] tail, byte[] extra, int size) {
        int at = tail.length - size;
        int digits = at + EXTRA_AT + extra.length;
        if (at < 0
                || !Arrays.equals(tail, at, at + HEADER.length, HEADER, 0, HEADER.length)
                || !Arrays.equals(tail, at + EXTRA_AT, digits, extra, 0, extra.length)) {
            return null;
        }
        String text = new String(tail, digits, DIGITS + MAGIC.length(), StandardCharsets.ISO_8859_1);
        if (!text.matches("[0-9a-f]{16}" + MAGIC) || text.charAt(0) > '7') {
            return null;
        }
        return new EstargzFooter(Long.parseLong(text.substring(0, DIGITS), 16), size);
    }
}
