package dev.coldstart.snapshotter.content;

import com.google.protobuf.Empty;
import dev.coldstart.proto.containerd.services.content.ContentGrpc;
import dev.coldstart.proto.containerd.services.content.Info;
import dev.coldstart.proto.containerd.services.content.InfoRequest;
import dev.coldstart.proto.containerd.services.content.ListContentRequest;
import dev.coldstart.proto.containerd.services.content.ListContentResponse;
import dev.coldstart.proto.containerd.services.content.ReadContentRequest;
import dev.coldstart.proto.containerd.services.content.ReadContentResponse;
import dev.coldstart.proto.containerd.services.images.GetImageRequest;
import dev.coldstart.proto.containerd.services.images.Image;
import dev.coldstart.proto.containerd.services.images.ImagesGrpc;
import dev.coldstart.proto.containerd.services.images.ListImagesRequest;
import dev.coldstart.proto.containerd.services.introspection.IntrospectionGrpc;
import dev.coldstart.proto.containerd.services.introspection.Plugin;
import dev.coldstart.proto.containerd.services.introspection.PluginsRequest;
import dev.coldstart.snapshotter.layer.Digest;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.MetadataUtils;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** containerd over its socket. Connects when first asked, so containerd may start after us. */
public final class Containerd implements ContentStore, AutoCloseable {
    /** The header that names the namespace of a call. */
    public static final Metadata.Key<String> NAMESPACE =
            Metadata.Key.of("containerd-namespace", Metadata.ASCII_STRING_MARSHALLER);

    private static final int MAX_MESSAGE = 16 << 20;
    private static final long CALL_SECONDS = 10;
    private static final int MAX_BLOBS = 100_000;

    private final EventLoopGroup loop = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
    private final ManagedChannel channel;
    private final Path socket;

    public Containerd(Path socket) {
        this.socket = socket;
        this.channel = NettyChannelBuilder.forAddress(UnixDomainSocketAddress.of(socket))
                .channelType(NioDomainSocketChannel.class)
                .eventLoopGroup(loop)
                .executor(Executors.newVirtualThreadPerTaskExecutor())
                // The socket's path would be sent otherwise, and strict servers reset such a call.
                .overrideAuthority("localhost")
                .usePlaintext()
                .maxInboundMessageSize(MAX_MESSAGE)
                .build();
    }

    /** Asks it for something small. */
    public void check() throws IOException {
        var _ = info("default", new Digest("sha256", "0".repeat(64)));
    }

    @Override
    public List<Blob> list(String namespace, String filter) throws IOException {
        ListContentRequest.Builder request = ListContentRequest.newBuilder();
        if (!filter.isEmpty()) {
            request.addFilters(filter);
        }
        List<Blob> blobs = new ArrayList<>();
        try {
            Iterator<ListContentResponse> answers = content(namespace).list(request.build());
            while (answers.hasNext() && blobs.size() < MAX_BLOBS) {
                for (Info info : answers.next().getInfoList()) {
                    Blob blob = blob(info);
                    if (blob != null) {
                        blobs.add(blob);
                    }
                }
            }
            return blobs;
        } catch (StatusRuntimeException e) {
            throw failure("list its content store", e);
        }
    }

    @Override
    public @Nullable Blob info(String namespace, Digest digest) throws IOException {
        try {
            return blob(content(namespace)
                    .info(InfoRequest.newBuilder().setDigest(digest.toString()).build())
                    .getInfo());
        } catch (StatusRuntimeException e) {
            if (e.getStatus().getCode() == Status.Code.NOT_FOUND) {
                return null;
            }
            throw failure("find " + digest + " in its content store", e);
        }
    }

    @Override
    public byte[] read(String namespace, Digest digest, int most) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try {
            Iterator<ReadContentResponse> parts = content(namespace)
                    .read(ReadContentRequest.newBuilder()
                            .setDigest(digest.toString())
                            .build());
            while (parts.hasNext()) {
                parts.next().getData().writeTo(bytes);
                if (bytes.size() > most) {
                    throw new IOException(digest + " is larger than " + most + " bytes");
                }
            }
            return bytes.toByteArray();
        } catch (StatusRuntimeException e) {
            throw failure("read " + digest + " from its content store", e);
        }
    }

    @Override
    public InputStream stream(String namespace, Digest digest) {
        Iterator<ReadContentResponse> parts = ContentGrpc.newBlockingStub(channel)
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers(namespace)))
                .read(ReadContentRequest.newBuilder()
                        .setDigest(digest.toString())
                        .build());
        return new InputStream() {
            private ByteBuffer part = ByteBuffer.allocate(0);

            @Override
            public int read() throws IOException {
                return fill() ? part.get() & 0xff : -1;
            }

            @Override
            public int read(byte[] bytes, int offset, int length) throws IOException {
                if (length == 0) {
                    return 0;
                }
                if (!fill()) {
                    return -1;
                }
                int n = Math.min(length, part.remaining());
                part.get(bytes, offset, n);
                return n;
            }

            private boolean fill() throws IOException {
                try {
                    while (!part.hasRemaining()) {
                        if (!parts.hasNext()) {
                            return false;
                        }
                        part = parts.next().getData().asReadOnlyByteBuffer();
                    }
                    return true;
                } catch (StatusRuntimeException e) {
                    throw failure("read " + digest + " from its content store", e);
                }
            }
        };
    }

    @Override
    public List<String> imageNames(String namespace) throws IOException {
        try {
            return with(ImagesGrpc.newBlockingStub(channel), namespace)
                    .list(ListImagesRequest.getDefaultInstance())
                    .getImagesList()
                    .stream()
                    .map(Image::getName)
                    .toList();
        } catch (StatusRuntimeException e) {
            throw failure("list its images", e);
        }
    }

    /** The blob that an image's name stands for, a manifest or an index; null if there is no such image. */
    public @Nullable Digest image(String namespace, String name) throws IOException {
        try {
            return Digest.parse(with(ImagesGrpc.newBlockingStub(channel), namespace)
                    .get(GetImageRequest.newBuilder().setName(name).build())
                    .getImage()
                    .getTarget()
                    .getDigest());
        } catch (StatusRuntimeException e) {
            if (e.getStatus().getCode() == Status.Code.NOT_FOUND) {
                return null;
            }
            throw failure("find the image " + name, e);
        } catch (IllegalArgumentException e) {
            throw new IOException("containerd has no digest for the image " + name + ": " + e.getMessage(), e);
        }
    }

    /** The plug-ins that it has loaded, or failed to load. */
    public List<Plugin> plugins() throws IOException {
        try {
            return with(IntrospectionGrpc.newBlockingStub(channel), "default")
                    .plugins(PluginsRequest.getDefaultInstance())
                    .getPluginsList();
        } catch (StatusRuntimeException e) {
            throw failure("list its plug-ins", e);
        }
    }

    /** Its process, as it counts itself; 0 if it is too old to say. */
    public long pid() throws IOException {
        try {
            return with(IntrospectionGrpc.newBlockingStub(channel), "default")
                    .server(Empty.getDefaultInstance())
                    .getPid();
        } catch (StatusRuntimeException e) {
            throw failure("ask for its process", e);
        }
    }

    private ContentGrpc.ContentBlockingStub content(String namespace) {
        return with(ContentGrpc.newBlockingStub(channel), namespace);
    }

    private static <S extends AbstractStub<S>> S with(S stub, String namespace) {
        return stub.withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS)
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers(namespace)));
    }

    private static Metadata headers(String namespace) {
        Metadata headers = new Metadata();
        headers.put(NAMESPACE, namespace);
        return headers;
    }

    private static @Nullable Blob blob(Info info) {
        try {
            return new Blob(
                    Digest.parse(info.getDigest()),
                    info.getSize(),
                    info.getCreatedAt().getSeconds(),
                    info.getLabelsMap());
        } catch (IllegalArgumentException e) {
            // A digest of another algorithm: nothing that we could verify.
            return null;
        }
    }

    private IOException failure(String what, StatusRuntimeException e) {
        return new IOException(
                "cannot ask containerd at " + socket + " to " + what + ": "
                        + e.getStatus().getCode()
                        + (e.getStatus().getDescription() == null
                                ? ""
                                : " (" + e.getStatus().getDescription() + ")"),
                e);
    }

    @Override
    public void close() {
        channel.shutdownNow();
        var _ = loop.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    }
}
