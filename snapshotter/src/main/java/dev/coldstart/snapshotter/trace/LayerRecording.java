package dev.coldstart.snapshotter.trace;

import dev.coldstart.snapshotter.fetch.Accesses;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.Prefetch;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLongArray;
import org.jspecify.annotations.Nullable;

/** Which bytes of a layer were read since containers began to start, each at its first read. */
final class LayerRecording implements Accesses, AutoCloseable {
    /** Of a tar: no two of its files share a block, so what is noted of one says nothing of the next. */
    private static final int BLOCK_BITS = 9;

    private final KnownLayer layer;
    private final long began = System.nanoTime();
    /** One bit for each block of the uncompressed tar. */
    private final AtomicLongArray seen;

    private final List<LayerTrace.Range> ranges = new ArrayList<>();
    /** Of the last bytes that were new; {@link #began} if none were. */
    private volatile long newest = began;
    /** What was packed for starts and has come; guarded by whoever has the recordings, as is what follows. */
    private @Nullable Prefetch prefetch;
    /** Starts that go on. */
    private int users;

    LayerRecording(KnownLayer layer) {
        this.layer = layer;
        long blocks = (layer.index().uncompressedSize() >> BLOCK_BITS) + 1;
        this.seen = new AtomicLongArray((int) ((blocks + 63) / 64));
    }

    KnownLayer layer() {
        return layer;
    }

    @Override
    public void read(long from, long to) {
        long last = (to - 1) >> BLOCK_BITS;
        for (long block = from >> BLOCK_BITS; block <= last; block++) {
            // Mostly all were; of two readers who find some new the second is told when it has its turn.
            if (!isSeen(block)) {
                note(from, to);
                return;
            }
        }
    }

    private boolean isSeen(long block) {
        return (seen.get((int) (block >> 6)) & (1L << block)) != 0;
    }

    private synchronized void note(long from, long to) {
        long now = System.nanoTime();
        int millis = (int) ((now - began) / 1_000_000);
        long start = -1;
        for (long block = from >> BLOCK_BITS; (block << BLOCK_BITS) < to; block++) {
            if (isSeen(block)) {
                start = add(start, block << BLOCK_BITS, millis);
                continue;
            }
            int word = (int) (block >> 6);
            seen.set(word, seen.get(word) | (1L << block));
            start = start < 0 ? Math.max(from, block << BLOCK_BITS) : start;
            newest = now;
        }
        var _ = add(start, to, millis);
    }

    private long add(long start, long end, int millis) {
        if (start >= 0) {
            ranges.add(new LayerTrace.Range(start, (int) (end - start), millis));
        }
        return -1;
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

    /** Keeps it open until no start goes on any more. */
    void has(Prefetch coming) {
        prefetch = coming;
    }

    /** Returns whether no start goes on any more. */
    boolean unuse() {
        return --users == 0;
    }

    @Override
    public void close() {
        layer.watch(null);
        if (prefetch != null) {
            prefetch.close();
        }
    }
}
