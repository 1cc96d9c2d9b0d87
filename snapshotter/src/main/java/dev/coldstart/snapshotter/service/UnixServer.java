package dev.coldstart.snapshotter.service;

import dev.coldstart.snapshotter.content.Containerd;
import io.grpc.BindableService;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.HandlerRegistry;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.netty.NettyServerBuilder;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioServerDomainSocketChannel;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** A gRPC server on a unix socket that only root may use. */
public final class UnixServer implements AutoCloseable {
    /** The namespace that containerd named for a call; {@code default} where it named none. */
    public static final Context.Key<String> NAMESPACE = Context.keyWithDefault("namespace", "default");

    private static final int MAX_MESSAGE = 16 << 20;

    /** What an HTTP/2 client says first: the preface and settings that change nothing (RFC 9113, 3.4 and 6.5). */
    private static final byte[] GREETING =
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0".getBytes(StandardCharsets.ISO_8859_1);

    private static final Duration GREETED = Duration.ofSeconds(30);

    private final Server server;
    private final EventLoopGroup loop;
    private final Path socket;

    private UnixServer(Server server, EventLoopGroup loop, Path socket) {
        this.server = server;
        this.loop = loop;
        this.socket = socket;
    }

    /**
     * Starts to serve; a socket that a dead predecessor left is replaced, one that answers is an error. The socket gets
     * its name when the server has answered on it: containerd gives a new connection one second for that and fails the
     * call that waits, and a JVM that has just started can take longer over its first connection.
     */
    public static UnixServer start(Path socket, List<BindableService> services) throws IOException {
        return start(socket, services, null);
    }

    /** As above, with methods that are known only when they are called. */
    static UnixServer start(Path socket, List<BindableService> services, @Nullable HandlerRegistry others)
            throws IOException {
        if (answers(socket)) {
            throw new IOException("another process serves " + socket + "; stop it first");
        }
        Path unnamed = socket.resolveSibling(socket.getFileName() + ".new");
        Files.deleteIfExists(unnamed);
        EventLoopGroup loop = new MultiThreadIoEventLoopGroup(2, NioIoHandler.newFactory());
        NettyServerBuilder builder = NettyServerBuilder.forAddress(UnixDomainSocketAddress.of(unnamed))
                .channelType(NioServerDomainSocketChannel.class)
                .bossEventLoopGroup(loop)
                .workerEventLoopGroup(loop)
                .executor(Executors.newVirtualThreadPerTaskExecutor())
                .maxInboundMessageSize(MAX_MESSAGE)
                .permitKeepAliveTime(1, TimeUnit.SECONDS)
                .permitKeepAliveWithoutCalls(true)
                .fallbackHandlerRegistry(others)
                .intercept(new NamespaceInterceptor());
        services.forEach(builder::addService);
        Server server = builder.build();
        try {
            server.start();
            Files.setPosixFilePermissions(unnamed, PosixFilePermissions.fromString("rw-------"));
            greet(unnamed);
            Files.move(unnamed, socket, StandardCopyOption.ATOMIC_MOVE);
            return new UnixServer(server, loop, socket);
        } catch (IOException e) {
            server.shutdownNow();
            var _ = loop.shutdownGracefully(0, 1, TimeUnit.SECONDS);
            throw new IOException("cannot serve " + socket + ": " + e.getMessage(), e);
        }
    }

    private static void greet(Path socket) throws IOException {
        try (SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(socket));
                Selector selector = Selector.open()) {
            channel.write(ByteBuffer.wrap(GREETING));
            channel.configureBlocking(false);
            channel.register(selector, SelectionKey.OP_READ);
            if (selector.select(GREETED.toMillis()) == 0) {
                throw new IOException("no answer to a connection of its own in " + GREETED.toSeconds() + " s");
            }
        }
    }

    private static boolean answers(Path socket) throws IOException {
        if (!Files.exists(socket)) {
            return false;
        }
        try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            return channel.connect(UnixDomainSocketAddress.of(socket));
        } catch (IOException e) {
            return false;
        }
    }

    /** Lets running calls finish for a moment, then ends. */
    @Override
    public void close() {
        server.shutdown();
        try {
            if (!server.awaitTermination(3, TimeUnit.SECONDS)) {
                server.shutdownNow();
            }
            Files.deleteIfExists(socket);
        } catch (InterruptedException e) {
            server.shutdownNow();
            Thread.currentThread().interrupt();
        } catch (IOException e) {
            System.getLogger(UnixServer.class.getName())
                    .log(System.Logger.Level.WARNING, "cannot remove {0}: {1}", socket, e.getMessage());
        }
        var _ = loop.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    }

    private static final class NamespaceInterceptor implements ServerInterceptor {
        @Override
        public <Q, A> ServerCall.Listener<Q> interceptCall(
                ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
            Context context = Context.current();
            Iterable<String> namespaces = headers.getAll(Containerd.NAMESPACE);
            if (namespaces != null) {
                // A client that chose another namespace than its first sends both, and containerd takes the first one
                // sent.
                context = context.withValue(NAMESPACE, namespaces.iterator().next());
            }
            return Contexts.interceptCall(context, call, headers, next);
        }
    }
}
