package dev.coldstart.snapshotter.object;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import java.io.IOException;
import java.time.Instant;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What the store has to know of layers when it must choose which objects to let go. */
public interface Retention {
    /** All layers that this node has an index of, the least recently used first. The caller closes each. */
    List<Layer> layers() throws IOException;

    /** Whether complete objects of this layer must stay: somebody may have them mounted, or the planner wants them. */
    boolean isPinned(Digest layer);

    /**
     * Lets go of what else is kept of a layer, its index and its tree, unless a snapshot stands on it, somebody wants it, or
     * somebody is about to use it.
     *
     * @return bytes given back, 0 if it stays
     */
    long forget(Digest layer) throws IOException;

    /**
     * A layer.
     *
     * @param index null if it cannot be read
     * @param used when a snapshot on this layer was last made, mounted or removed
     * @param pinned what {@link #isPinned} said
     * @param borrowed whether the index is somebody else's and stays open
     */
    record Layer(Digest digest, @Nullable LayerIndex index, Instant used, boolean pinned, boolean borrowed)
            implements AutoCloseable {
        long cut() {
            return index == null ? ObjectStore.cut(digest) : ObjectStore.cut(index);
        }

        boolean has(ObjectName name) {
            return index != null && index.find(name) >= 0;
        }

        @Override
        public void close() {
            if (index != null && !borrowed) {
                index.close();
            }
        }
    }
}
