package dev.coldstart.snapshotter.layer;

import java.io.IOException;

/** The header of a gzip member (RFC 1952, section 2.3), which nothing is learnt from but where it ends. */
final class GzipHeader {
    static final int ID1 = 0x1f;
    static final int ID2 = 0x8b;

    private static final int DEFLATE = 8;
    private static final int FHCRC = 2;
    private static final int FEXTRA = 4;
    private static final int FNAME = 8;
    private static final int FCOMMENT = 16;
    private static final int RESERVED = 0xe0;

    // The format allows names and comments without end; nobody writes long ones.
    private static final int MAX_TEXT = 64 << 10;

    /**
     * Where the header's bytes come from.
     *
     * @param <E> what is thrown when there are no more
     */
    @FunctionalInterface
    interface Source<E extends IOException> {
        /** The next byte, 0 to 255. */
        int next() throws E;
    }

    private GzipHeader() {}

    /** Reads a whole header. */
    static <E extends IOException> void skip(Source<E> source) throws E, LayerException {
        if (source.next() != ID1 || source.next() != ID2) {
            throw new LayerException("there is no gzip header where one has to be");
        }
        if (source.next() != DEFLATE) {
            throw new LayerException("the gzip header names a compression method other than deflate");
        }
        int flags = source.next();
        if ((flags & RESERVED) != 0) {
            throw new LayerException("the gzip header has unknown flags");
        }
        for (int i = 0; i < 6; i++) {
            source.next();
        }
        if ((flags & FEXTRA) != 0) {
            int length = source.next();
            length |= source.next() << 8;
            for (int i = 0; i < length; i++) {
                source.next();
            }
        }
        if ((flags & FNAME) != 0) {
            skipText(source);
        }
        if ((flags & FCOMMENT) != 0) {
            skipText(source);
        }
        if ((flags & FHCRC) != 0) {
            source.next();
            source.next();
        }
    }

    private static <E extends IOException> void skipText(Source<E> source) throws E, LayerException {
        for (int i = 0; source.next() != 0; i++) {
            if (i == MAX_TEXT) {
                throw new LayerException("the gzip header's name or comment has no end");
            }
        }
    }
}
