package dev.coldstart.shim.ttrpc;

import static java.lang.System.Logger.Level.DEBUG;

import dev.coldstart.proto.ttrpc.Request;
import dev.coldstart.shim.log.LateLogger;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicBoolean;

/** One message, one answer. */
final class UnaryCall extends ServerCall {
    private static final System.Logger LOG = new LateLogger(UnaryCall.class);

    private final Methods.Unary method;
    private final ServerConnection connection;
    private final long cost;
    private final AtomicBoolean answered = new AtomicBoolean();

    UnaryCall(int stream, Request request, Methods.Unary method, ServerConnection connection, long cost) {
        super(stream, request, connection.peer());
        this.method = method;
        this.connection = connection;
        this.cost = cost;
    }

    @Override
    ByteBuffer respond() throws StatusException, IOException, InterruptedException {
        return Frame.response(stream, method.handler().handle(this, request.getPayload()), request.getMethod());
    }

    @Override
    boolean answered() {
        return answered.get();
    }

    @Override
    boolean answer(ByteBuffer frame) {
        if (!answered.compareAndSet(false, true)) {
            return false;
        }
        try {
            connection.write(frame);
        } catch (IOException e) {
            LOG.log(DEBUG, "Nobody reads the answer to {0}: {1}", request.getMethod(), e.getMessage());
        }
        return true;
    }

    @Override
    void expire(ByteBuffer frame) {
        // Interrupting a thread that is writing its own answer would close the connection.
        if (answer(frame) && method.waits()) {
            interrupt();
        }
    }

    @Override
    void ended() {
        connection.ended(this, method.waits(), cost);
    }
}
