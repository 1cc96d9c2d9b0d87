package dev.coldstart.snapshotter.trace;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.io.InputStream;
import org.jspecify.annotations.Nullable;

/** Where the prefetch blobs of layers come from. */
@FunctionalInterface
public interface PrefetchSource {
    /** Has none. */
    PrefetchSource NONE = layer -> null;

    /**
     * A layer's prefetch blob, as {@link PrefetchBlob} reads it, from somebody whose word counts for what bytes files have.
     *
     * @return null if none is known
     * @throws IOException if it cannot be had
     */
    @Nullable
    InputStream open(Digest layer) throws IOException;
}
