package dev.coldstart.snapshotter.fetch;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.io.InputStream;

/**
 * Where the bytes of layers' blobs come from. An interrupt ends a call, and a read of its stream, with an {@link
 * IOException}.
 */
@FunctionalInterface
public interface BlobSource {
    /**
     * Opens a range of a blob. The stream may end early or fail; it delivers nothing but this range's bytes, which the
     * caller verifies.
     *
     * @param from offset of the first byte
     * @param to offset behind the last byte
     */
    InputStream open(Digest layer, long from, long to) throws IOException;

    /** Whether each range costs a download of the whole blob, so that it is better read in one go from its start. */
    default boolean rangesIgnored(Digest layer) {
        return false;
    }

    /** Says that bytes of a blob that came lately were wrong, so that they are asked for elsewhere if that can be. */
    default void distrust(Digest layer) {}

    /**
     * Opens a range of a blob again, because what {@link #open} asked is silent: at another place, if there is one, or
     * else by another connection.
     */
    default InputStream openElsewhere(Digest layer, long from, long to) throws IOException {
        return open(layer, from, to);
    }
}
