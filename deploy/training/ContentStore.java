import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import dev.coldstart.proto.containerd.services.content.ContentGrpc;
import dev.coldstart.proto.containerd.services.content.Info;
import dev.coldstart.proto.containerd.services.content.InfoRequest;
import dev.coldstart.proto.containerd.services.content.InfoResponse;
import dev.coldstart.proto.containerd.services.content.ListContentRequest;
import dev.coldstart.proto.containerd.services.content.ListContentResponse;
import dev.coldstart.proto.containerd.services.content.ReadContentRequest;
import dev.coldstart.proto.containerd.services.content.ReadContentResponse;
import dev.coldstart.proto.containerd.services.images.Image;
import dev.coldstart.proto.containerd.services.images.ImagesGrpc;
import dev.coldstart.proto.containerd.services.images.ListImagesRequest;
import dev.coldstart.proto.containerd.services.images.ListImagesResponse;
import io.grpc.BindableService;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** containerd's, while it pulls: manifests and configurations are here, layers are not. */
final class ContentStore extends ContentGrpc.ContentImplBase {
    private final Map<String, byte[]> documents = new ConcurrentHashMap<>();
    private final String repository;

    /** @param repository HOST:PORT/NAME */
    ContentStore(String repository) {
        this.repository = repository;
    }

    void pull(ImageFiles image) {
        image.documents().forEach((digest, bytes) -> documents.put(digest.toString(), bytes));
    }

    @Override
    public void info(InfoRequest request, StreamObserver<InfoResponse> answer) {
        if (documents.containsKey(request.getDigest())) {
            answer.onNext(InfoResponse.newBuilder().setInfo(info(request.getDigest())).build());
            answer.onCompleted();
        } else {
            answer.onError(Status.NOT_FOUND.asRuntimeException());
        }
    }

    @Override
    public void list(ListContentRequest request, StreamObserver<ListContentResponse> answer) {
        answer.onNext(ListContentResponse.newBuilder()
                .addAllInfo(documents.keySet().stream().map(this::info).toList())
                .build());
        answer.onCompleted();
    }

    @Override
    public void read(ReadContentRequest request, StreamObserver<ReadContentResponse> answer) {
        answer.onNext(ReadContentResponse.newBuilder()
                .setData(ByteString.copyFrom(documents.get(request.getDigest())))
                .build());
        answer.onCompleted();
    }

    private Info info(String digest) {
        // containerd's label names a registry without its port, and the images' names tell it.
        String host = repository.substring(0, repository.indexOf(':'));
        return Info.newBuilder()
                .setDigest(digest)
                .setSize(documents.get(digest).length)
                .setCreatedAt(Timestamp.newBuilder().setSeconds(1))
                .putLabels(
                        "containerd.io/distribution.source." + host,
                        repository.substring(repository.indexOf('/') + 1))
                .build();
    }

    /** The names of its images. */
    BindableService images() {
        return new ImagesGrpc.ImagesImplBase() {
            @Override
            public void list(ListImagesRequest request, StreamObserver<ListImagesResponse> answer) {
                answer.onNext(ListImagesResponse.newBuilder()
                        .addImages(Image.newBuilder().setName(repository + ":1"))
                        .build());
                answer.onCompleted();
            }
        };
    }
}
