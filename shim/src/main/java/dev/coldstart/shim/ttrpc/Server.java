package dev.coldstart.shim.ttrpc;

import static java.lang.System.Logger.Level.DEBUG;
import static java.lang.System.Logger.Level.WARNING;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import dev.coldstart.proto.ttrpc.Request;
import dev.coldstart.proto.ttrpc.Response;
import dev.coldstart.proto.ttrpc.Status;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import jdk.net.ExtendedSocketOptions;
import jdk.net.UnixDomainPrincipal;

/**
 * A ttrpc server on a unix socket, for peers of its own user and group. A virtual thread reads each connection and one
 * runs each request, so a connection can hold any number of calls that wait.
 */
public final class Server implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(Server.class.getName());

    private final Path path;
    private final ServerSocketChannel listener;
    private final UnixDomainPrincipal self;
    private final Methods methods;
    private final Set<Connection> connections = ConcurrentHashMap.newKeySet();
    private final Set<Call> working = ConcurrentHashMap.newKeySet();

    private Server(Path path, ServerSocketChannel listener, UnixDomainPrincipal self, Methods methods) {
        this.path = path;
        this.listener = listener;
        this.self = self;
        this.methods = methods;
    }

    /**
     * Binds the socket (mode 0600) and answers from then on, on threads of its own.
     *
     * @throws IOException when the path cannot be bound
     */
    public static Server start(Path path, Methods methods) throws IOException {
        ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            listener.bind(UnixDomainSocketAddress.of(path), 128);
            Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rw-------"));
            // The socket file was made by this process, so its owner is this process's effective user and group.
            PosixFileAttributes owner = Files.readAttributes(path, PosixFileAttributes.class);
            Server server = new Server(path, listener, new UnixDomainPrincipal(owner.owner(), owner.group()), methods);
            Thread.ofVirtual().name("accept").start(server::accept);
            return server;
        } catch (IOException e) {
            listener.close();
            throw e;
        }
    }

    /** Waits until what is being done is answered, calls that only wait left out; at most {@code limit}. */
    public void drain(Duration limit) throws InterruptedException {
        long deadline = System.nanoTime() + limit.toNanos();
        for (Call call : Set.copyOf(working)) {
            var _ = call.thread.join(Duration.ofNanos(Math.max(1, deadline - System.nanoTime())));
        }
    }

    /** Stops listening, removes the socket and drops all connections. */
    @Override
    public void close() throws IOException {
        listener.close();
        Files.deleteIfExists(path);
        for (Connection connection : connections) {
            connection.close();
        }
    }

    private void accept() {
        while (listener.isOpen()) {
            try {
                SocketChannel channel = listener.accept();
                UnixDomainPrincipal peer = channel.getOption(ExtendedSocketOptions.SO_PEERCRED);
                if (!peer.equals(self)) {
                    LOG.log(
                            WARNING,
                            "Refused a connection from user {0}: only {1} may connect.",
                            peer.user(),
                            self.user());
                    channel.close();
                    continue;
                }
                Thread.ofVirtual().name("connection").start(() -> serve(new Connection(channel)));
            } catch (IOException e) {
                if (listener.isOpen()) {
                    LOG.log(WARNING, "Could not accept a connection: {0}", e.getMessage());
                }
            }
        }
    }

    private void serve(Connection connection) {
        connections.add(connection);
        Set<Call> waiting = ConcurrentHashMap.newKeySet();
        try (connection) {
            int last = 0;
            while (true) {
                Frame frame = connection.readFrame();
                if (frame.oversized()) {
                    connection.discardData(frame);
                    if (frame.type() == Frame.REQUEST) {
                        refuse(connection, frame.stream(), Code.RESOURCE_EXHAUSTED, "the request exceeds 4 MiB");
                    }
                    continue;
                }
                byte[] data = connection.readData(frame);
                if (frame.type() != Frame.REQUEST) {
                    continue;
                }
                if ((frame.stream() & 1) == 0 || Integer.compareUnsigned(frame.stream(), last) <= 0) {
                    refuse(connection, frame.stream(), Code.INVALID_ARGUMENT, "the stream id must be odd and increase");
                    continue;
                }
                last = frame.stream();
                if (frame.flags() != 0) {
                    refuse(connection, frame.stream(), Code.UNIMPLEMENTED, "streams are not supported");
                    continue;
                }
                dispatch(connection, frame.stream(), data, waiting);
            }
        } catch (IOException e) {
            // EOF or a reset: the peer is gone, and only its connection with it.
            LOG.log(DEBUG, "A connection ended: {0}", e.getMessage());
        } finally {
            connections.remove(connection);
            waiting.forEach(Call::interrupt);
        }
    }

    private void dispatch(Connection connection, int stream, byte[] data, Set<Call> waiting) throws IOException {
        Request request;
        Methods.Method method;
        try {
            request = Request.parseFrom(data);
            method = methods.find(request.getService(), request.getMethod());
        } catch (InvalidProtocolBufferException e) {
            refuse(connection, stream, Code.INVALID_ARGUMENT, "the request cannot be parsed: " + e.getMessage());
            return;
        } catch (StatusException e) {
            refuse(connection, stream, e.code(), String.valueOf(e.getMessage()));
            return;
        }
        new Call(connection, stream, request, method, method.waits() ? waiting : working).start();
    }

    private static void refuse(Connection connection, int stream, int code, String message) throws IOException {
        connection.write(stream, Frame.RESPONSE, failure(code, message));
    }

    private static Response failure(int code, String message) {
        return Response.newBuilder()
                .setStatus(Status.newBuilder().setCode(code).setMessage(message))
                .build();
    }

    /** One request, answered once: by its handler or by its deadline. */
    private static final class Call implements Runnable {
        private final Connection connection;
        private final int stream;
        private final Request request;
        private final Methods.Method method;
        private final Set<Call> unanswered;
        private final AtomicBoolean answered = new AtomicBoolean();
        private final Thread thread = Thread.ofVirtual().name("request").unstarted(this);

        Call(Connection connection, int stream, Request request, Methods.Method method, Set<Call> unanswered) {
            this.connection = connection;
            this.stream = stream;
            this.request = request;
            this.method = method;
            this.unanswered = unanswered;
        }

        void start() {
            unanswered.add(this);
            thread.start();
            long nanos = request.getTimeoutNano();
            if (nanos > 0) {
                var _ = ForkJoinPool.commonPool().schedule(this::expire, nanos, TimeUnit.NANOSECONDS);
            }
        }

        private void expire() {
            if (!answered.get()) {
                // The answer is a blocking write, which must not hold up the pool's timer.
                Thread.ofVirtual().start(() -> {
                    // Interrupting a thread that is writing its own answer would close the connection.
                    if (answer(failure(Code.DEADLINE_EXCEEDED, "the deadline of " + request.getMethod() + " passed"))
                            && method.waits()) {
                        interrupt();
                    }
                });
            }
        }

        void interrupt() {
            thread.interrupt();
        }

        @Override
        public void run() {
            try {
                answer(respond());
            } finally {
                unanswered.remove(this);
            }
        }

        private Response respond() {
            try {
                MessageLite message = method.handler().handle(request.getPayload());
                Response response =
                        Response.newBuilder().setPayload(message.toByteString()).build();
                return response.getSerializedSize() > Frame.MAX_DATA_BYTES
                        ? failure(Code.RESOURCE_EXHAUSTED, "the answer to " + request.getMethod() + " exceeds 4 MiB")
                        : response;
            } catch (StatusException e) {
                return failure(e.code(), String.valueOf(e.getMessage()));
            } catch (InvalidProtocolBufferException e) {
                return failure(
                        Code.INVALID_ARGUMENT,
                        "the payload of " + request.getMethod() + " cannot be parsed: " + e.getMessage());
            } catch (InterruptedException e) {
                return failure(Code.DEADLINE_EXCEEDED, request.getMethod() + " was given up");
            } catch (RuntimeException | Error e) {
                LOG.log(WARNING, "A bug in " + request.getMethod() + ":", e);
                return failure(Code.INTERNAL, request.getMethod() + " failed: " + e);
            }
        }

        private boolean answer(Response response) {
            if (!answered.compareAndSet(false, true)) {
                return false;
            }
            try {
                connection.write(stream, Frame.RESPONSE, response);
            } catch (IOException e) {
                LOG.log(DEBUG, "Nobody reads the answer to {0}: {1}", request.getMethod(), e.getMessage());
            }
            return true;
        }
    }
}
