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
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** A gRPC server on a unix socket that only root may use. */
public final class UnixServer implements AutoCloseable {
    /** The namespace that containerd named for a call; {@code default} where it named none. */
    public static final Context.Key<String> NAMESPACE = Context.keyWithDefault("namespace", "default");

    private static final int MAX_MESSAGE = 16 << 20;

    private final Server server;
    private final EventLoopGroup loop;
    private final Path socket;

    private UnixServer(Server server, EventLoopGroup loop, Path socket) {
        this.server = server;
        this.loop = loop;
        this.socket = socket;
    }

    /** Starts to serve; a socket that a dead predecessor left is replaced, one that answers is an error. */
    public static UnixServer start(Path socket, List<BindableService> services) throws IOException {
        return start(socket, services, null);
    }

    /** As above, with methods that are known only when they are called. */
    static UnixServer start(Path socket, List<BindableService> services, @Nullable HandlerRegistry others)
            throws IOException {
        if (answers(socket)) {
            throw new IOException("another process serves " + socket + "; stop it first");
        }
        Files.deleteIfExists(socket);
        EventLoopGroup loop = new MultiThreadIoEventLoopGroup(2, NioIoHandler.newFactory());
        NettyServerBuilder builder = NettyServerBuilder.forAddress(UnixDomainSocketAddress.of(socket))
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
        try {
            Server server = builder.build().start();
            Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rw-------"));
            return new UnixServer(server, loop, socket);
        } catch (IOException e) {
            var _ = loop.shutdownGracefully(0, 1, TimeUnit.SECONDS);
            throw new IOException("cannot serve " + socket + ": " + e.getMessage(), e);
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
