package dev.coldstart.shim.ttrpc;

import com.google.protobuf.MessageLite;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.concurrent.locks.ReentrantLock;

/** Frames over a socket: one thread reads, any thread writes. */
final class Connection implements AutoCloseable {
    private static final int DISCARD_BYTES = 64 << 10;

    private final SocketChannel channel;
    private final ReentrantLock writing = new ReentrantLock();
    private final ByteBuffer header = ByteBuffer.allocate(Frame.HEADER_BYTES);

    Connection(SocketChannel channel) {
        this.channel = channel;
    }

    /** The next header; its data must be read or discarded before the next call. */
    Frame readFrame() throws IOException {
        header.clear();
        fill(header);
        return Frame.parse(header.flip());
    }

    byte[] readData(Frame frame) throws IOException {
        byte[] data = new byte[(int) frame.length()];
        fill(ByteBuffer.wrap(data));
        return data;
    }

    void discardData(Frame frame) throws IOException {
        ByteBuffer scrap = ByteBuffer.allocate((int) Math.min(frame.length(), DISCARD_BYTES));
        for (long left = frame.length(); left > 0; ) {
            scrap.clear().limit((int) Math.min(left, scrap.capacity()));
            left -= scrap.remaining();
            fill(scrap);
        }
    }

    /** Sends one frame in a single gathering write. */
    void write(int stream, byte type, MessageLite message) throws IOException {
        byte[] data = message.toByteArray();
        ByteBuffer[] frame = {Frame.header(data.length, stream, type), ByteBuffer.wrap(data)};
        writing.lock();
        try {
            while (frame[0].hasRemaining() || frame[1].hasRemaining()) {
                channel.write(frame);
            }
        } finally {
            writing.unlock();
        }
    }

    private void fill(ByteBuffer buffer) throws IOException {
        while (buffer.hasRemaining()) {
            if (channel.read(buffer) < 0) {
                throw new EOFException("the peer closed the connection");
            }
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
