package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.Pins;
import dev.coldstart.snapshotter.object.RamTier;
import dev.coldstart.snapshotter.object.Tier;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** Carries out what is to be held, by the planner's or an operator's wish. */
public final class Staging {
    private static final System.Logger LOG = System.getLogger(Staging.class.getName());

    private final Pins pins;
    private final LayerRetention retention;
    private final ObjectStore objects;
    private final @Nullable RamTier ram;

    public Staging(Pins pins, LayerRetention retention, ObjectStore objects, @Nullable RamTier ram) {
        this.pins = pins;
        this.retention = retention;
        this.objects = objects;
        this.ram = ram;
    }

    /** Keeps a layer from eviction, also over a restart; in the RAM tier as far as it has room. */
    public void pin(Digest layer, Tier tier) throws IOException {
        pins.set(layer, tier);
        start();
    }

    /** Lets a layer be evicted again. */
    public void unpin(Digest layer) throws IOException {
        pins.set(layer, null);
        objects.reconsider();
    }

    /** Starts to copy what is wanted in RAM and is not there yet; does not wait. */
    public void start() {
        if (ram != null) {
            Thread.ofPlatform().daemon().name("stage").start(() -> stage(ram));
        }
    }

    private synchronized void stage(RamTier ram) {
        for (LayerIndex layer : retention.wantedIn(Tier.RAM)) {
            try {
                ram.stage(layer, objects);
            } catch (IOException e) {
                LOG.log(
                        System.Logger.Level.WARNING,
                        "cannot copy layer {0} into the RAM tier: {1}",
                        layer.layer(),
                        e.getMessage());
            }
        }
    }
}
