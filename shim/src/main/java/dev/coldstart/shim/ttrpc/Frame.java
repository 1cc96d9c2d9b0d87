package dev.coldstart.shim.ttrpc;

import java.nio.ByteBuffer;

/**
 * The ten bytes before each message.
 *
 * @param length of the data that follows, in bytes
 * @param stream odd and increasing for each request of a client
 * @param type one of the constants here; others are to be ignored
 * @param flags zero for unary calls
 */
record Frame(long length, int stream, byte type, byte flags) {
    static final int HEADER_BYTES = 10;
    /** More must be read and thrown away, and never sent: Go's implementation drops the connection. */
    static final int MAX_DATA_BYTES = 4 << 20;

    static final byte REQUEST = 1;
    static final byte RESPONSE = 2;

    /** Consumes {@link #HEADER_BYTES}. */
    static Frame parse(ByteBuffer header) {
        return new Frame(Integer.toUnsignedLong(header.getInt()), header.getInt(), header.get(), header.get());
    }

    static ByteBuffer header(int length, int stream, byte type) {
        return ByteBuffer.allocate(HEADER_BYTES)
                .putInt(length)
                .putInt(stream)
                .put(type)
                .put((byte) 0)
                .flip();
    }

    boolean oversized() {
        return length > MAX_DATA_BYTES;
    }
}
