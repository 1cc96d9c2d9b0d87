package dev.coldstart.shim.ttrpc;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.concurrent.locks.ReentrantLock;

/** Frames over a socket: one thread reads, any thread writes. */
final class Connection implements AutoCloseable {
    /** Most messages come with their header in one read. */
    private static final int READ_BYTES = 8 << 10;
    /** The JDK keeps a buffer off the heap as large as the largest piece that was read or written at once. */
    private static final int PIECE_BYTES = 64 << 10;

    private static final byte[] NOTHING = new byte[0];

    private final SocketChannel channel;
    private final ReentrantLock writing = new ReentrantLock();
    private final ByteBuffer in = ByteBuffer.allocate(READ_BYTES).flip();

    Connection(SocketChannel channel) {
        this.channel = channel;
    }

    /** The next header; its data must be read or discarded before the next call. */
    Frame readFrame() throws IOException {
        if (in.remaining() < Frame.HEADER_BYTES) {
            in.compact();
            while (in.position() < Frame.HEADER_BYTES) {
                read(in);
            }
            in.flip();
        }
        return Frame.parse(in);
    }

    byte[] readData(Frame frame) throws IOException {
        int length = (int) frame.length();
        if (length == 0) {
            return NOTHING;
        }
        byte[] data = new byte[length];
        int here = Math.min(length, in.remaining());
        in.get(data, 0, here);
        ByteBuffer rest = ByteBuffer.wrap(data).position(here);
        while (rest.position() < length) {
            read(rest.limit(Math.min(length, rest.position() + PIECE_BYTES)));
        }
        return data;
    }

    void discardData(Frame frame) throws IOException {
        long left = frame.length();
        while (left > in.remaining()) {
            left -= in.remaining();
            in.clear();
            read(in);
            in.flip();
        }
        in.position(in.position() + (int) left);
    }

    /**
     * Sends one frame. An interrupt of the writing thread closes the connection for everybody, so this is for threads that
     * nobody interrupts while they write; others have {@link Outbox}.
     */
    void write(ByteBuffer frame) throws IOException {
        writing.lock();
        try {
            int end = frame.limit();
            while (frame.position() < end) {
                frame.limit(Math.min(end, frame.position() + PIECE_BYTES));
                channel.write(frame);
            }
        } finally {
            writing.unlock();
        }
    }

    private void read(ByteBuffer buffer) throws IOException {
        if (channel.read(buffer) < 0) {
            throw new EOFException("the peer closed the connection");
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
