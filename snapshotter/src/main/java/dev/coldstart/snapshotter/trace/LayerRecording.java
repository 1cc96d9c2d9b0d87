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
        long first = from >> BLOCK_BITS;
        long last = (to - 1) >> BLOCK_BITS;
        for (int word = (int) (first >> 6); word <= last >> 6; word++) {
            // Mostly all were; of two readers who find some new the second is told when it has its turn.
            if ((mask(word, first, last) & ~seen.get(word)) != 0) {
                note(from, to);
                return;
            }
        }
    }

    /** The bits of a word that stand for blocks {@code first} to {@code last}, inclusive. */
    private static long mask(int word, long first, long last) {
        long mask = -1;
        if (word == first >> 6) {
            mask <<= first;
        }
        if (word == last >> 6) {
            mask &= -1L >>> (63 - (last & 63));
        }
        return mask;
    }

    private synchronized void note(long from, long to) {
        long first = from >> BLOCK_BITS;
        long last = (to - 1) >> BLOCK_BITS;
        long now = System.nanoTime();
        int millis = (int) ((now - began) / 1_000_000);
        // The first block of the new ones that the walk is among; -1 among others.
        long start = -1;
        for (int word = (int) (first >> 6); word <= last >> 6; word++) {
            long mask = mask(word, first, last);
            long before = seen.get(word);
            long fresh = mask & ~before;
            if (fresh != 0) {
                seen.set(word, before | mask);
                newest = now;
            }
            int bit = 0;
            while (bit < 64) {
                long rest = fresh >>> bit;
                bit += Long.numberOfTrailingZeros(start < 0 ? rest : ~rest);
                if (bit >= 64) {
                    break;
                }
                long block = ((long) word << 6) + bit;
                if (start < 0) {
                    start = block;
                } else {
                    add(from, to, start, block, millis);
                    start = -1;
                }
            }
        }
        if (start >= 0) {
            add(from, to, start, last + 1, millis);
        }
    }

    /** Notes what of a read is in blocks {@code start} to {@code end}, exclusive. */
    private void add(long from, long to, long start, long end, int millis) {
        long begin = Math.max(from, start << BLOCK_BITS);
        ranges.add(new LayerTrace.Range(begin, (int) (Math.min(to, end << BLOCK_BITS) - begin), millis));
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
