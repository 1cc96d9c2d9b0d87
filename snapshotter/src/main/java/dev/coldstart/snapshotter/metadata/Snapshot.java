package dev.coldstart.snapshotter.metadata;

import dev.coldstart.snapshotter.layer.Digest;
import java.time.Instant;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * One snapshot in containerd's sense.
 *
 * @param id ours, never used twice; names the directory of an ordinary snapshot
 * @param name containerd's: the key while active, the committed name afterwards; opaque, never a file name
 * @param parent name of a committed snapshot, or empty
 * @param layer digest of the compressed blob whose tree is this snapshot's content; null for an ordinary snapshot
 * @param size bytes that it takes on disk, of an ordinary committed snapshot; {@link #NOT_MEASURED} until that is known
 * @param inodes of the same
 */
public record Snapshot(
        long id,
        String name,
        String parent,
        Kind kind,
        Instant created,
        Instant updated,
        Map<String, String> labels,
        @Nullable Digest layer,
        long size,
        long inodes) {
    /** containerd's kinds. */
    public enum Kind {
        VIEW,
        ACTIVE,
        COMMITTED
    }

    /** The size of a committed snapshot that nobody looked at yet: Commit must answer at once. */
    public static final long NOT_MEASURED = -1;

    public Snapshot {
        labels = Map.copyOf(labels);
    }

    Snapshot withLabels(Map<String, String> replaced, Instant now) {
        return new Snapshot(id, name, parent, kind, created, now, replaced, layer, size, inodes);
    }

    Snapshot withUsage(long size, long inodes) {
        return new Snapshot(id, name, parent, kind, created, updated, labels, layer, size, inodes);
    }
}
