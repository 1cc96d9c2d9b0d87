package dev.coldstart.snapshotter.trace;

import dev.coldstart.snapshotter.fetch.Accesses;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.layer.LayerIndex;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLongArray;

/** Which spans of a layer were read since containers began to start, each at its first read. */
final class LayerRecording implements Accesses {
    private final KnownLayer layer;
    private final long began = System.nanoTime();
    private final AtomicLongArray seen;
    private final List<LayerTrace.Range> ranges = new ArrayList<>();
    /** Of the last span that was new; {@link #began} if none was. */
    private volatile long newest = began;
    /** Starts that go on; guarded by whoever has the recordings. */
    private int users;

    LayerRecording(KnownLayer layer) {
        this.layer = layer;
        this.seen = new AtomicLongArray((layer.index().spanCount() + 63) / 64);
    }

    KnownLayer layer() {
        return layer;
    }

    @Override
    public void read(int first, int last) {
        for (int span = first; span <= last; span++) {
            // Most have been; a span that two readers find new is told from its range.
            if ((seen.get(span >> 6) & 1L << span) == 0) {
                note(span);
            }
        }
    }

    private synchronized void note(int span) {
        long bits = seen.get(span >> 6);
        if ((bits & 1L << span) != 0) {
            return;
        }
        seen.set(span >> 6, bits | 1L << span);
        LayerIndex index = layer.index();
        long now = System.nanoTime();
        ranges.add(
                new LayerTrace.Range(index.spanStart(span), (int) (index.spanEnd(span) - index.spanStart(span)), (int)
                        ((now - began) / 1_000_000)));
        newest = now;
    }

    /** What was read so far, in its order. */
    synchronized List<LayerTrace.Range> ranges() {
        return List.copyOf(ranges);
    }

    /** When something was read that had not been, by {@link System#nanoTime}; before {@code since} if nothing was. */
    long newest(long since) {
        return newest == began ? since - 1 : newest;
    }

    void use() {
        users++;
    }

    /** Returns whether no start goes on any more. */
    boolean unuse() {
        return --users == 0;
    }
}
