package dev.coldstart.snapshotter.toc;

import dev.coldstart.snapshotter.layer.LayerException;
import dev.coldstart.snapshotter.tree.Tree;
import java.time.DateTimeException;
import java.time.OffsetDateTime;

/**
 * A time as Go writes it (RFC 3339, with a fraction if there is one).
 *
 * @param seconds since 1970
 * @param nanos and its fraction
 */
record GoTime(long seconds, int nanos) {
    /** A time that was never set. */
    private static final long ZERO = -62_135_596_800L;

    /** Reads a time; text that is empty and a time that was never set are the begin of 1970. */
    static GoTime parse(String text) throws LayerException {
        if (text.isEmpty()) {
            return new GoTime(0, 0);
        }
        try {
            OffsetDateTime time = OffsetDateTime.parse(text);
            long seconds = time.toEpochSecond();
            return new GoTime(seconds == ZERO ? 0 : seconds, time.getNano());
        } catch (DateTimeException e) {
            throw new LayerException("a file has the time " + Tree.printable(text) + ", which is none", e);
        }
    }
}
