package dev.coldstart.snapshotter.layer;

import java.io.IOException;
import java.nio.ByteBuffer;

/**
 * Takes the bytes of a layer's objects while {@link LayerIndexer} meets them. One object at a time, from one thread,
 * which is not the thread that called {@link LayerIndexer#index}.
 */
public interface ObjectSink {
    /**
     * Starts an object.
     *
     * @param size its bytes, more than 0
     */
    Writer begin(long size) throws IOException;

    /** One object on its way into the sink: any number of writes, then {@link #complete} or {@link #abort}. */
    interface Writer {
        /** Appends the buffer's remaining bytes; the buffer is the caller's again afterwards. */
        void write(ByteBuffer bytes) throws IOException;

        /**
         * All bytes are there, and this is their name. A layer may hold the same bytes several times, and the sink may
         * already have them: both are ordinary.
         */
        void complete(ObjectName name) throws IOException;

        /** The layer turned out to be bad or could not be read on: the bytes so far are to be forgotten. */
        void abort();
    }
}
