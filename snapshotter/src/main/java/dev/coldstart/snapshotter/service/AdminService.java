package dev.coldstart.snapshotter.service;

import dev.coldstart.proto.v1.AdminGrpc;
import dev.coldstart.proto.v1.DiagnoseImageRequest;
import dev.coldstart.proto.v1.DiagnoseImageResponse;
import dev.coldstart.proto.v1.DiagnoseRequest;
import dev.coldstart.proto.v1.DiagnoseResponse;
import dev.coldstart.proto.v1.GetSnapshotRequest;
import dev.coldstart.proto.v1.IndexProgress;
import dev.coldstart.proto.v1.IndexRequest;
import dev.coldstart.proto.v1.IndexedLayer;
import dev.coldstart.proto.v1.ListSnapshotsRequest;
import dev.coldstart.proto.v1.ListSnapshotsResponse;
import dev.coldstart.proto.v1.RemoveSnapshotRequest;
import dev.coldstart.proto.v1.RemoveSnapshotResponse;
import dev.coldstart.proto.v1.SnapshotManifest;
import dev.coldstart.proto.v1.VersionRequest;
import dev.coldstart.proto.v1.VersionResponse;
import dev.coldstart.snapshotter.content.ImageManifest;
import dev.coldstart.snapshotter.content.ImageManifest.Descriptor;
import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.registry.ImageReference;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.RegistryException;
import dev.coldstart.snapshotter.rootfs.RemoteLayers;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.List;

/** What the command line asks. */
public final class AdminService extends AdminGrpc.AdminImplBase {
    private static final String PLATFORM = "linux/amd64";
    private static final int MAX_CONFIG = 4 << 20;
    private static final int ID_PREFIX = 4;

    private final String version;
    private final String serving;
    private final RegistryClient registry;
    private final RemoteLayers layers;
    private final StoredSnapshots snapshots;
    private final Doctor doctor;
    private final ImageDoctor images;

    /** @param serving how root file systems are served, and why */
    public AdminService(
            String version,
            String serving,
            RegistryClient registry,
            RemoteLayers layers,
            StoredSnapshots snapshots,
            Doctor doctor,
            ImageDoctor images) {
        this.version = version;
        this.serving = serving;
        this.registry = registry;
        this.layers = layers;
        this.snapshots = snapshots;
        this.doctor = doctor;
        this.images = images;
    }

    @Override
    public void version(VersionRequest request, StreamObserver<VersionResponse> answer) {
        answer.onNext(VersionResponse.newBuilder()
                .setVersion(version)
                .setServing(serving)
                .build());
        answer.onCompleted();
    }

    @Override
    public void diagnose(DiagnoseRequest request, StreamObserver<DiagnoseResponse> answer) {
        answer.onNext(
                DiagnoseResponse.newBuilder().addAllFindings(doctor.look()).build());
        answer.onCompleted();
    }

    @Override
    public void diagnoseImage(DiagnoseImageRequest request, StreamObserver<DiagnoseImageResponse> answer) {
        try {
            answer.onNext(images.look(request.getImage(), PLATFORM));
            answer.onCompleted();
        } catch (IllegalArgumentException e) {
            answer.onError(
                    Status.INVALID_ARGUMENT.withDescription(e.getMessage()).asRuntimeException());
        } catch (RegistryException e) {
            Status status = e.reason() == RegistryException.Reason.NOT_FOUND ? Status.NOT_FOUND : Status.ABORTED;
            answer.onError(status.withDescription(e.getMessage()).asRuntimeException());
        } catch (IOException e) {
            answer.onError(Status.ABORTED.withDescription(e.getMessage()).asRuntimeException());
        }
    }

    @Override
    public void index(IndexRequest request, StreamObserver<IndexProgress> answer) {
        try {
            ImageReference image = ImageReference.parse(request.getImage());
            RegistryClient.Manifest stored = registry.manifest(image);
            ImageManifest manifest = ImageManifest.parse(stored.json().getBytes(StandardCharsets.UTF_8));
            if (manifest.config() == null) {
                stored = registry.manifest(forPlatform(image, manifest));
                manifest = ImageManifest.parse(stored.json().getBytes(StandardCharsets.UTF_8));
            }
            ResolvedLayer.Image resolved = new ResolvedLayer.Image(
                    stored.digest(),
                    manifest.mediaType(),
                    stored.json().getBytes(StandardCharsets.UTF_8).length,
                    manifest.annotations(),
                    manifest.layers(),
                    diffIds(image, manifest));
            for (int at = 0; at < manifest.layers().size(); at++) {
                Descriptor layer = manifest.layers().get(at);
                if (!layer.readableLayer()) {
                    throw new IOException("layer " + layer.digest() + " of " + image + " is of type "
                            + layer.mediaType() + ", and only gzip, zstd and plain tar can be indexed");
                }
                index(
                        resolved.layer(at, List.of(new LayerSource(layer.digest(), image.host(), image.repository()))),
                        answer);
                if (Context.current().isCancelled()) {
                    return;
                }
            }
            answer.onCompleted();
        } catch (IllegalArgumentException e) {
            answer.onError(
                    Status.INVALID_ARGUMENT.withDescription(e.getMessage()).asRuntimeException());
        } catch (IOException e) {
            answer.onError(Status.UNAVAILABLE.withDescription(e.getMessage()).asRuntimeException());
        }
    }

    /** By which an index that somebody else made is compared; empty if they cannot be had, and then none is used. */
    private List<Digest> diffIds(ImageReference image, ImageManifest manifest) {
        Descriptor config = manifest.config();
        if (config == null || config.size() > MAX_CONFIG) {
            return List.of();
        }
        try (InputStream in = registry.blob(image.host(), image.repository(), config.digest())) {
            byte[] json = in.readNBytes(MAX_CONFIG);
            List<Digest> found = ImageManifest.diffIds(json);
            return Digest.ofContent(json).equals(config.digest())
                            && found.size() == manifest.layers().size()
                    ? found
                    : List.of();
        } catch (IOException e) {
            System.getLogger(AdminService.class.getName())
                    .log(System.Logger.Level.WARNING, "{0} has no configuration: {1}", image, e.getMessage());
            return List.of();
        }
    }

    private static ImageReference forPlatform(ImageReference image, ImageManifest index) throws IOException {
        for (Descriptor manifest : index.manifests()) {
            if (manifest.platform().equals(PLATFORM)) {
                return new ImageReference(
                        image.host(), image.repository(), manifest.digest().toString());
            }
        }
        throw new IOException(image + " has no image for " + PLATFORM);
    }

    private void index(ResolvedLayer layer, StreamObserver<IndexProgress> answer) throws IOException {
        IndexProgress.Builder progress =
                IndexProgress.newBuilder().setLayer(layer.layer().toString()).setBytesTotal(layer.size());
        boolean known = layers.index(
                layer,
                (blob, uncompressed) ->
                        answer.onNext(progress.setBytesRead(blob).build()));
        try (LayerIndex index = LayerIndex.open(layers.index(layer.layer()))) {
            answer.onNext(progress.setBytesRead(layer.size())
                    .setDone(IndexedLayer.newBuilder()
                            .setDiffId(index.diffId().toString())
                            .setUncompressedBytes(index.uncompressedSize())
                            .setEntries(index.objectCount())
                            .setIndexBytes(Files.size(layers.index(layer.layer())))
                            .setTreeBytes(Files.size(layers.tree(layer.layer())))
                            .setKnown(known))
                    .build());
        }
    }

    @Override
    public void listSnapshots(ListSnapshotsRequest request, StreamObserver<ListSnapshotsResponse> answer) {
        try {
            ListSnapshotsResponse found = ListSnapshotsResponse.newBuilder()
                    .addAllSnapshots(snapshots.list())
                    .build();
            answer.onNext(found);
            answer.onCompleted();
        } catch (IOException e) {
            answer.onError(Status.INTERNAL.withDescription(e.getMessage()).asRuntimeException());
        }
    }

    @Override
    public void getSnapshot(GetSnapshotRequest request, StreamObserver<SnapshotManifest> answer) {
        try {
            SnapshotManifest found = one(request.getId());
            answer.onNext(found);
            answer.onCompleted();
        } catch (StatusException e) {
            answer.onError(e);
        } catch (IOException e) {
            answer.onError(Status.INTERNAL.withDescription(e.getMessage()).asRuntimeException());
        }
    }

    @Override
    public void removeSnapshot(RemoveSnapshotRequest request, StreamObserver<RemoveSnapshotResponse> answer) {
        try {
            String id = one(request.getId()).getId();
            snapshots.remove(id);
            answer.onNext(RemoveSnapshotResponse.newBuilder().setId(id).build());
            answer.onCompleted();
        } catch (StatusException e) {
            answer.onError(e);
        } catch (IOException e) {
            answer.onError(Status.INTERNAL.withDescription(e.getMessage()).asRuntimeException());
        }
    }

    private SnapshotManifest one(String prefix) throws StatusException, IOException {
        if (!prefix.matches("[0-9a-f]{" + ID_PREFIX + ",64}")) {
            throw Status.INVALID_ARGUMENT
                    .withDescription("\"" + prefix + "\" is not a snapshot's id or at least " + ID_PREFIX
                            + " hexadecimal digits of one")
                    .asException();
        }
        List<SnapshotManifest> found = snapshots.find(prefix);
        if (found.isEmpty()) {
            throw Status.NOT_FOUND
                    .withDescription("there is no snapshot \"" + prefix + "\" on this node")
                    .asException();
        }
        if (found.size() > 1) {
            throw Status.INVALID_ARGUMENT
                    .withDescription(found.size() + " snapshots start with \"" + prefix + "\"; give more of the id")
                    .asException();
        }
        return found.getFirst();
    }
}
