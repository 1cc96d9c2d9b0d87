package dev.coldstart.shim.ttrpc;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import com.google.protobuf.UnsafeByteOperations;
import dev.coldstart.proto.ttrpc.Response;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * The client's side of a stream. One thread may receive while another sends.
 *
 * <p>About 1 MiB of messages that were not received yet is kept. Who then receives nothing for a second, for which
 * everything on the connection waits, loses the stream: RESOURCE_EXHAUSTED.
 */
public final class ClientStream implements AutoCloseable {
    private final Client client;
    private final int stream;
    private final String method;
    private final @Nullable Long deadline;
    private final Inbox inbox;
    private final ReentrantLock sending = new ReentrantLock();
    /** Guarded by sending. */
    private boolean open;

    ClientStream(Client client, int stream, String method, @Nullable Long deadline, Inbox inbox, boolean open) {
        this.client = client;
        this.stream = stream;
        this.method = method;
        this.deadline = deadline;
        this.inbox = inbox;
        this.open = open;
    }

    /**
     * Sends a message; returns when it stands in the queue, for which it may have to wait.
     *
     * @throws StatusException if the message exceeds 4 MiB (RESOURCE_EXHAUSTED), the deadline has passed, or the server
     *     has ended the stream with a failure
     * @throws IOException if the connection or, with success, the server has ended the stream
     * @throws IllegalStateException after {@link #closeSend}, and on a stream that only the server sends on
     */
    public void send(MessageLite message) throws StatusException, IOException, InterruptedException {
        if (!send(Frame.data(stream, message, method), true)) {
            inbox.throwFailure();
            throw new IOException(method + " has ended");
        }
    }

    /**
     * Tells the server that no message follows; it may go on sending. Nothing happens where it has ended the stream.
     *
     * @throws StatusException if the deadline has passed
     * @throws IOException if the connection has ended
     * @throws IllegalStateException as {@link #send} does
     */
    public void closeSend() throws StatusException, IOException, InterruptedException {
        var _ = send(Frame.lastData(stream), false);
    }

    /** False if the stream has ended: Go's server does not survive data of such a stream. */
    private boolean send(ByteBuffer frame, boolean more) throws StatusException, IOException, InterruptedException {
        client.reserve(frame, method, deadline);
        boolean sent = false;
        sending.lock();
        try {
            if (!open) {
                throw new IllegalStateException("nothing more can be sent to " + method);
            }
            open = more;
            if (!inbox.ended()) {
                client.outbox().add(frame);
                sent = true;
            }
            return sent;
        } finally {
            sending.unlock();
            if (!sent) {
                client.outbox().giveUp(frame);
            }
        }
    }

    /**
     * The server's next message, waited for.
     *
     * @return null after the last
     * @throws StatusException the failure with which the server ended the stream, or DEADLINE_EXCEEDED
     * @throws IOException if the connection has ended
     */
    public @Nullable ByteString receive() throws StatusException, IOException, InterruptedException {
        return inbox.take(deadline);
    }

    /**
     * Ends the stream here. ttrpc cannot tell the server to stop: it goes on until its deadline or the connection's end,
     * and what it sends is dropped.
     */
    @Override
    public void close() {
        client.forget(stream);
        inbox.abort(new IOException(method + " was closed"));
    }

    /** What comes for a stream. */
    record Reply(String method, Inbox inbox) implements Client.Receiver {
        @Override
        public boolean frame(Frame frame, byte[] data) {
            if (frame.type() == Frame.RESPONSE) {
                respond(data);
                return true;
            }
            if (!frame.has(Frame.NO_DATA) && !put(UnsafeByteOperations.unsafeWrap(data))) {
                return true;
            }
            boolean last = frame.has(Frame.REMOTE_CLOSED);
            if (last) {
                inbox.end(null);
            }
            return last;
        }

        /** A response ends a stream, with a failure or with one more message. */
        private void respond(byte[] data) {
            try {
                Response response = Response.parseFrom(data);
                int code = response.getStatus().getCode();
                if (code != 0) {
                    inbox.end(new StatusException(code, response.getStatus().getMessage()));
                } else if (put(response.getPayload())) {
                    inbox.end(null);
                }
            } catch (InvalidProtocolBufferException e) {
                inbox.end(e);
            }
        }

        private boolean put(ByteString message) {
            boolean taken = inbox.put(message);
            if (!taken) {
                inbox.abort(new StatusException(
                        Code.RESOURCE_EXHAUSTED, "messages of " + method + " were not received for a second"));
            }
            return taken;
        }

        @Override
        public void fail(Exception failure) {
            inbox.end(failure);
        }
    }
}
