package dev.coldstart.shim.ttrpc;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import dev.coldstart.proto.ttrpc.Request;
import dev.coldstart.proto.ttrpc.Response;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;

/** A peer that sends what it is told to, right or wrong. */
final class RawPeer implements AutoCloseable {
    private final SocketChannel channel;
    private final Connection connection;

    RawPeer(SocketChannel channel) {
        this.channel = channel;
        this.connection = new Connection(channel);
    }

    static RawPeer connect(Path socket) throws IOException {
        return new RawPeer(SocketChannel.open(UnixDomainSocketAddress.of(socket)));
    }

    static ServerSocketChannel listen(Path socket) throws IOException {
        return ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(UnixDomainSocketAddress.of(socket));
    }

    void send(int stream, int type, int flags, byte[] data) throws IOException {
        sendBytes(ByteBuffer.allocate(Frame.HEADER_BYTES + data.length)
                .putInt(data.length)
                .putInt(stream)
                .put((byte) type)
                .put((byte) flags)
                .put(data)
                .flip());
    }

    void sendBytes(ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    void request(int stream, int flags, String method, MessageLite payload, long timeoutNanos) throws IOException {
        Request request = Request.newBuilder()
                .setService("test")
                .setMethod(method)
                .setPayload(payload.toByteString())
                .setTimeoutNano(timeoutNanos)
                .build();
        send(stream, Frame.REQUEST, flags, request.toByteArray());
    }

    void data(int stream, MessageLite message) throws IOException {
        send(stream, Frame.DATA, 0, message.toByteArray());
    }

    /** Header and data of the next frame. */
    Received receive() throws IOException {
        Frame frame = connection.readFrame();
        return new Received(frame, ByteString.copyFrom(connection.readData(frame)));
    }

    int receiveFailure(int stream) throws IOException {
        Received received = receive();
        assertThat(received.frame().stream()).isEqualTo(stream);
        assertThat(received.frame().type()).isEqualTo(Frame.RESPONSE);
        return Response.parseFrom(received.data()).getStatus().getCode();
    }

    record Received(Frame frame, ByteString data) {}

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
