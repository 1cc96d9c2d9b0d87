package dev.coldstart.snapshotter.service;

import com.google.protobuf.InvalidProtocolBufferException;
import dev.coldstart.proto.cri.PullImageRequest;
import dev.coldstart.snapshotter.registry.CriKeychain;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.HandlerRegistry;
import io.grpc.KnownLength;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerMethodDefinition;
import io.grpc.Status;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.UnixDomainSocketAddress;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The kubelet's image service (CRI), passed on to containerd byte for byte, whatever the method. What comes by here is the
 * only place where the kubelet's credentials can be seen: those of a pull are remembered before the pull begins.
 */
public final class ImageServiceProxy implements AutoCloseable {
    private static final String PULL = "runtime.v1.ImageService/PullImage";
    /** As containerd and the kubelet have it for the CRI. */
    private static final int MAX_MESSAGE = 16 << 20;

    private static final MethodDescriptor.Marshaller<byte[]> BYTES = new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] value) {
            return new KnownBytes(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
            try {
                return stream.readAllBytes();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    };

    private final EventLoopGroup loop = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
    private final ManagedChannel containerd;
    private final CriKeychain keychain;
    private @Nullable UnixServer server;

    private ImageServiceProxy(Path containerd, CriKeychain keychain) {
        this.keychain = keychain;
        this.containerd = NettyChannelBuilder.forAddress(UnixDomainSocketAddress.of(containerd))
                .channelType(NioDomainSocketChannel.class)
                .eventLoopGroup(loop)
                .executor(Executors.newVirtualThreadPerTaskExecutor())
                .overrideAuthority("localhost")
                .usePlaintext()
                .maxInboundMessageSize(MAX_MESSAGE)
                .build();
    }

    /** Serves on a socket, which the kubelet is told as {@code --image-service-endpoint}. */
    public static ImageServiceProxy start(Path socket, Path containerd, CriKeychain keychain) throws IOException {
        ImageServiceProxy proxy = new ImageServiceProxy(containerd, keychain);
        try {
            proxy.server = UnixServer.start(socket, List.of(), new HandlerRegistry() {
                @Override
                public ServerMethodDefinition<?, ?> lookupMethod(String method, @Nullable String authority) {
                    return proxy.passing(method);
                }
            });
            return proxy;
        } catch (IOException e) {
            proxy.close();
            throw e;
        }
    }

    private ServerMethodDefinition<byte[], byte[]> passing(String method) {
        MethodDescriptor<byte[], byte[]> descriptor = MethodDescriptor.<byte[], byte[]>newBuilder()
                .setType(MethodDescriptor.MethodType.UNKNOWN)
                .setFullMethodName(method)
                .setRequestMarshaller(BYTES)
                .setResponseMarshaller(BYTES)
                .build();
        return ServerMethodDefinition.create(descriptor, (call, headers) -> {
            ClientCall<byte[], byte[]> onward = containerd.newCall(descriptor, CallOptions.DEFAULT);
            Passage passage = new Passage(call, onward, method.equals(PULL) ? keychain : null);
            onward.start(passage.answers, headers);
            onward.request(1);
            call.request(1);
            return passage;
        });
    }

    /** One call: its messages in both directions, each side as fast as the other takes them. */
    private static final class Passage extends ServerCall.Listener<byte[]> {
        private final ServerCall<byte[], byte[]> call;
        private final ClientCall<byte[], byte[]> onward;
        private final @Nullable CriKeychain keychain;
        final Answers answers = new Answers();

        Passage(ServerCall<byte[], byte[]> call, ClientCall<byte[], byte[]> onward, @Nullable CriKeychain keychain) {
            this.call = call;
            this.onward = onward;
            this.keychain = keychain;
        }

        @Override
        public void onMessage(byte[] message) {
            if (keychain != null) {
                try {
                    PullImageRequest pull = PullImageRequest.parseFrom(message);
                    keychain.remember(pull.getImage().getImage(), pull.getAuth());
                } catch (InvalidProtocolBufferException e) {
                    // containerd will say so.
                    System.getLogger(ImageServiceProxy.class.getName())
                            .log(System.Logger.Level.DEBUG, "a pull request cannot be read");
                }
            }
            onward.sendMessage(message);
            synchronized (this) {
                if (onward.isReady()) {
                    call.request(1);
                } else {
                    answers.wanting = true;
                }
            }
        }

        @Override
        public void onHalfClose() {
            onward.halfClose();
        }

        @Override
        public void onCancel() {
            onward.cancel("the caller has gone", null);
        }

        @Override
        public void onReady() {
            answers.resume();
        }

        private final class Answers extends ClientCall.Listener<byte[]> {
            /** Whether the next request waits until containerd takes it; guarded by the passage. */
            boolean wanting;
            /** Whether the next answer waits until the caller takes it. */
            private boolean held;

            @Override
            public void onHeaders(Metadata headers) {
                call.sendHeaders(headers);
            }

            @Override
            public void onMessage(byte[] message) {
                call.sendMessage(message);
                synchronized (this) {
                    if (call.isReady()) {
                        onward.request(1);
                    } else {
                        held = true;
                    }
                }
            }

            void resume() {
                synchronized (this) {
                    if (held) {
                        held = false;
                        onward.request(1);
                    }
                }
            }

            @Override
            public void onReady() {
                synchronized (Passage.this) {
                    if (wanting) {
                        wanting = false;
                        call.request(1);
                    }
                }
            }

            @Override
            public void onClose(Status status, Metadata trailers) {
                call.close(status, trailers);
            }
        }
    }

    /** A message whose length gRPC need not find out. */
    private static final class KnownBytes extends ByteArrayInputStream implements KnownLength {
        KnownBytes(byte[] bytes) {
            super(bytes);
        }
    }

    @Override
    public void close() {
        UnixServer serving = server;
        if (serving != null) {
            serving.close();
        }
        containerd.shutdownNow();
        var _ = loop.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    }
}
