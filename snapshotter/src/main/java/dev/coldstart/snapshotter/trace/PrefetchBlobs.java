package dev.coldstart.snapshotter.trace;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.Prefetch;
import dev.coldstart.snapshotter.fetch.SpanFetcher;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.PartialObject;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Makes prefetch blobs of layers that were started here, for other nodes, of what is on disk. */
public final class PrefetchBlobs implements PrefetchWriter {
    private final KnownLayers known;
    private final ObjectStore store;
    private final TraceFiles traces;

    public PrefetchBlobs(KnownLayers known, ObjectStore store, TraceFiles traces) {
        this.known = known;
        this.store = store;
        this.traces = traces;
    }

    @Override
    public boolean write(Digest digest, OutputStream to) throws IOException {
        KnownLayer layer = known.find(digest);
        LayerTrace trace = layer == null ? null : traces.find(digest);
        if (layer == null || trace == null) {
            return false;
        }
        try (Source source = new Source(layer)) {
            List<Prefetch.Range> ranges = PrefetchSelection.of(layer, trace).stream()
                    .filter(source::isHere)
                    .toList();
            if (ranges.isEmpty()) {
                return false;
            }
            PrefetchBlob.write(to, digest, ranges, source);
            return true;
        }
    }

    /** A layer's objects, each opened for one range: there may be thousands. */
    private final class Source implements PrefetchBlob.Bytes, AutoCloseable {
        private final KnownLayer layer;
        private final LayerIndex index;
        private final Set<Integer> sound = new HashSet<>();
        private final Arena arena = Arena.ofConfined();
        private final CallState state = new CallState(arena);
        private final MemorySegment buffer = arena.allocate(PrefetchBlob.LONGEST_RANGE);

        Source(KnownLayer layer) {
            this.layer = layer;
            this.index = layer.index();
        }

        private int row(Prefetch.Range range) {
            return index.byOffset(index.firstObjectBehind(range.offset()));
        }

        private PartialObject acquire(int row) {
            return store.acquire(index.objectName(row), index.objectSize(row), layer.pieces(row), layer.cut());
        }

        private void release(int row) {
            store.release(index.objectName(row), layer.cut());
        }

        boolean isHere(Prefetch.Range range) {
            int row = row(range);
            PartialObject object = acquire(row);
            try {
                return isHere(range, row, object);
            } finally {
                release(row);
            }
        }

        private boolean isHere(Prefetch.Range range, int row, PartialObject object) {
            return SpanFetcher.isHere(layer, row, object, range.offset() - index.objectOffset(row), range.length());
        }

        @Override
        public void read(Prefetch.Range range, byte[] into) throws IOException {
            int row = row(range);
            ObjectName name = index.objectName(row);
            PartialObject object = acquire(row);
            try {
                // Others cannot compare parts of an object with its name.
                if (object.complete() && sound.add(row) && !store.isSound(state, name)) {
                    throw new IOException("object " + name + " has wrong bytes on disk");
                }
                long evictions = object.evictions();
                long offset = range.offset() - index.objectOffset(row);
                if (!isHere(range, row, object)
                        || object.read(state, buffer, range.length(), offset, evictions) != range.length()) {
                    throw new IOException("object " + name + " cannot be read any more");
                }
            } finally {
                release(row);
            }
            MemorySegment.copy(buffer, ValueLayout.JAVA_BYTE, 0, into, 0, range.length());
        }

        @Override
        public void close() {
            arena.close();
        }
    }
}
