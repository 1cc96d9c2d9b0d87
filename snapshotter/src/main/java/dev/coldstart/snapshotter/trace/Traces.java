package dev.coldstart.snapshotter.trace;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** The traces of layers as bytes ({@link LayerTrace} says which), to be given to other nodes and taken from them. */
public interface Traces {
    /** A layer's trace; null if no start was seen that read anything of it. */
    byte @Nullable [] read(Digest layer) throws IOException;

    /**
     * Adds what another node saw to what is known here.
     *
     * @throws TraceException if these bytes are no sound trace of this layer
     */
    void add(Digest layer, byte[] trace) throws IOException;
}
