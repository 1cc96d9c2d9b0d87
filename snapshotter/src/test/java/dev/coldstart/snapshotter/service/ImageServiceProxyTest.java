package dev.coldstart.snapshotter.service;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.proto.cri.AuthConfig;
import dev.coldstart.proto.cri.ImageSpec;
import dev.coldstart.proto.cri.PullImageRequest;
import dev.coldstart.snapshotter.registry.CapturedLog;
import dev.coldstart.snapshotter.registry.CriKeychain;
import io.grpc.CallOptions;
import io.grpc.HandlerRegistry;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerMethodDefinition;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCalls;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.UnixDomainSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The kubelet's view of the image service through us: the same, byte for byte. */
class ImageServiceProxyTest {
    private static final Metadata.Key<String> NOTE = Metadata.Key.of("note", Metadata.ASCII_STRING_MARSHALLER);
    private static final MethodDescriptor.Marshaller<byte[]> BYTES = new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] value) {
            return new ByteArrayInputStream(value);
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

    @TempDir
    Path directory;

    private final Deque<AutoCloseable> parts = new ArrayDeque<>();
    private final EventLoopGroup loop = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
    private final CriKeychain keychain = new CriKeychain();
    private ManagedChannel kubelet;

    @BeforeEach
    void start() throws IOException {
        Path containerd = directory.resolve("containerd.sock");
        parts.push(UnixServer.start(containerd, List.of(), new HandlerRegistry() {
            @Override
            public ServerMethodDefinition<?, ?> lookupMethod(String method, @Nullable String authority) {
                return ServerMethodDefinition.create(method(method), ImageServiceProxyTest::containerd);
            }
        }));
        Path socket = directory.resolve("image.sock");
        parts.push(ImageServiceProxy.start(socket, containerd, keychain));
        kubelet = NettyChannelBuilder.forAddress(UnixDomainSocketAddress.of(socket))
                .channelType(NioDomainSocketChannel.class)
                .eventLoopGroup(loop)
                .overrideAuthority("localhost")
                .usePlaintext()
                .maxInboundMessageSize(16 << 20)
                .build();
    }

    @AfterEach
    void stop() throws Exception {
        kubelet.shutdownNow();
        while (!parts.isEmpty()) {
            parts.pop().close();
        }
        var _ = loop.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    }

    private static MethodDescriptor<byte[], byte[]> method(String name) {
        return MethodDescriptor.<byte[], byte[]>newBuilder()
                .setType(MethodDescriptor.MethodType.UNKNOWN)
                .setFullMethodName(name)
                .setRequestMarshaller(BYTES)
                .setResponseMarshaller(BYTES)
                .build();
    }

    /** Answers with what it got, three times for streams, or with an error. */
    private static ServerCall.Listener<byte[]> containerd(ServerCall<byte[], byte[]> call, Metadata headers) {
        call.request(2);
        return new ServerCall.Listener<>() {
            @Override
            public void onMessage(byte[] message) {
                String name = call.getMethodDescriptor().getFullMethodName();
                if (name.endsWith("Fail")) {
                    Metadata trailers = new Metadata();
                    trailers.put(NOTE, "trailer");
                    call.close(Status.NOT_FOUND.withDescription("no such image"), trailers);
                    return;
                }
                Metadata back = new Metadata();
                back.put(NOTE, headers.get(NOTE) == null ? "none" : headers.get(NOTE) + "!");
                call.sendHeaders(back);
                for (int i = 0; i < (name.endsWith("Stream") ? 200 : 1); i++) {
                    call.sendMessage(message);
                }
                call.close(Status.OK, new Metadata());
            }
        };
    }

    private byte[] call(String name, byte[] request) {
        return ClientCalls.blockingUnaryCall(
                kubelet,
                method(name).toBuilder()
                        .setType(MethodDescriptor.MethodType.UNARY)
                        .build(),
                CallOptions.DEFAULT.withDeadlineAfter(60, TimeUnit.SECONDS),
                request);
    }

    @Test
    void everyMethodIsPassedOnAsItIs() {
        byte[] large = new byte[9 << 20];
        new Random(1).nextBytes(large);
        assertThat(call("runtime.v1.ImageService/ListImages", large)).isEqualTo(large);
        assertThat(call("runtime.v9.NotYet/Invented", new byte[0])).isEmpty();
        assertThatThrownBy(() -> call("runtime.v1.ImageService/Fail", new byte[] {1}))
                .isInstanceOfSatisfying(StatusRuntimeException.class, e -> {
                    assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.NOT_FOUND);
                    assertThat(e.getStatus().getDescription()).isEqualTo("no such image");
                    Metadata trailers = e.getTrailers();
                    assertThat(trailers == null ? null : trailers.get(NOTE)).isEqualTo("trailer");
                });
    }

    @Test
    void streamsArriveWholeAndInOrder() {
        byte[] message = new byte[100_000];
        new Random(2).nextBytes(message);
        Iterator<byte[]> answers = ClientCalls.blockingServerStreamingCall(
                kubelet,
                method("runtime.v1.ImageService/Stream").toBuilder()
                        .setType(MethodDescriptor.MethodType.SERVER_STREAMING)
                        .build(),
                CallOptions.DEFAULT.withDeadlineAfter(120, TimeUnit.SECONDS),
                message);
        List<byte[]> all = new ArrayList<>();
        answers.forEachRemaining(all::add);
        assertThat(all).hasSize(200).allSatisfy(one -> assertThat(one).isEqualTo(message));
    }

    @Test
    void thePasswordOfAPullIsPassedOnAndRememberedAndNowhereToBeSeen() {
        byte[] pull = PullImageRequest.newBuilder()
                .setImage(ImageSpec.newBuilder().setImage("r.example:5000/team/model:1"))
                .setAuth(AuthConfig.newBuilder().setUsername("anna").setPassword("hunter2-s3cret"))
                .build()
                .toByteArray();
        try (CapturedLog log = new CapturedLog()) {
            assertThat(call("runtime.v1.ImageService/PullImage", pull)).isEqualTo(pull);
            assertThat(call("runtime.v1.ImageService/PullImage", "\377s3cret".getBytes(StandardCharsets.ISO_8859_1)))
                    .hasSize(7);
            assertThat(keychain.find("r.example:5000", "team/model").isEmpty()).isFalse();
            assertThat(keychain.find("r.example:5000", "team/other").isEmpty()).isTrue();
            assertThat(log.text()).doesNotContain("s3cret");
        }
    }
}
