package dev.coldstart.cli;

import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.MetadataUtils;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.logging.Level;
import java.util.logging.Logger;

/** A gRPC connection to a program on a unix socket, and what to tell the user when it fails. For one thread. */
final class Connection implements AutoCloseable {
    private static final int MAX_ANSWER_BYTES = 64 << 20;
    /** gRPC sets an option of TCP on every connection; netty warns each time that a unix socket has none. Held: weak. */
    private static final Logger NETTY = Logger.getLogger("io.netty.bootstrap");

    private final String program;
    private final Path socket;
    private final MultiThreadIoEventLoopGroup loop;
    private final ManagedChannel channel;

    private Connection(String program, Path socket, MultiThreadIoEventLoopGroup loop, ManagedChannel channel) {
        this.program = program;
        this.socket = socket;
        this.loop = loop;
        this.channel = channel;
    }

    /**
     * Connects.
     *
     * @param program name of what listens there, as its unit is called
     * @throws CliException when nobody answers there
     */
    static Connection open(String program, Path socket) {
        UnixDomainSocketAddress address;
        try {
            address = UnixDomainSocketAddress.of(socket);
            // Tried before anything of gRPC is loaded: its own error names neither the socket nor the reason.
            try (SocketChannel attempt = SocketChannel.open(address)) {
                attempt.finishConnect();
            }
        } catch (IOException | IllegalArgumentException e) {
            throw new CliException(noAnswer(program, socket, e), e);
        }
        NETTY.setLevel(Level.SEVERE);
        MultiThreadIoEventLoopGroup loop = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
        ManagedChannel channel = NettyChannelBuilder.forAddress(address)
                .channelType(NioDomainSocketChannel.class)
                .eventLoopGroup(loop)
                .directExecutor()
                .usePlaintext()
                // Else the path would be sent as the authority, which strict servers refuse.
                .overrideAuthority("localhost")
                .maxInboundMessageSize(MAX_ANSWER_BYTES)
                .build();
        return new Connection(program, socket, loop, channel);
    }

    private static String noAnswer(String program, Path socket, Exception e) {
        String cause = String.valueOf(e.getMessage());
        String what = program + " does not answer on " + socket;
        if (cause.contains("Permission denied")) {
            return what + ": permission denied; run this as root.";
        }
        if (!Files.exists(socket)) {
            return what + ": there is no such socket. Is it running? Try: systemctl status " + program;
        }
        if (cause.contains("Connection refused")) {
            return what + ": nobody listens there any more. Is it running? Try: systemctl status " + program;
        }
        return what + ": " + cause + ".";
    }

    ManagedChannel channel() {
        return channel;
    }

    /** The call, with its failure put into words. */
    <S extends AbstractStub<S>, T> T call(S stub, long seconds, Function<S, T> call) {
        try {
            return call.apply(stub.withDeadlineAfter(seconds, TimeUnit.SECONDS));
        } catch (StatusRuntimeException e) {
            throw failed(e);
        }
    }

    /** A failed call in words. */
    CliException failed(StatusRuntimeException e) {
        String description = e.getStatus().getDescription();
        String said = description == null || description.isBlank()
                ? e.getStatus().getCode().toString()
                : description;
        String sentence = switch (e.getStatus().getCode()) {
            case UNAVAILABLE -> program + " stopped answering on " + socket + ": " + said;
            case DEADLINE_EXCEEDED -> program + " did not answer on " + socket + " in time";
            case UNIMPLEMENTED ->
                program + " on " + socket + " does not know this call; is it of the same version? It said: " + said;
            case PERMISSION_DENIED, UNAUTHENTICATED -> program + " refused: " + said;
            default -> said;
        };
        return new CliException(sentence.endsWith(".") ? sentence : sentence + ".", e);
    }

    /** With the header in which containerd expects the namespace. */
    static <S extends AbstractStub<S>> S inNamespace(S stub, String namespace) {
        Metadata headers = new Metadata();
        headers.put(Metadata.Key.of("containerd-namespace", Metadata.ASCII_STRING_MARSHALLER), namespace);
        return stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
    }

    @Override
    public void close() {
        channel.shutdownNow();
        loop.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
    }
}
