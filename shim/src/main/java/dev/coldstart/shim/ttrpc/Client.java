package dev.coldstart.shim.ttrpc;

import com.google.protobuf.ByteString;
import com.google.protobuf.Empty;
import com.google.protobuf.MessageLite;
import dev.coldstart.proto.ttrpc.KeyValue;
import dev.coldstart.proto.ttrpc.Request;
import dev.coldstart.proto.ttrpc.Response;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * One connection to a ttrpc server; any number of calls and streams at once. When it breaks, all of them fail at once:
 * open another. A caller that is interrupted or whose time is over gives up its own call only.
 */
public final class Client implements AutoCloseable {
    /** Who waits for the frames of a stream; called by the thread that reads. */
    interface Receiver {
        /** Takes a frame; returns whether nothing more is awaited. */
        boolean frame(Frame frame, byte[] data);

        void fail(Exception failure);
    }

    private final Connection connection;
    private final Outbox outbox;
    private final Map<Integer, Receiver> pending = new ConcurrentHashMap<>();
    private final ReentrantLock opening = new ReentrantLock();
    /** Guarded by opening. */
    private int nextStream = 1;

    private Client(Connection connection) {
        this.connection = connection;
        this.outbox = new Outbox(connection);
    }

    /** Connects to a server's socket. */
    public static Client connect(Path path) throws IOException {
        Client client = new Client(new Connection(SocketChannel.open(UnixDomainSocketAddress.of(path))));
        Thread.ofVirtual().name("ttrpc client").start(client::read);
        return client;
    }

    /**
     * Calls a method and waits for its answer.
     *
     * @param limit sent as the deadline, and waited for here; zero for none
     * @return the answer's payload
     * @throws StatusException if the server answers a status other than success, or nothing in time; RESOURCE_EXHAUSTED
     *     also if request or answer exceed 4 MiB
     * @throws IOException if the connection breaks; the call may or may not have happened
     */
    public ByteString call(
            String service, String method, MessageLite payload, Map<String, String> metadata, Duration limit)
            throws StatusException, IOException, InterruptedException {
        ByteBuffer frame = request((byte) 0, service, method, payload, metadata, limit);
        @Nullable Long deadline = deadline(limit);
        UnaryReply reply = new UnaryReply();
        int stream = open(frame, method, deadline, reply);
        try {
            Response response =
                    deadline == null ? reply.get() : reply.get(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
            if (response.getStatus().getCode() != 0) {
                throw new StatusException(
                        response.getStatus().getCode(), response.getStatus().getMessage());
            }
            return response.getPayload();
        } catch (TimeoutException e) {
            throw new StatusException(Code.DEADLINE_EXCEEDED, method + " was not answered within " + limit, e);
        } catch (ExecutionException e) {
            @Nullable Throwable cause = e.getCause();
            if (cause instanceof StatusException status) {
                throw new StatusException(status.code(), method + ": " + status.getMessage(), status);
            }
            throw new IOException(method + " was not answered: " + (cause == null ? e : cause.getMessage()), cause);
        } finally {
            pending.remove(stream);
        }
    }

    /**
     * Opens a stream on which this client sends messages; the server answers with one or with a stream.
     *
     * @param limit of the stream's whole life: sent as the deadline, and kept here; zero for none
     * @throws IOException if the connection has ended
     */
    public ClientStream stream(String service, String method, Map<String, String> metadata, Duration limit)
            throws StatusException, IOException, InterruptedException {
        return open(Frame.REMOTE_OPEN, service, method, Empty.getDefaultInstance(), metadata, limit);
    }

    /**
     * Sends one message, which the server answers with a stream.
     *
     * @param limit of the stream's whole life: sent as the deadline, and kept here; zero for none
     * @throws StatusException if the request exceeds 4 MiB (RESOURCE_EXHAUSTED)
     * @throws IOException if the connection has ended
     */
    public ClientStream serverStream(
            String service, String method, MessageLite payload, Map<String, String> metadata, Duration limit)
            throws StatusException, IOException, InterruptedException {
        return open(Frame.REMOTE_CLOSED, service, method, payload, metadata, limit);
    }

    private ClientStream open(
            byte flags,
            String service,
            String method,
            MessageLite payload,
            Map<String, String> metadata,
            Duration limit)
            throws StatusException, IOException, InterruptedException {
        ByteBuffer frame = request(flags, service, method, payload, metadata, limit);
        @Nullable Long deadline = deadline(limit);
        Inbox inbox = new Inbox(new AtomicLong());
        int stream = open(frame, method, deadline, new ClientStream.Reply(method, inbox));
        return new ClientStream(this, stream, method, deadline, inbox, flags == Frame.REMOTE_OPEN);
    }

    private static @Nullable Long deadline(Duration limit) {
        return limit.isZero() ? null : System.nanoTime() + limit.toNanos();
    }

    private static ByteBuffer request(
            byte flags,
            String service,
            String method,
            MessageLite payload,
            Map<String, String> metadata,
            Duration limit)
            throws StatusException {
        Request.Builder request =
                Request.newBuilder().setService(service).setMethod(method).setTimeoutNano(limit.toNanos());
        metadata.forEach((key, value) -> request.addMetadata(
                KeyValue.newBuilder().setKey(key.toLowerCase(Locale.ROOT)).setValue(value)));
        return Frame.request(flags, request.build(), payload);
    }

    private int open(ByteBuffer frame, String method, @Nullable Long deadline, Receiver receiver)
            throws StatusException, IOException, InterruptedException {
        reserve(frame, method, deadline);
        // Stream ids must reach the server in order.
        opening.lock();
        try {
            int stream = nextStream;
            nextStream += 2;
            Frame.number(frame, stream);
            pending.put(stream, receiver);
            try {
                outbox.add(frame);
            } catch (IOException e) {
                pending.remove(stream);
                throw e;
            }
            return stream;
        } finally {
            opening.unlock();
        }
    }

    /** Waits for room to send a frame of a stream. */
    void reserve(ByteBuffer frame, String method, @Nullable Long deadline)
            throws StatusException, InterruptedException {
        if (deadline == null) {
            outbox.reserve(frame);
        } else if (!outbox.reserve(frame, deadline)) {
            throw new StatusException(Code.DEADLINE_EXCEEDED, method + " could not be sent in time");
        }
    }

    Outbox outbox() {
        return outbox;
    }

    void forget(int stream) {
        pending.remove(stream);
    }

    private void read() {
        try {
            while (true) {
                take(connection.readFrame());
            }
        } catch (ClosedChannelException e) {
            fail(new IOException("this client was closed", e));
        } catch (IOException e) {
            fail(e);
        } catch (RuntimeException | Error e) {
            fail(new IOException("cannot receive: " + e, e));
            throw e;
        }
    }

    private void take(Frame frame) throws IOException {
        @Nullable
        Receiver receiver =
                frame.type() == Frame.RESPONSE || frame.type() == Frame.DATA ? pending.get(frame.stream()) : null;
        if (receiver == null) {
            // Of a call that was given up, or of a type to come.
            connection.discardData(frame);
        } else if (frame.oversized()) {
            connection.discardData(frame);
            pending.remove(frame.stream());
            receiver.fail(new StatusException(Code.RESOURCE_EXHAUSTED, "the server sent more than 4 MiB at once"));
        } else if (receiver.frame(frame, connection.readData(frame))) {
            pending.remove(frame.stream());
        }
    }

    private void fail(IOException reason) {
        IOException first = outbox.fail(reason);
        try {
            connection.close();
        } catch (IOException e) {
            first.addSuppressed(e);
        }
        pending.values().forEach(receiver -> receiver.fail(first));
        pending.clear();
    }

    /** Ends all calls and streams; what was not sent yet is not sent. */
    @Override
    public void close() throws IOException {
        connection.close();
    }

    /** The only answer of a unary call. */
    static final class UnaryReply extends CompletableFuture<Response> implements Receiver {
        @Override
        public boolean frame(Frame frame, byte[] data) {
            if (frame.type() != Frame.RESPONSE) {
                fail(new StatusException(Code.INTERNAL, "the server answers with a stream"));
                return true;
            }
            try {
                complete(Response.parseFrom(data));
            } catch (IOException e) {
                fail(e);
            }
            return true;
        }

        @Override
        public void fail(Exception failure) {
            completeExceptionally(failure);
        }
    }
}
