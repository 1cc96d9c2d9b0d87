package dev.coldstart.snapshotter.fetch;

import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * The readers of a layer: each large object has its own, so that readers of several are not taken for one that jumps; small
 * objects share one, because files that are used one after the other often lie one behind the other.
 */
final class ReadAheads {
    /** An object with fewer pieces is small. */
    private static final int LARGE = 3;

    private static final int SLOTS = 64;

    private final AtomicReferenceArray<@Nullable ReadAhead> large = new AtomicReferenceArray<>(SLOTS);
    private final ReadAhead small;

    ReadAheads(int spans) {
        small = new ReadAhead(-1, spans);
    }

    /** The one of an object that misses; of two whose rows collide the later one is remembered. */
    ReadAhead of(KnownLayer layer, int row) {
        ReadAhead known = find(row);
        if (known != small || layer.pieces(row) < LARGE) {
            return known;
        }
        ReadAhead fresh = new ReadAhead(row, layer.lastSpan(row) + 1);
        large.set(row % SLOTS, fresh);
        return fresh;
    }

    /** The one of an object, as far as it is remembered. Neither allocates nor waits. */
    ReadAhead find(int row) {
        ReadAhead found = large.get(row % SLOTS);
        return found != null && found.row() == row ? found : small;
    }
}
