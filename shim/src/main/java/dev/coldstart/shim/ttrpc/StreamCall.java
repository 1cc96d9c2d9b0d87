package dev.coldstart.shim.ttrpc;

import static java.lang.System.Logger.Level.DEBUG;

import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import com.google.protobuf.UnsafeByteOperations;
import dev.coldstart.proto.ttrpc.Request;
import dev.coldstart.shim.log.LateLogger;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** A stream, from its request to its last message. */
final class StreamCall extends ServerCall implements ServerStream {
    private static final System.Logger LOG = new LateLogger(StreamCall.class);

    private final Methods.Streaming method;
    private final ServerConnection connection;
    private final Outbox outbox;
    private final Inbox inbox;
    private final long cost;
    private final ReentrantLock sending = new ReentrantLock();
    /** Guarded by sending. */
    private boolean answered;

    StreamCall(
            int stream,
            Request request,
            Methods.Streaming method,
            ServerConnection connection,
            Outbox outbox,
            Inbox inbox,
            long cost) {
        super(stream, request, connection.peer());
        this.method = method;
        this.connection = connection;
        this.outbox = outbox;
        this.inbox = inbox;
        this.cost = cost;
    }

    /** Takes what the request itself says: a message, and whether it is the only one. */
    void open(boolean more) {
        ByteString payload = request.getPayload();
        if (!more || !payload.isEmpty()) {
            inbox.put(payload);
        }
        if (!more) {
            inbox.end(null);
        }
    }

    /** Takes a frame of data; only the connection's reader calls this. */
    void data(Frame frame, byte[] data) {
        if (inbox.ended()) {
            fail(Code.INVALID_ARGUMENT, "data of " + request.getMethod() + " came after its last");
            return;
        }
        if (!frame.has(Frame.NO_DATA) && !inbox.put(UnsafeByteOperations.unsafeWrap(data))) {
            fail(Code.RESOURCE_EXHAUSTED, request.getMethod() + " does not take what is sent to it");
            return;
        }
        if (frame.has(Frame.REMOTE_CLOSED)) {
            inbox.end(null);
        }
    }

    /** Ends the stream before its handler does. */
    void fail(int code, String message) {
        end(Frame.failure(stream, code, message), new StatusException(code, message));
    }

    /** The connection has ended. */
    void abandon(IOException reason) {
        inbox.abort(reason);
        interrupt();
    }

    @Override
    ByteBuffer respond() throws StatusException, IOException, InterruptedException {
        @Nullable MessageLite last = method.handler().handle(this);
        return last == null ? Frame.lastData(stream) : Frame.response(stream, last, request.getMethod());
    }

    @Override
    public @Nullable ByteString receive() throws StatusException, IOException, InterruptedException {
        return inbox.take(null);
    }

    @Override
    public void send(MessageLite message) throws StatusException, IOException, InterruptedException {
        ByteBuffer frame = Frame.data(stream, message, request.getMethod());
        outbox.reserve(frame);
        sending.lock();
        try {
            if (!answered) {
                outbox.add(frame);
                return;
            }
        } finally {
            sending.unlock();
        }
        outbox.giveUp(frame);
        inbox.throwFailure();
        throw new IllegalStateException(request.getMethod() + " sends after its end");
    }

    @Override
    boolean answered() {
        sending.lock();
        try {
            return answered;
        } finally {
            sending.unlock();
        }
    }

    @Override
    boolean answer(ByteBuffer frame) {
        boolean first = claim(null);
        if (first) {
            finish(frame);
        }
        return first;
    }

    @Override
    void expire(ByteBuffer frame) {
        String reason = "the deadline of " + request.getMethod() + " passed";
        end(frame, new StatusException(Code.DEADLINE_EXCEEDED, reason));
    }

    private void end(ByteBuffer frame, StatusException reason) {
        if (claim(reason)) {
            interrupt();
            finish(frame);
        }
    }

    /** Whether this is the first end of the stream; nothing is sent on it afterwards but what the caller sends. */
    private boolean claim(@Nullable StatusException reason) {
        sending.lock();
        try {
            if (answered) {
                return false;
            }
            answered = true;
            if (reason != null) {
                inbox.abort(reason);
            }
            return true;
        } finally {
            sending.unlock();
        }
    }

    private void finish(ByteBuffer frame) {
        connection.closed(this);
        try {
            outbox.reserveUninterruptibly(frame);
            outbox.add(frame);
        } catch (IOException e) {
            LOG.log(DEBUG, "Nobody reads the end of {0}: {1}", request.getMethod(), e.getMessage());
        }
    }

    @Override
    void ended() {
        inbox.abort(new IOException(request.getMethod() + " has ended"));
        connection.ended(this, cost);
    }
}
