package dev.coldstart.shim.ttrpc;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import dev.coldstart.proto.ttrpc.KeyValue;
import dev.coldstart.proto.ttrpc.Request;
import dev.coldstart.proto.ttrpc.Response;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** One connection to a ttrpc server; any number of calls at once. Dead after the first broken frame: open another. */
public final class Client implements AutoCloseable {
    private final Connection connection;
    private final Map<Integer, CompletableFuture<Response>> pending = new ConcurrentHashMap<>();
    private final ReentrantLock sending = new ReentrantLock();
    // Both guarded by sending.
    private int nextStream = 1;
    private @Nullable IOException broken;

    private Client(Connection connection) {
        this.connection = connection;
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
     * @throws StatusException if the server answers a status other than success, or nothing in time
     * @throws IOException if the connection breaks; the call may or may not have happened
     */
    public ByteString call(
            String service, String method, MessageLite payload, Map<String, String> metadata, Duration limit)
            throws StatusException, IOException, InterruptedException {
        Request.Builder request = Request.newBuilder()
                .setService(service)
                .setMethod(method)
                .setPayload(payload.toByteString())
                .setTimeoutNano(limit.toNanos());
        metadata.forEach((key, value) ->
                request.addMetadata(KeyValue.newBuilder().setKey(key).setValue(value)));
        CompletableFuture<Response> answer = new CompletableFuture<>();
        int stream = send(request.build(), answer);
        try {
            Response response = limit.isZero() ? answer.get() : answer.get(limit.toNanos(), TimeUnit.NANOSECONDS);
            if (response.getStatus().getCode() != 0) {
                throw new StatusException(
                        response.getStatus().getCode(), response.getStatus().getMessage());
            }
            return response.getPayload();
        } catch (TimeoutException e) {
            throw new StatusException(Code.DEADLINE_EXCEEDED, method + " was not answered within " + limit, e);
        } catch (ExecutionException e) {
            throw new IOException(method + " was not answered: " + e.getCause(), e.getCause());
        } finally {
            pending.remove(stream);
        }
    }

    private int send(Request request, CompletableFuture<Response> answer) throws IOException {
        if (request.getSerializedSize() > Frame.MAX_DATA_BYTES) {
            throw new IOException(request.getMethod() + " exceeds 4 MiB");
        }
        // Stream ids must reach the server in order.
        sending.lock();
        try {
            if (broken != null) {
                throw new IOException("the connection is closed: " + broken.getMessage(), broken);
            }
            int stream = nextStream;
            nextStream += 2;
            pending.put(stream, answer);
            connection.write(stream, Frame.REQUEST, request);
            return stream;
        } finally {
            sending.unlock();
        }
    }

    private void read() {
        try {
            while (true) {
                Frame frame = connection.readFrame();
                if (frame.oversized()) {
                    throw new IOException("the server sent a frame of " + frame.length() + " bytes");
                }
                byte[] data = connection.readData(frame);
                @Nullable
                CompletableFuture<Response> answer =
                        frame.type() == Frame.RESPONSE ? pending.remove(frame.stream()) : null;
                if (answer != null) {
                    complete(answer, data);
                }
            }
        } catch (IOException e) {
            sending.lock();
            try {
                broken = e;
            } finally {
                sending.unlock();
            }
            pending.values().forEach(answer -> answer.completeExceptionally(e));
        }
    }

    private static void complete(CompletableFuture<Response> answer, byte[] data) {
        try {
            answer.complete(Response.parseFrom(data));
        } catch (InvalidProtocolBufferException e) {
            answer.completeExceptionally(e);
        }
    }

    @Override
    public void close() throws IOException {
        connection.close();
    }
}
