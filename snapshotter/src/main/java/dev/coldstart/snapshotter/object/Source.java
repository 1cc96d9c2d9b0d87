package dev.coldstart.snapshotter.object;

import dev.coldstart.snapshotter.layer.ObjectName;
import java.io.IOException;
import java.lang.foreign.MemorySegment;

/** Where the bytes of an object can be had anew when the store's own turned out to be wrong. */
public interface Source {
    /**
     * Gives all bytes of the object to the sink, verified, in any order.
     *
     * @throws IOException if they cannot be had; the message says why
     */
    void fetch(ObjectName name, Sink sink) throws IOException;

    /** Takes bytes of an object. */
    @FunctionalInterface
    interface Sink {
        /**
         * Takes some.
         *
         * @param bytes in native memory, valid during the call
         * @param offset of their first in the object
         */
        void write(MemorySegment bytes, long offset) throws IOException;
    }
}
