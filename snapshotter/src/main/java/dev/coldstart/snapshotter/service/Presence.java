package dev.coldstart.snapshotter.service;

import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.object.ObjectStore;
import java.util.BitSet;
import java.util.concurrent.ConcurrentHashMap;

/**
 * How much of each layer is in the store. To look costs a call of the kernel or two for each object, so what was seen is
 * told again for a while.
 */
final class Presence {
    /** How long an answer is good: as long as the CRI waits until it asks again. */
    private static final long GOOD_NANOS = 10_000_000_000L;

    private final ObjectStore objects;
    private final ConcurrentHashMap<Digest, Seen> seen = new ConcurrentHashMap<>();

    Presence(ObjectStore objects) {
        this.objects = objects;
    }

    /**
     * What is here of a layer's objects.
     *
     * @param bytes of them that are here
     * @param missing bytes of them that would have to be fetched
     * @param files objects that are here whole or in part
     */
    record Held(long bytes, long missing, long files) {}

    private record Seen(Held held, long nanos) {}

    /** Looks now. */
    Held look(KnownLayer layer) {
        LayerIndex index = layer.index();
        long bytes = 0;
        long missing = 0;
        long files = 0;
        for (int row = 0; row < index.objectCount(); row++) {
            ObjectName name = index.objectName(row);
            long start = index.objectOffset(row);
            long end = start + index.objectSize(row);
            long absent = objects.contains(name) ? 0 : absent(layer, row, name, start, end);
            missing += absent;
            bytes += end - start - absent;
            files += absent < end - start ? 1 : 0;
        }
        Held held = new Held(bytes, missing, files);
        seen.put(index.layer(), new Seen(held, System.nanoTime()));
        return held;
    }

    private long absent(KnownLayer layer, int row, ObjectName name, long start, long end) {
        LayerIndex index = layer.index();
        int first = layer.firstSpan(row);
        BitSet present = objects.presentPieces(name, end - start, layer.pieces(row), layer.cut());
        if (present.isEmpty()) {
            return end - start;
        }
        long absent = 0;
        for (int span = first; span <= layer.lastSpan(row); span++) {
            if (!present.get(span - first)) {
                absent += Math.min(end, index.spanEnd(span)) - Math.max(start, index.spanStart(span));
            }
        }
        return absent;
    }

    /** What was seen last, if that was lately; else what is seen now. */
    Held recent(KnownLayer layer) {
        Seen last = seen.get(layer.index().layer());
        return last != null && System.nanoTime() - last.nanos() < GOOD_NANOS ? last.held() : look(layer);
    }
}
