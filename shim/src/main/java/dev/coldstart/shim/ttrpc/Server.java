package dev.coldstart.shim.ttrpc;

import static java.lang.System.Logger.Level.WARNING;

import dev.coldstart.shim.log.LateLogger;
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
import java.util.concurrent.locks.LockSupport;
import jdk.net.ExtendedSocketOptions;
import jdk.net.UnixDomainPrincipal;

/**
 * A ttrpc server on a unix socket, for peers of its own user and group. A virtual thread reads each connection and one
 * runs each request, so a connection can hold any number of calls that wait; 16 MiB of unanswered requests, each counted
 * with 1 KiB more, is what it can hold at most, and refuses the next with RESOURCE_EXHAUSTED.
 */
public final class Server implements AutoCloseable {
    private static final System.Logger LOG = new LateLogger(Server.class);

    private static final Duration AFTER_FAILED_ACCEPT = Duration.ofMillis(100);

    private final Path path;
    private final ServerSocketChannel listener;
    private final UnixDomainPrincipal self;
    private final Methods methods;
    private final Set<ServerConnection> connections = ConcurrentHashMap.newKeySet();
    private final Set<UnaryCall> working = ConcurrentHashMap.newKeySet();

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

    /** Waits until what is being done is answered, calls that only wait or stream left out; at most {@code limit}. */
    public void drain(Duration limit) throws InterruptedException {
        long deadline = System.nanoTime() + limit.toNanos();
        for (UnaryCall call : Set.copyOf(working)) {
            var _ = call.thread.join(Duration.ofNanos(Math.max(1, deadline - System.nanoTime())));
        }
    }

    /** Stops listening, removes the socket and drops all connections. */
    @Override
    public void close() throws IOException {
        listener.close();
        Files.deleteIfExists(path);
        for (ServerConnection connection : connections) {
            connection.close();
        }
    }

    private void accept() {
        while (listener.isOpen()) {
            try {
                admit(listener.accept());
            } catch (IOException e) {
                if (listener.isOpen()) {
                    LOG.log(WARNING, "Could not accept a connection: {0}", e.getMessage());
                    // As a rule descriptors are short: the client waits, and asking again at once would find the same.
                    LockSupport.parkNanos(AFTER_FAILED_ACCEPT.toNanos());
                }
            }
        }
    }

    private void admit(SocketChannel channel) throws IOException {
        UnixDomainPrincipal peer;
        try {
            peer = channel.getOption(ExtendedSocketOptions.SO_PEERCRED);
        } catch (IOException e) {
            channel.close();
            throw e;
        }
        // A record's own comparison is made at run time, which takes milliseconds.
        if (!peer.user().equals(self.user()) || !peer.group().equals(self.group())) {
            LOG.log(WARNING, "Refused a connection from user {0}: only {1} may connect.", peer.user(), self.user());
            channel.close();
            return;
        }
        ServerConnection connection = new ServerConnection(new Connection(channel), peer, methods, working);
        connections.add(connection);
        Thread.ofVirtual().name("connection").start(() -> {
            try {
                connection.serve();
            } finally {
                connections.remove(connection);
            }
        });
        if (!listener.isOpen()) {
            // Closed meanwhile, perhaps before this connection was one of those to be dropped.
            connection.close();
        }
    }
}
