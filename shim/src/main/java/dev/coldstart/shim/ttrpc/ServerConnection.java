package dev.coldstart.shim.ttrpc;

import static java.lang.System.Logger.Level.DEBUG;

import com.google.protobuf.InvalidProtocolBufferException;
import dev.coldstart.proto.ttrpc.Request;
import dev.coldstart.shim.log.LateLogger;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import jdk.net.UnixDomainPrincipal;
import org.jspecify.annotations.Nullable;

/** One client's connection: reads its frames and hands them to calls. */
final class ServerConnection implements AutoCloseable {
    private static final System.Logger LOG = new LateLogger(ServerConnection.class);

    /** Of requests that are not answered and messages that are not taken; four of the largest. */
    private static final long HELD_BYTES = 16 << 20;
    /** What a call takes besides its request, roughly: its thread, and its place in sets. */
    private static final long CALL_BYTES = 1 << 10;

    private final Connection connection;
    private final UnixDomainPrincipal peer;
    private final Methods methods;
    private final AtomicLong held = new AtomicLong();
    private final Set<UnaryCall> waiting = ConcurrentHashMap.newKeySet();
    /** Shared by all connections: calls that a server that ends waits for. */
    private final Set<UnaryCall> working;

    private final Map<Integer, StreamCall> streams = new ConcurrentHashMap<>();
    // Both of the reader. The queue is there when the first stream is.
    private int last;
    private @Nullable Outbox outbox;

    ServerConnection(Connection connection, UnixDomainPrincipal peer, Methods methods, Set<UnaryCall> working) {
        this.connection = connection;
        this.peer = peer;
        this.methods = methods;
        this.working = working;
    }

    UnixDomainPrincipal peer() {
        return peer;
    }

    /** Serves until the connection ends; what only waits or streams ends with it. */
    void serve() {
        IOException reason = new IOException("the connection has ended");
        try (connection) {
            while (true) {
                take(connection.readFrame());
            }
        } catch (IOException e) {
            // EOF or a reset: the peer is gone, and only its connection with it.
            LOG.log(DEBUG, "A connection ended: {0}", e.getMessage());
            reason.initCause(e);
        } finally {
            if (outbox != null) {
                outbox.fail(reason);
            }
            waiting.forEach(ServerCall::interrupt);
            streams.values().forEach(call -> call.abandon(reason));
        }
    }

    private void take(Frame frame) throws IOException {
        switch (frame.type()) {
            case Frame.REQUEST -> request(frame);
            case Frame.DATA -> data(frame);
            default -> connection.discardData(frame);
        }
    }

    private void request(Frame frame) throws IOException {
        int stream = frame.stream();
        if ((stream & 1) == 0 || Integer.compareUnsigned(stream, last) <= 0) {
            connection.discardData(frame);
            refuse(stream, Code.INVALID_ARGUMENT, "the stream id must be odd and increase");
            return;
        }
        last = stream;
        long cost = frame.length() + CALL_BYTES;
        if (frame.oversized()) {
            connection.discardData(frame);
            refuse(stream, Code.RESOURCE_EXHAUSTED, "the request exceeds 4 MiB");
        } else if (held.get() + cost > HELD_BYTES) {
            connection.discardData(frame);
            refuse(stream, Code.RESOURCE_EXHAUSTED, "too much of this connection is waiting to be answered");
        } else {
            call(frame, connection.readData(frame), cost);
        }
    }

    private void call(Frame frame, byte[] data, long cost) throws IOException {
        int stream = frame.stream();
        Request request;
        Methods.Method method;
        try {
            request = Request.parseFrom(data);
            if (request.getTimeoutNano() < 0) {
                throw new StatusException(
                        Code.DEADLINE_EXCEEDED, "the deadline of " + request.getMethod() + " had passed");
            }
            method = methods.find(request.getService(), request.getMethod());
        } catch (InvalidProtocolBufferException e) {
            refuse(stream, Code.INVALID_ARGUMENT, "the request cannot be parsed: " + e.getMessage());
            return;
        } catch (StatusException e) {
            refuse(stream, e.code(), String.valueOf(e.getMessage()));
            return;
        }
        boolean more = frame.has(Frame.REMOTE_OPEN);
        boolean closed = frame.has(Frame.REMOTE_CLOSED);
        if (method instanceof Methods.Unary unary && !more) {
            held.addAndGet(cost);
            UnaryCall call = new UnaryCall(stream, request, unary, this, cost);
            (unary.waits() ? waiting : working).add(call);
            call.start();
        } else if (method instanceof Methods.Streaming streaming && (more || closed)) {
            held.addAndGet(cost);
            if (outbox == null) {
                outbox = new Outbox(connection);
            }
            StreamCall call = new StreamCall(stream, request, streaming, this, outbox, new Inbox(held), cost);
            streams.put(stream, call);
            call.open(!closed);
            call.start();
        } else {
            refuse(stream, Code.UNIMPLEMENTED, request.getMethod() + (more ? " takes no stream" : " is a stream"));
        }
    }

    private void data(Frame frame) throws IOException {
        int stream = frame.stream();
        StreamCall call = streams.get(stream);
        if (call == null) {
            connection.discardData(frame);
            // What was sent before the client learnt of the stream's end is no mistake.
            if ((stream & 1) == 0 || Integer.compareUnsigned(stream, last) > 0) {
                refuse(stream, Code.INVALID_ARGUMENT, "there is no stream with this id");
            }
        } else if (frame.oversized()) {
            connection.discardData(frame);
            call.fail(Code.RESOURCE_EXHAUSTED, "the message exceeds 4 MiB");
        } else if (held.get() + Inbox.cost(frame.length()) > HELD_BYTES) {
            connection.discardData(frame);
            call.fail(Code.RESOURCE_EXHAUSTED, "too much of this connection is waiting to be taken");
        } else {
            call.data(frame, connection.readData(frame));
        }
    }

    private void refuse(int stream, int code, String message) throws IOException {
        connection.write(Frame.failure(stream, code, message));
    }

    void write(ByteBuffer frame) throws IOException {
        connection.write(frame);
    }

    /** A unary call's thread ends. */
    void ended(UnaryCall call, boolean waited, long cost) {
        (waited ? waiting : working).remove(call);
        held.addAndGet(-cost);
    }

    /** Nothing of a stream is awaited any more. */
    void closed(StreamCall call) {
        streams.remove(call.stream);
    }

    /** A stream's thread ends. */
    void ended(StreamCall call, long cost) {
        streams.remove(call.stream);
        held.addAndGet(-cost);
    }

    @Override
    public void close() throws IOException {
        connection.close();
    }
}
