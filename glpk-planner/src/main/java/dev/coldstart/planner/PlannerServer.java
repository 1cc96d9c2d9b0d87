package dev.coldstart.planner;

import dev.coldstart.planner.plan.Planner;
import io.grpc.Server;
import io.grpc.netty.NettyServerBuilder;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioServerDomainSocketChannel;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;

/** The gRPC server on a unix socket that only its owner may connect to. Thread-safe. */
final class PlannerServer implements AutoCloseable {
    private static final int MAX_REQUEST_BYTES = 64 << 20;
    /** gRPC sets an option of TCP on every connection; netty warns each time that a unix socket has none. Held: weak. */
    private static final Logger NETTY = Logger.getLogger("io.netty.bootstrap");

    private final Server server;
    private final MultiThreadIoEventLoopGroup loop;
    private final ExecutorService executor;
    private final Path socket;

    private PlannerServer(Server server, MultiThreadIoEventLoopGroup loop, ExecutorService executor, Path socket) {
        this.server = server;
        this.loop = loop;
        this.executor = executor;
        this.socket = socket;
    }

    /**
     * @throws IOException when somebody listens there already, or the directory cannot be used; the message is one
     *     sentence
     */
    static PlannerServer start(Path socket, Planner planner) throws IOException {
        if (answers(socket)) {
            throw new IOException("Another program already listens on " + socket + ".");
        }
        Path directory = socket.toAbsolutePath().getParent();
        if (directory == null) {
            throw new IOException(socket + " is not a path for a socket.");
        }
        try {
            Files.createDirectories(directory);
        } catch (IOException e) {
            throw new IOException("Cannot create " + directory + ": " + e.getMessage() + " (is this root?).", e);
        }
        NETTY.setLevel(Level.SEVERE);
        // Bound under another name, so that nobody finds it before its mode is set and a stale one is replaced at once.
        Path unfinished = directory.resolve("." + socket.getFileName() + ".new");
        MultiThreadIoEventLoopGroup loop = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
        ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor();
        try {
            Files.deleteIfExists(unfinished);
            Server server = NettyServerBuilder.forAddress(UnixDomainSocketAddress.of(unfinished))
                    .channelType(NioServerDomainSocketChannel.class)
                    .bossEventLoopGroup(loop)
                    .workerEventLoopGroup(loop)
                    .executor(executor)
                    .maxInboundMessageSize(MAX_REQUEST_BYTES)
                    .addService(new PlannerService(planner))
                    .build()
                    .start();
            Files.setPosixFilePermissions(unfinished, PosixFilePermissions.fromString("rw-------"));
            Files.move(unfinished, socket, StandardCopyOption.ATOMIC_MOVE);
            return new PlannerServer(server, loop, executor, socket);
        } catch (IOException e) {
            loop.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
            executor.close();
            throw new IOException("Cannot listen on " + socket + ": " + e.getMessage() + ".", e);
        }
    }

    private static boolean answers(Path socket) {
        try (SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
            return channel.isConnected();
        } catch (IOException e) {
            // Nothing there, or what a dead process left.
            return false;
        }
    }

    void awaitTermination() throws InterruptedException {
        server.awaitTermination();
    }

    @Override
    public void close() {
        if (server.isShutdown()) {
            return;
        }
        try {
            Files.deleteIfExists(socket);
        } catch (IOException e) {
            // The next start replaces it.
        }
        server.shutdownNow();
        loop.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
        executor.shutdownNow();
    }
}
