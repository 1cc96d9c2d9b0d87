package dev.coldstart.snapshotter.service;

import dev.coldstart.proto.v1.Holding;
import dev.coldstart.proto.v1.InventoryRequest;
import dev.coldstart.proto.v1.NodeAgentGrpc;
import dev.coldstart.proto.v1.NodeInventory;
import dev.coldstart.proto.v1.PinRequest;
import dev.coldstart.proto.v1.PinResponse;
import dev.coldstart.proto.v1.SnapshotManifest;
import dev.coldstart.proto.v1.Tier;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.rootfs.Staging;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.io.IOException;

/** What the planner asks. */
public final class NodeAgentService extends NodeAgentGrpc.NodeAgentImplBase {
    private static final String LAYER = "layer:";

    private final String node;
    private final KnownLayers layers;
    private final ObjectStore objects;
    private final Presence presence;
    private final long ramBytes;
    private final Staging staging;
    private final StoredSnapshots snapshots;

    /** @param ramBytes capacity of the RAM tier; 0 if there is none */
    public NodeAgentService(
            String node,
            KnownLayers layers,
            ObjectStore objects,
            long ramBytes,
            Staging staging,
            StoredSnapshots snapshots) {
        this.node = node;
        this.staging = staging;
        this.ramBytes = ramBytes;
        this.layers = layers;
        this.objects = objects;
        this.presence = new Presence(objects);
        this.snapshots = snapshots;
    }

    @Override
    public void inventory(InventoryRequest request, StreamObserver<NodeInventory> answer) {
        try {
            NodeInventory.Builder inventory = NodeInventory.newBuilder()
                    .setNode(node)
                    .setRamBytes(ramBytes)
                    .setDiskBytes(objects.mostBytes());
            for (KnownLayer layer : layers.all()) {
                inventory.addHoldings(Holding.newBuilder()
                        .setGroup(LAYER + layer.index().layer())
                        .setBytesTotal(layer.index().uncompressedSize())
                        .setBytesPresent(layer.index().uncompressedSize()
                                - presence.look(layer).missing())
                        .setTier(Tier.TIER_DISK));
            }
            for (SnapshotManifest snapshot : snapshots.list()) {
                long bytes = snapshot.getCheckpointBytes() + snapshot.getUpperBytes();
                inventory.addHoldings(Holding.newBuilder()
                        .setGroup("snapshot:" + snapshot.getId())
                        .setBytesTotal(bytes)
                        .setBytesPresent(bytes)
                        .setTier(Tier.TIER_DISK));
            }
            answer.onNext(inventory.build());
            answer.onCompleted();
        } catch (IOException e) {
            answer.onError(Status.INTERNAL.withDescription(e.getMessage()).asRuntimeException());
        }
    }

    @Override
    public void pin(PinRequest request, StreamObserver<PinResponse> answer) {
        String group = request.getGroup();
        try {
            if (!group.startsWith(LAYER)) {
                throw new IllegalArgumentException("\"" + group + "\" is no layer; only layers can be pinned");
            }
            Digest layer = Digest.parse(group.substring(LAYER.length()));
            switch (request.getTier()) {
                case TIER_DISK -> staging.pin(layer, dev.coldstart.snapshotter.object.Tier.DISK);
                case TIER_RAM -> staging.pin(layer, dev.coldstart.snapshotter.object.Tier.RAM);
                case TIER_UNKNOWN -> staging.unpin(layer);
                case UNRECOGNIZED -> throw new IllegalArgumentException("this tier is not known here");
            }
            answer.onNext(PinResponse.getDefaultInstance());
            answer.onCompleted();
        } catch (IllegalArgumentException e) {
            answer.onError(
                    Status.INVALID_ARGUMENT.withDescription(e.getMessage()).asRuntimeException());
        } catch (IOException e) {
            answer.onError(Status.INTERNAL.withDescription(e.getMessage()).asRuntimeException());
        }
    }
}
