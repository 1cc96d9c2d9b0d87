package dev.coldstart.snapshotter.fuse;

import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.PartialObject;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * The objects that were read last, open. The kernel says neither when it opens nor when it closes, so an object is opened
 * by the first read and closed when many others were read after it. Finding an open one allocates nothing and waits for
 * nobody.
 */
final class OpenObjects {
    private final ObjectStore store;
    private final int most;
    private final AtomicInteger count = new AtomicInteger();
    private final ConcurrentLinkedQueue<Held> clock = new ConcurrentLinkedQueue<>();
    /** By ordinal, then by row; a layer gets its array with its first read. */
    private volatile @Nullable AtomicReferenceArray<@Nullable Held>[] layers = newArray(16);

    /** @param most how many stay open, besides those that a read has just now */
    OpenObjects(ObjectStore store, int most) {
        this.store = store;
        this.most = most;
    }

    /** An object that somebody may be reading; given back by {@link #release}. */
    final class Held {
        private static final int CLOSED = -1;

        private final KnownLayer layer;
        private final int row;
        private final PartialObject object;
        private final AtomicInteger readers = new AtomicInteger(1);
        private volatile boolean recent = true;

        Held(KnownLayer layer, int row, PartialObject object) {
            this.layer = layer;
            this.row = row;
            this.object = object;
        }

        KnownLayer layer() {
            return layer;
        }

        int row() {
            return row;
        }

        PartialObject object() {
            return object;
        }

        /** Ends a read. */
        void release() {
            readers.decrementAndGet();
        }

        private boolean enter() {
            int now = readers.get();
            while (now != CLOSED) {
                if (readers.compareAndSet(now, now + 1)) {
                    recent = true;
                    return true;
                }
                now = readers.get();
            }
            return false;
        }

        private void close() {
            store.release(layer.index().objectName(row), layer.cut());
        }
    }

    /** The object of a row, for one read. */
    Held hold(KnownLayer layer, int row) {
        AtomicReferenceArray<@Nullable Held> rows = rows(layer);
        while (true) {
            Held held = rows.get(row);
            if (held != null && held.enter()) {
                return held;
            }
            PartialObject object = store.acquire(
                    layer.index().objectName(row), layer.index().objectSize(row), layer.pieces(row), layer.cut());
            Held fresh = new Held(layer, row, object);
            if (rows.compareAndSet(row, held, fresh)) {
                clock.add(fresh);
                if (count.incrementAndGet() > most) {
                    closeOne();
                }
                return fresh;
            }
            fresh.close();
        }
    }

    /** Goes round like the hand of a clock, past those that were read since it came by. */
    private void closeOne() {
        for (int i = 0; i < 2 * most; i++) {
            Held next = clock.poll();
            if (next == null) {
                return;
            }
            if (!next.recent && next.readers.compareAndSet(0, Held.CLOSED)) {
                var _ = rows(next.layer).compareAndSet(next.row, next, null);
                next.close();
                count.decrementAndGet();
                return;
            }
            next.recent = false;
            clock.add(next);
        }
    }

    private AtomicReferenceArray<@Nullable Held> rows(KnownLayer layer) {
        @Nullable AtomicReferenceArray<@Nullable Held>[] all = layers;
        AtomicReferenceArray<@Nullable Held> rows = layer.ordinal() < all.length ? all[layer.ordinal()] : null;
        return rows == null ? add(layer) : rows;
    }

    private synchronized AtomicReferenceArray<@Nullable Held> add(KnownLayer layer) {
        @Nullable AtomicReferenceArray<@Nullable Held>[] all = layers;
        if (layer.ordinal() >= all.length) {
            all = java.util.Arrays.copyOf(all, Math.max(layer.ordinal() + 1, 2 * all.length));
        }
        AtomicReferenceArray<@Nullable Held> rows = all[layer.ordinal()];
        if (rows == null) {
            rows = new AtomicReferenceArray<>(layer.index().objectCount());
            all[layer.ordinal()] = rows;
        }
        // Publishes the element together with the array.
        layers = all;
        return rows;
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static @Nullable AtomicReferenceArray<@Nullable Held>[] newArray(int length) {
        return new AtomicReferenceArray[length];
    }
}
