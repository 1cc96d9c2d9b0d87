package dev.coldstart.snapshotter.trace;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** What is known of starts of layers, to be given to other nodes and taken from them. */
public interface Traces {
    /** A layer's trace as bytes ({@link LayerTrace} says which); null if no start was seen that read anything of it. */
    byte @Nullable [] read(Digest layer) throws IOException;

    /**
     * Adds what another node saw to what is known here.
     *
     * @throws TraceException if these bytes are no sound trace of this layer
     */
    void add(Digest layer, byte[] trace) throws IOException;

    /** Where a layer's prefetch blob lies, as {@link #addPrefetch} was told; null if it was not. */
    @Nullable
    String prefetch(Digest layer) throws IOException;

    /** Keeps where a layer's prefetch blob lies, in place of what was known before. */
    void addPrefetch(Digest layer, String place) throws IOException;
}
