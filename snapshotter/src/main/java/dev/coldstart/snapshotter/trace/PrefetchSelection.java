package dev.coldstart.snapshotter.trace;

import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.Prefetch;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.object.PartialObject;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Which bytes of a layer go into its prefetch blob. Objects that a start reads some of go whole if they are small, by blocks
 * if not. Of spans that are read nearly whole nothing goes: they come from the layer's blob, which everybody can verify.
 */
final class PrefetchSelection {
    /** A span of which more than this part is read is no more to fetch than its packed bytes. */
    private static final double DENSE = 0.75;
    /** The kernel reads an object of this size by one request, or two. */
    private static final long SMALL = 256 << 10;
    /** Long ranges are cut, so that a reader of their start need not wait for their end. */
    private static final int LONGEST = 256 << 10;
    /** All of a layer; what a start reads later than this is fetched by spans. */
    private static final long MOST_BYTES = 512L << 20;

    private final KnownLayer layer;
    private final LayerIndex index;
    /** Blocks that were chosen, by row. */
    private final Map<Integer, BitSet> chosen = new HashMap<>();

    private final List<Prefetch.Range> ranges = new ArrayList<>();
    private long bytes;

    private PrefetchSelection(KnownLayer layer) {
        this.layer = layer;
        this.index = layer.index();
    }

    /** In the order of the trace; each is of one object and at most as long as a prefetch blob's may be. */
    static List<Prefetch.Range> of(KnownLayer layer, LayerTrace trace) {
        PrefetchSelection selection = new PrefetchSelection(layer);
        trace.ranges().forEach(selection::read);
        return selection.sparse();
    }

    private void read(LayerTrace.Range range) {
        long end = range.offset() + range.length();
        for (int i = index.firstObjectBehind(range.offset()); i < index.objectCount(); i++) {
            int row = index.byOffset(i);
            long offset = index.objectOffset(row);
            if (offset >= end) {
                return;
            }
            long size = index.objectSize(row);
            boolean whole = size <= SMALL || layer.pieces(row) == 1;
            if (whole && size <= PrefetchBlob.LONGEST_RANGE) {
                choose(row, 0, size);
            } else if (!whole) {
                choose(row, Math.max(0, range.offset() - offset), Math.min(size, end - offset));
            }
        }
    }

    private void choose(int row, long from, long to) {
        int block = (int) (from / PartialObject.BLOCK);
        int behind = (int) ((to + PartialObject.BLOCK - 1) / PartialObject.BLOCK);
        BitSet blocks = chosen.computeIfAbsent(row, absent -> new BitSet());
        long size = index.objectSize(row);
        while (bytes < MOST_BYTES) {
            int first = blocks.nextClearBit(block);
            int next = blocks.nextSetBit(first);
            int last = next < 0 ? behind : Math.min(next, behind);
            if (first >= last) {
                return;
            }
            blocks.set(first, last);
            add(row, (long) first * PartialObject.BLOCK, Math.min(size, (long) last * PartialObject.BLOCK));
            block = last;
        }
    }

    private void add(int row, long from, long to) {
        boolean whole = to - from == index.objectSize(row) && to - from <= PrefetchBlob.LONGEST_RANGE;
        for (long at = from; at < to; ) {
            int length = (int) (whole ? to - from : Math.min(LONGEST, to - at));
            ranges.add(new Prefetch.Range(index.objectOffset(row) + at, length));
            at += length;
            bytes += length;
        }
    }

    /** What was chosen, but for the parts that lie in dense spans. */
    private List<Prefetch.Range> sparse() {
        long[] covered = new long[index.spanCount()];
        for (Prefetch.Range range : ranges) {
            for (int span = first(range); span <= last(range); span++) {
                covered[span] += Math.min(end(range), index.spanEnd(span)) - start(range, span);
            }
        }
        List<Prefetch.Range> left = new ArrayList<>();
        for (Prefetch.Range range : ranges) {
            long from = -1;
            for (int span = first(range); span <= last(range); span++) {
                boolean dense = covered[span] > DENSE * (index.spanEnd(span) - index.spanStart(span));
                if (!dense && from < 0) {
                    from = start(range, span);
                } else if (dense && from >= 0) {
                    left.add(blocks(range, from, start(range, span)));
                    from = -1;
                }
            }
            if (from >= 0) {
                left.add(blocks(range, from, end(range)));
            }
        }
        return left;
    }

    /** A part of a range, in whole blocks of the object: parts of one from a span and from here would make none. */
    private static Prefetch.Range blocks(Prefetch.Range range, long from, long to) {
        long first = (from - range.offset()) / PartialObject.BLOCK * PartialObject.BLOCK;
        long last = (to - range.offset() + PartialObject.BLOCK - 1) / PartialObject.BLOCK * PartialObject.BLOCK;
        return new Prefetch.Range(range.offset() + first, (int) (Math.min(last, range.length()) - first));
    }

    private static long end(Prefetch.Range range) {
        return range.offset() + range.length();
    }

    private int first(Prefetch.Range range) {
        return index.spanAt(range.offset());
    }

    private int last(Prefetch.Range range) {
        return index.spanAt(end(range) - 1);
    }

    /** Where a range's part in a span starts. */
    private long start(Prefetch.Range range, int span) {
        return Math.max(range.offset(), index.spanStart(span));
    }
}
