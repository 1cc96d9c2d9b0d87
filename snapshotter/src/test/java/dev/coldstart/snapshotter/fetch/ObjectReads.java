package dev.coldstart.snapshotter.fetch;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.PartialObject;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Reads of objects as the remote tier makes them: the object is open as long as the read takes. */
record ObjectReads(SpanFetcher fetcher, ObjectStore store) {
    byte[] read(KnownLayer layer, int row, long offset, int length) throws IOException {
        LayerIndex index = layer.index();
        ObjectName name = index.objectName(row);
        PartialObject object = store.acquire(name, index.objectSize(row), layer.pieces(row), layer.cut());
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment into = arena.allocate(length);
            fetcher.read(layer, row, object, new CallState(arena), into, length, offset, fetcher.deadline());
            return into.toArray(ValueLayout.JAVA_BYTE);
        } finally {
            store.release(name, layer.cut());
        }
    }
}
