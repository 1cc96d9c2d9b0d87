package dev.coldstart.shim.ttrpc;

import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.MessageLite;
import dev.coldstart.proto.ttrpc.Request;
import dev.coldstart.proto.ttrpc.Response;
import dev.coldstart.proto.ttrpc.Status;
import java.io.IOException;
import java.nio.ByteBuffer;

/**
 * The ten bytes before each message.
 *
 * @param length of the data that follows, in bytes
 * @param stream odd and increasing for each request of a client
 * @param type one of the constants here; others are to be ignored
 * @param flags of {@link #REMOTE_CLOSED}, {@link #REMOTE_OPEN} and {@link #NO_DATA}; zero for unary calls
 */
record Frame(long length, int stream, byte type, byte flags) {
    static final int HEADER_BYTES = 10;
    /** More must be read and thrown away, and never sent: Go's implementation drops the connection. */
    static final int MAX_DATA_BYTES = 4 << 20;

    static final byte REQUEST = 1;
    static final byte RESPONSE = 2;
    static final byte DATA = 3;

    /** In a request, that it is of a stream; in both kinds, that the sender sends nothing more on it. */
    static final byte REMOTE_CLOSED = 1;
    /** In a request: of a stream, and its data follows. */
    static final byte REMOTE_OPEN = 2;
    /** In data, to tell that there is none from a message without fields. */
    static final byte NO_DATA = 4;

    private static final int STREAM_OFFSET = 4;

    /** Consumes {@link #HEADER_BYTES}. */
    static Frame parse(ByteBuffer header) {
        return new Frame(Integer.toUnsignedLong(header.getInt()), header.getInt(), header.get(), header.get());
    }

    boolean oversized() {
        return length > MAX_DATA_BYTES;
    }

    boolean has(byte flag) {
        return (flags & flag) != 0;
    }

    /**
     * A request to which {@link #number} gives its stream; refused with RESOURCE_EXHAUSTED where it is too long to be sent.
     *
     * @param head of the request, without its payload
     */
    static ByteBuffer request(byte flags, Request head, MessageLite payload) throws StatusException {
        int bytes = head.getSerializedSize() + fieldSize(Request.PAYLOAD_FIELD_NUMBER, payload);
        if (bytes > MAX_DATA_BYTES) {
            throw new StatusException(Code.RESOURCE_EXHAUSTED, "the request to " + head.getMethod() + " exceeds 4 MiB");
        }
        ByteBuffer frame = header(bytes, 0, REQUEST, flags);
        write(frame, bytes, out -> {
            head.writeTo(out);
            writeField(out, Request.PAYLOAD_FIELD_NUMBER, payload);
        });
        return frame;
    }

    static void number(ByteBuffer request, int stream) {
        request.putInt(STREAM_OFFSET, stream);
    }

    /**
     * A success.
     *
     * @param method named in the failure with RESOURCE_EXHAUSTED where the payload is too long to be sent
     */
    static ByteBuffer response(int stream, MessageLite payload, String method) throws StatusException {
        int bytes = fieldSize(Response.PAYLOAD_FIELD_NUMBER, payload);
        if (bytes > MAX_DATA_BYTES) {
            throw new StatusException(Code.RESOURCE_EXHAUSTED, "the answer to " + method + " exceeds 4 MiB");
        }
        ByteBuffer frame = header(bytes, stream, RESPONSE, (byte) 0);
        write(frame, bytes, out -> writeField(out, Response.PAYLOAD_FIELD_NUMBER, payload));
        return frame;
    }

    static ByteBuffer failure(int stream, int code, String message) {
        return encode(
                stream,
                RESPONSE,
                (byte) 0,
                Response.newBuilder()
                        .setStatus(Status.newBuilder().setCode(code).setMessage(message))
                        .build());
    }

    /**
     * One message of a stream.
     *
     * @param method named in the failure with RESOURCE_EXHAUSTED where the message is too long to be sent
     */
    static ByteBuffer data(int stream, MessageLite message, String method) throws StatusException {
        if (message.getSerializedSize() > MAX_DATA_BYTES) {
            throw new StatusException(Code.RESOURCE_EXHAUSTED, "a message of " + method + " exceeds 4 MiB");
        }
        return encode(stream, DATA, (byte) 0, message);
    }

    /** Says that the sender's last message has been sent: alone, because Go's server refuses it together with data. */
    static ByteBuffer lastData(int stream) {
        return header(0, stream, DATA, (byte) (REMOTE_CLOSED | NO_DATA));
    }

    /**
     * A payload is a field of bytes, which is encoded as a message in its place would be: that saves a copy. One without
     * bytes is left out, so that an empty success is a frame without data.
     */
    private static int fieldSize(int field, MessageLite payload) {
        return payload.getSerializedSize() == 0 ? 0 : CodedOutputStream.computeMessageSize(field, payload);
    }

    private static void writeField(CodedOutputStream out, int field, MessageLite payload) throws IOException {
        if (payload.getSerializedSize() > 0) {
            out.writeMessage(field, payload);
        }
    }

    private static ByteBuffer encode(int stream, byte type, byte flags, MessageLite message) {
        int bytes = message.getSerializedSize();
        ByteBuffer frame = header(bytes, stream, type, flags);
        write(frame, bytes, message::writeTo);
        return frame;
    }

    private static ByteBuffer header(int bytes, int stream, byte type, byte flags) {
        return ByteBuffer.allocate(HEADER_BYTES + bytes)
                .putInt(bytes)
                .putInt(stream)
                .put(type)
                .put(flags)
                .rewind();
    }

    private static void write(ByteBuffer frame, int bytes, Encoder encoder) {
        CodedOutputStream out = CodedOutputStream.newInstance(frame.slice(HEADER_BYTES, bytes));
        try {
            encoder.writeTo(out);
        } catch (IOException e) {
            throw new IllegalStateException("a message of " + bytes + " bytes is longer than it said", e);
        }
        out.checkNoSpaceLeft();
    }

    @FunctionalInterface
    private interface Encoder {
        void writeTo(CodedOutputStream out) throws IOException;
    }
}
