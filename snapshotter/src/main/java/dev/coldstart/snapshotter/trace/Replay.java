package dev.coldstart.snapshotter.trace;

import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.Prefetch;
import dev.coldstart.snapshotter.fetch.Wanted;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.object.PartialObject;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;

/** In which order the spans of some layers are fetched so that a start finds them. */
final class Replay {
    private Replay() {}

    /**
     * What is known of one layer.
     *
     * @param packed what of the layer comes by itself: spans with some of it need not be fetched
     * @param bridge bytes of the blob that cost no more than another request: a gap between spans that is not larger is
     *     fetched too
     */
    record Part(KnownLayer layer, LayerTrace trace, List<Prefetch.Range> packed, long bridge) {}

    private record Timed(Wanted wanted, int millis) {}

    /** All spans, each once, by the time of their first reads; what the layers' indexes do not have is left out. */
    static List<Wanted> order(List<Part> parts) {
        List<Timed> all = new ArrayList<>();
        for (Part part : parts) {
            add(all, part);
        }
        all.sort(Comparator.comparingInt(Timed::millis));
        return all.stream().map(Timed::wanted).toList();
    }

    /** The spans that ranges are in, but for those that have no more of one than a part of a block. */
    static BitSet spans(LayerIndex index, List<Prefetch.Range> ranges) {
        BitSet spans = new BitSet(index.spanCount());
        for (Prefetch.Range range : ranges) {
            if (range.offset() < index.uncompressedSize()) {
                long end = Math.min(index.uncompressedSize(), range.offset() + range.length());
                int last = index.spanAt(end - 1);
                for (int span = index.spanAt(range.offset()); span <= last; span++) {
                    long part = Math.min(end, index.spanEnd(span)) - Math.max(range.offset(), index.spanStart(span));
                    if (part == range.length() || part >= PartialObject.BLOCK) {
                        spans.set(span);
                    }
                }
            }
        }
        return spans;
    }

    private static void add(List<Timed> all, Part part) {
        LayerIndex index = part.layer().index();
        BitSet wanted = new BitSet(index.spanCount());
        BitSet packed = spans(index, part.packed());
        List<Timed> own = new ArrayList<>();
        for (LayerTrace.Range range : part.trace().ranges()) {
            if (range.offset() >= index.uncompressedSize()) {
                continue;
            }
            int last = index.spanAt(Math.min(index.uncompressedSize(), range.offset() + range.length()) - 1);
            for (int span = index.spanAt(range.offset()); span <= last; span++) {
                if (!wanted.get(span) && !packed.get(span)) {
                    wanted.set(span);
                    own.add(new Timed(new Wanted(part.layer(), span), range.millis()));
                }
            }
        }
        for (Timed timed : own) {
            all.add(timed);
            int span = timed.wanted().span();
            int next = wanted.nextSetBit(span + 1);
            if (next > span + 1 && index.spanBlobStart(next) - index.spanBlobEnd(span) <= part.bridge()) {
                for (int gap = span + 1; gap < next; gap++) {
                    wanted.set(gap);
                    all.add(new Timed(new Wanted(part.layer(), gap), timed.millis()));
                }
            }
        }
    }
}
