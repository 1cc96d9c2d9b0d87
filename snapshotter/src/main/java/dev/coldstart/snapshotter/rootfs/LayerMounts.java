package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Layers mounted for use as lower layers of overlays, each in a directory of its own that has a short name. */
public interface LayerMounts {
    /** The file of a layer's tree. */
    Path file(Digest layer);

    /** Where the layer is mounted; null if it is not. */
    @Nullable
    Path find(Digest layer);

    /** Mounts a layer, unless it is mounted. Callers of one layer come one at a time. */
    Path mount(Digest layer) throws IOException;

    /** Unmounts a layer. Overlays that use it keep it. */
    void unmount(Digest layer);

    /** Unmounts all layers but these, unless somebody uses them. */
    void retain(Set<Digest> wanted);
}
