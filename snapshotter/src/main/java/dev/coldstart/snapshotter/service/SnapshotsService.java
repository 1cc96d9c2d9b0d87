package dev.coldstart.snapshotter.service;

import com.google.protobuf.Empty;
import com.google.protobuf.Timestamp;
import dev.coldstart.proto.containerd.services.snapshots.CleanupRequest;
import dev.coldstart.proto.containerd.services.snapshots.CommitSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.Info;
import dev.coldstart.proto.containerd.services.snapshots.Kind;
import dev.coldstart.proto.containerd.services.snapshots.ListSnapshotsRequest;
import dev.coldstart.proto.containerd.services.snapshots.ListSnapshotsResponse;
import dev.coldstart.proto.containerd.services.snapshots.MountsRequest;
import dev.coldstart.proto.containerd.services.snapshots.MountsResponse;
import dev.coldstart.proto.containerd.services.snapshots.PrepareSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.PrepareSnapshotResponse;
import dev.coldstart.proto.containerd.services.snapshots.RemoveSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.SnapshotsGrpc;
import dev.coldstart.proto.containerd.services.snapshots.StatSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.StatSnapshotResponse;
import dev.coldstart.proto.containerd.services.snapshots.UpdateSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.UpdateSnapshotResponse;
import dev.coldstart.proto.containerd.services.snapshots.UsageRequest;
import dev.coldstart.proto.containerd.services.snapshots.UsageResponse;
import dev.coldstart.proto.containerd.services.snapshots.ViewSnapshotRequest;
import dev.coldstart.proto.containerd.services.snapshots.ViewSnapshotResponse;
import dev.coldstart.proto.containerd.types.Mount;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.MetadataStore;
import dev.coldstart.snapshotter.metadata.Snapshot;
import dev.coldstart.snapshotter.metadata.SnapshotException;
import dev.coldstart.snapshotter.metadata.SnapshotException.Reason;
import dev.coldstart.snapshotter.metadata.SnapshotFilter;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.rootfs.Directories;
import dev.coldstart.snapshotter.rootfs.ImpliedDirectories;
import dev.coldstart.snapshotter.rootfs.LayerRetention;
import dev.coldstart.snapshotter.rootfs.MappedLayers;
import dev.coldstart.snapshotter.rootfs.RemoteLayers;
import dev.coldstart.snapshotter.rootfs.RootFileSystems;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * containerd's snapshots service. A Prepare that names a chain ID ({@code containerd.io/snapshot.ref}) is answered with
 * ALREADY_EXISTS and a committed snapshot of a layer's tree, or, if the layer cannot be had, with an ordinary snapshot for
 * containerd to unpack into.
 */
public final class SnapshotsService extends SnapshotsGrpc.SnapshotsImplBase {
    private static final System.Logger LOG = System.getLogger(SnapshotsService.class.getName());
    private static final String REF = "containerd.io/snapshot.ref";
    private static final Pattern CONTAINERD_KEY = Pattern.compile("([A-Za-z0-9._-]+)/\\d+/");
    private static final int MAX_LABEL_BYTES = 4096;
    private static final int INFOS_PER_MESSAGE = 100;
    /** The files that a lazy layer has besides its objects. */
    private static final int INDEX_AND_TREE = 2;

    private final MetadataStore metadata;
    private final Directories directories;
    private final ImpliedDirectories implied;
    private final MappedLayers mapped;
    private final RootFileSystems rootfs;
    private final RemoteLayers layers;
    private final LayerRetention retention;
    private final ObjectStore objects;
    private final KnownLayers known;
    private final Presence presence;

    public SnapshotsService(
            MetadataStore metadata,
            Directories directories,
            ImpliedDirectories implied,
            MappedLayers mapped,
            RootFileSystems rootfs,
            RemoteLayers layers,
            LayerRetention retention,
            ObjectStore objects,
            KnownLayers known) {
        this.metadata = metadata;
        this.directories = directories;
        this.implied = implied;
        this.mapped = mapped;
        this.rootfs = rootfs;
        this.layers = layers;
        this.retention = retention;
        this.objects = objects;
        this.known = known;
        this.presence = new Presence(objects);
        // What a predecessor removed and did not delete.
        Thread.startVirtualThread(this::sweep);
    }

    @Override
    public void prepare(PrepareSnapshotRequest request, StreamObserver<PrepareSnapshotResponse> answer) {
        answer(answer, () -> {
            Map<String, String> labels = request.getLabelsMap();
            checkLabels(labels);
            String ref = labels.get(REF);
            if (ref != null && metadata.catalog().find(request.getKey()) == null) {
                metadata.requireParent(request.getParent());
                Snapshot remote = remote(namespace(request.getKey()), request.getParent(), ref, labels);
                if (remote != null) {
                    throw new SnapshotException(
                            Reason.ALREADY_EXISTS,
                            "snapshot \"" + remote.name() + "\" is served lazily: target snapshot already exists");
                }
            }
            return PrepareSnapshotResponse.newBuilder()
                    .addAllMounts(create(request.getKey(), request.getParent(), Snapshot.Kind.ACTIVE, labels))
                    .build();
        });
    }

    /** containerd's keys are NAMESPACE/NUMBER/KEY; the header of a call may be missing, or name another namespace as well. */
    static String namespace(String key) {
        Matcher matcher = CONTAINERD_KEY.matcher(key);
        return matcher.lookingAt() ? matcher.group(1) : UnixServer.NAMESPACE.get();
    }

    private @org.jspecify.annotations.Nullable Snapshot remote(
            String namespace, String parent, String ref, Map<String, String> labels) throws SnapshotException {
        try {
            return layers.prepare(namespace, parent, Digest.parse(ref), labels);
        } catch (IllegalArgumentException e) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "snapshot {0} is not lazy, containerd unpacks it: {1}",
                    ref,
                    e.getMessage());
        } catch (IOException e) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "snapshot {0} is not lazy, containerd unpacks it: {1}",
                    ref,
                    e.getMessage());
        }
        return null;
    }

    @Override
    public void view(ViewSnapshotRequest request, StreamObserver<ViewSnapshotResponse> answer) {
        answer(answer, () -> {
            checkLabels(request.getLabelsMap());
            return ViewSnapshotResponse.newBuilder()
                    .addAllMounts(
                            create(request.getKey(), request.getParent(), Snapshot.Kind.VIEW, request.getLabelsMap()))
                    .build();
        });
    }

    private List<Mount> create(String key, String parent, Snapshot.Kind kind, Map<String, String> labels)
            throws SnapshotException, IOException {
        if (key.isEmpty()) {
            throw new SnapshotException(Reason.INVALID_ARGUMENT, "a snapshot needs a key");
        }
        try {
            var _ = MappedLayers.mapping(labels);
        } catch (IllegalArgumentException e) {
            throw new SnapshotException(
                    Reason.INVALID_ARGUMENT, "cannot map the owners of snapshot \"" + key + "\": " + e.getMessage());
        }
        Snapshot made = metadata.create(key, parent, kind, labels);
        retention.used(made);
        try {
            directories.create(made, rootfs.parentDirectory(metadata.catalog(), made));
            return rootfs.mounts(metadata.catalog(), made);
        } catch (IOException e) {
            var _ = metadata.remove(key);
            mapped.remove(made);
            directories.remove(made);
            throw e;
        }
    }

    @Override
    public void mounts(MountsRequest request, StreamObserver<MountsResponse> answer) {
        answer(answer, () -> {
            Snapshot found = require(request.getKey());
            if (found.kind() == Snapshot.Kind.COMMITTED) {
                throw new SnapshotException(
                        Reason.FAILED_PRECONDITION,
                        "snapshot \"" + found.name() + "\" is committed and has no mounts of its own");
            }
            retention.used(found);
            return MountsResponse.newBuilder()
                    .addAllMounts(rootfs.mounts(metadata.catalog(), found))
                    .build();
        });
    }

    @Override
    public void commit(CommitSnapshotRequest request, StreamObserver<Empty> answer) {
        answer(answer, () -> {
            checkLabels(request.getLabelsMap());
            if (request.getName().isEmpty()) {
                throw new SnapshotException(Reason.INVALID_ARGUMENT, "a committed snapshot needs a name");
            }
            Snapshot committed = metadata.commit(
                    request.getKey(),
                    request.getName(),
                    request.getParent(),
                    request.getLabelsMap(),
                    Snapshot.NOT_MEASURED,
                    Snapshot.NOT_MEASURED);
            Thread.startVirtualThread(() -> {
                try {
                    var _ = measure(committed);
                } catch (IOException e) {
                    // It is gone already, or whoever asks for its usage hears of it.
                    LOG.log(System.Logger.Level.DEBUG, "a committed snapshot was not measured", e);
                }
            });
            return Empty.getDefaultInstance();
        });
    }

    @Override
    public void remove(RemoveSnapshotRequest request, StreamObserver<Empty> answer) {
        answer(answer, () -> {
            Snapshot gone = metadata.remove(request.getKey());
            Digest layer = gone.layer();
            rootfs.removed(gone);
            if (layer == null) {
                mapped.remove(gone);
                directories.remove(gone);
            }
            retention.used(gone);
            objects.reconsider();
            Thread.startVirtualThread(() -> {
                if (layer != null) {
                    layers.released(layer);
                }
                clear(gone);
            });
            return Empty.getDefaultInstance();
        });
    }

    private void clear(Snapshot gone) {
        try {
            implied.remove(gone);
        } catch (IOException e) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "cannot delete directories of a removed snapshot, the next start tries again: {0}",
                    e.getMessage());
        }
        sweep();
    }

    private void sweep() {
        try {
            directories.sweep();
        } catch (IOException e) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "cannot delete a removed snapshot, the next clean-up tries again: {0}",
                    e.getMessage());
        }
    }

    @Override
    public void stat(StatSnapshotRequest request, StreamObserver<StatSnapshotResponse> answer) {
        answer(
                answer,
                () -> StatSnapshotResponse.newBuilder()
                        .setInfo(info(require(request.getKey())))
                        .build());
    }

    @Override
    public void update(UpdateSnapshotRequest request, StreamObserver<UpdateSnapshotResponse> answer) {
        answer(answer, () -> {
            checkLabels(request.getInfo().getLabelsMap());
            Snapshot made = metadata.update(request.getInfo().getName(), labels -> changed(request, labels));
            return UpdateSnapshotResponse.newBuilder().setInfo(info(made)).build();
        });
    }

    private static Map<String, String> changed(UpdateSnapshotRequest request, Map<String, String> labels)
            throws SnapshotException {
        Map<String, String> given = request.getInfo().getLabelsMap();
        if (request.getUpdateMask().getPathsCount() == 0) {
            return withoutEmpty(given);
        }
        Map<String, String> result = new HashMap<>(labels);
        for (String path : request.getUpdateMask().getPathsList()) {
            if (path.equals("labels")) {
                result = new HashMap<>(given);
            } else if (path.startsWith("labels.")) {
                String label = path.substring("labels.".length());
                result.put(label, given.getOrDefault(label, ""));
            } else {
                throw new SnapshotException(
                        Reason.INVALID_ARGUMENT, "cannot update field \"" + path + "\" of a snapshot, only its labels");
            }
        }
        return withoutEmpty(result);
    }

    private static Map<String, String> withoutEmpty(Map<String, String> labels) {
        Map<String, String> kept = new HashMap<>(labels);
        kept.values().removeIf(String::isEmpty);
        return kept;
    }

    @Override
    public void list(ListSnapshotsRequest request, StreamObserver<ListSnapshotsResponse> answer) {
        try {
            Predicate<Snapshot> filter = SnapshotFilter.anyOf(request.getFiltersList());
            ListSnapshotsResponse.Builder part = ListSnapshotsResponse.newBuilder();
            for (Snapshot snapshot : metadata.catalog().snapshots()) {
                if (Context.current().isCancelled()) {
                    return;
                }
                if (!filter.test(snapshot)) {
                    continue;
                }
                part.addInfo(info(snapshot));
                if (part.getInfoCount() == INFOS_PER_MESSAGE) {
                    answer.onNext(part.build());
                    part.clear();
                }
            }
            if (part.getInfoCount() > 0) {
                answer.onNext(part.build());
            }
            answer.onCompleted();
        } catch (SnapshotException e) {
            answer.onError(status(e).asRuntimeException());
        }
    }

    @Override
    public void usage(UsageRequest request, StreamObserver<UsageResponse> answer) {
        answer(answer, () -> {
            Snapshot found = require(request.getKey());
            Digest layer = found.layer();
            Directories.Usage usage;
            if (layer != null) {
                KnownLayer content = known.find(layer);
                Presence.Held held = content == null ? new Presence.Held(0, 0, 0) : presence.recent(content);
                usage = new Directories.Usage(found.size() + held.bytes(), INDEX_AND_TREE + held.files());
            } else if (found.kind() == Snapshot.Kind.COMMITTED) {
                usage = found.size() == Snapshot.NOT_MEASURED
                        ? measure(found)
                        : new Directories.Usage(found.size(), found.inodes());
            } else {
                usage = directories.usage(found);
            }
            return UsageResponse.newBuilder()
                    .setSize(usage.size())
                    .setInodes(usage.inodes())
                    .build();
        });
    }

    private Directories.Usage measure(Snapshot committed) throws IOException {
        Directories.Usage usage = directories.usage(committed);
        metadata.measured(committed, usage.size(), usage.inodes());
        return usage;
    }

    @Override
    public void cleanup(CleanupRequest request, StreamObserver<Empty> answer) {
        answer(answer, () -> {
            directories.sweep();
            return Empty.getDefaultInstance();
        });
    }

    private Snapshot require(String name) throws SnapshotException {
        Snapshot found = metadata.catalog().find(name);
        if (found == null) {
            throw new SnapshotException(Reason.NOT_FOUND, "snapshot \"" + name + "\" does not exist");
        }
        return found;
    }

    private static void checkLabels(Map<String, String> labels) throws SnapshotException {
        for (Map.Entry<String, String> label : labels.entrySet()) {
            if (label.getKey().getBytes(StandardCharsets.UTF_8).length
                            + label.getValue().getBytes(StandardCharsets.UTF_8).length
                    > MAX_LABEL_BYTES) {
                throw new SnapshotException(
                        Reason.INVALID_ARGUMENT,
                        "label \""
                                + label.getKey()
                                        .substring(
                                                0, Math.min(64, label.getKey().length()))
                                + "\" and its value have more than " + MAX_LABEL_BYTES + " bytes");
            }
        }
    }

    private static Info info(Snapshot snapshot) {
        return Info.newBuilder()
                .setName(snapshot.name())
                .setParent(snapshot.parent())
                .setKind(
                        switch (snapshot.kind()) {
                            case VIEW -> Kind.VIEW;
                            case ACTIVE -> Kind.ACTIVE;
                            case COMMITTED -> Kind.COMMITTED;
                        })
                .setCreatedAt(timestamp(snapshot.created()))
                .setUpdatedAt(timestamp(snapshot.updated()))
                .putAllLabels(snapshot.labels())
                .build();
    }

    private static Timestamp timestamp(Instant instant) {
        return Timestamp.newBuilder()
                .setSeconds(instant.getEpochSecond())
                .setNanos(instant.getNano())
                .build();
    }

    private interface Work<A> {
        A run() throws SnapshotException, IOException;
    }

    private static <A> void answer(StreamObserver<A> answer, Work<A> work) {
        A result;
        try {
            result = work.run();
        } catch (SnapshotException e) {
            answer.onError(status(e).asRuntimeException());
            return;
        } catch (IOException e) {
            LOG.log(System.Logger.Level.WARNING, "{0}", e.getMessage());
            answer.onError(Status.UNAVAILABLE
                    .withDescription(e.getMessage())
                    .withCause(e)
                    .asRuntimeException());
            return;
        } catch (RuntimeException e) {
            LOG.log(System.Logger.Level.ERROR, "a call failed", e);
            answer.onError(
                    Status.INTERNAL.withDescription(e.toString()).withCause(e).asRuntimeException());
            return;
        }
        answer.onNext(result);
        answer.onCompleted();
    }

    private static Status status(SnapshotException e) {
        Status status = switch (e.reason()) {
            case NOT_FOUND -> Status.NOT_FOUND;
            case ALREADY_EXISTS -> Status.ALREADY_EXISTS;
            case INVALID_ARGUMENT -> Status.INVALID_ARGUMENT;
            case FAILED_PRECONDITION -> Status.FAILED_PRECONDITION;
        };
        return status.withDescription(e.getMessage());
    }
}
