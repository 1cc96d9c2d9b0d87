package dev.coldstart.snapshotter.fetch;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.object.ObjectStore;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/** A layer whose index is open, under the number by which the remote tier names it; lives as long as the process. */
public final class KnownLayer {
    private final int ordinal;
    private final LayerIndex index;
    private final long cut;
    private final ObjectFilter filter;
    /** Whether somebody has used the index since the last {@link #rest}. */
    private volatile boolean used;
    /** Whether pages of the index may be in this process's memory. */
    private boolean awake;

    /** Spans of which every object is known to be here; guarded by itself. */
    private final BitSet held;

    private long heldSince;

    private final ReadAheads readAheads;
    private volatile @Nullable Accesses accesses;
    private volatile @Nullable Prefetch prefetch;

    KnownLayer(int ordinal, LayerIndex index) {
        this.ordinal = ordinal;
        this.index = index;
        this.cut = ObjectStore.cut(index);
        this.held = new BitSet(index.spanCount());
        this.readAheads = new ReadAheads(index.spanCount());
        this.filter = new ObjectFilter(index);
        // All names were looked at.
        index.forget();
    }

    /** From 1 up; see {@link LayerOrdinals}. */
    public int ordinal() {
        return ordinal;
    }

    /** Its index, to be used now: asked for again and again it stays in memory. */
    public LayerIndex index() {
        // Nearly always true already, and then not written: many threads read it.
        if (!used) {
            used = true;
        }
        return index;
    }

    /** Whether the layer has the object; looks at its index only if it is likely to. */
    boolean has(ObjectName name) {
        if (!filter.mayHave(name)) {
            return false;
        }
        return index().find(name) >= 0;
    }

    /** Its digest. */
    Digest digest() {
        return index.layer();
    }

    /** Lets go of the memory of an index that nobody has used since the last call, by one thread at a time. */
    void rest() {
        if (used) {
            used = false;
            awake = true;
        } else if (awake) {
            awake = false;
            index.forget();
        }
    }

    /** How this layer cuts its objects into pieces: one piece for each span that has some of the object's bytes. */
    public long cut() {
        return cut;
    }

    /** The span with the object's first byte. */
    public int firstSpan(int row) {
        return index.spanAt(index.objectOffset(row));
    }

    /** The span with the object's last byte. */
    public int lastSpan(int row) {
        return index.spanAt(index.objectOffset(row) + index.objectSize(row) - 1);
    }

    /** Number of pieces of an object. */
    public int pieces(int row) {
        return lastSpan(row) - firstSpan(row) + 1;
    }

    ReadAheads readAheads() {
        return readAheads;
    }

    @Nullable
    Accesses accesses() {
        return accesses;
    }

    /** From now on tells this one, and nobody else, what is read; null to tell nobody. */
    public void watch(@Nullable Accesses watcher) {
        accesses = watcher;
    }

    /** What is on its way to a start, so that readers need not ask for it; null if nothing is. */
    @Nullable
    Prefetch prefetch() {
        return prefetch;
    }

    void expect(@Nullable Prefetch coming) {
        prefetch = coming;
    }

    /** @param evictions of the store: what was held before some may be gone */
    boolean isHeld(int span, long evictions) {
        synchronized (held) {
            return heldSince == evictions && held.get(span);
        }
    }

    /** @param evictions of the store before the span's objects were found to be there */
    void markHeld(int span, long evictions) {
        synchronized (held) {
            if (heldSince != evictions) {
                held.clear();
                heldSince = evictions;
            }
            held.set(span);
        }
    }
}
