package dev.coldstart.snapshotter.object;

import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ProgressListener;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Indexes of generated layers, as a node would have them, and their bytes as a registry would. */
final class IndexedLayers implements Retention, Source {
    final Set<Digest> pinned = new HashSet<>();
    final Map<Digest, Instant> used = new HashMap<>();
    final List<Digest> forgotten = new ArrayList<>();
    boolean reachable = true;
    private final Path directory;
    private final List<Known> known = new ArrayList<>();

    private record Known(TestLayer data, Path index) {}

    IndexedLayers(Path directory) {
        this.directory = directory;
    }

    /** The later a layer is added, the more recently it was used. */
    TestLayer add(long seed) throws IOException {
        return add(TestLayer.generate(seed));
    }

    /** A layer that has the same objects as another, in another blob. */
    TestLayer twin(TestLayer other) throws IOException {
        byte[] longer = Arrays.copyOf(other.tar(), other.tar().length + 512);
        return add(new TestLayer(other.files(), longer, longer));
    }

    private TestLayer add(TestLayer data) throws IOException {
        Path index = directory.resolve(data.digest().hex() + ".idx");
        var _ = LayerIndexer.index(
                new ByteArrayInputStream(data.blob()),
                data.digest(),
                data.diffId(),
                index,
                directory.resolve(data.digest().hex() + ".erofs"),
                null,
                ProgressListener.NONE);
        known.add(new Known(data, index));
        return data;
    }

    LayerIndex index(TestLayer layer) throws IOException {
        return LayerIndex.open(directory.resolve(layer.digest().hex() + ".idx"));
    }

    static byte[] bytes(TestLayer layer, LayerIndex index, int row) {
        int offset = (int) index.objectOffset(row);
        return Arrays.copyOfRange(layer.tar(), offset, offset + (int) index.objectSize(row));
    }

    @Override
    public List<Layer> layers() throws IOException {
        List<Layer> layers = new ArrayList<>();
        for (Known one : known) {
            layers.add(new Layer(
                    one.data().digest(),
                    LayerIndex.open(one.index()),
                    used.getOrDefault(one.data().digest(), Instant.ofEpochSecond(layers.size())),
                    isPinned(one.data().digest()),
                    false));
        }
        return layers;
    }

    @Override
    public boolean isPinned(Digest layer) {
        return pinned.contains(layer);
    }

    @Override
    public long forget(Digest layer) {
        forgotten.add(layer);
        return 1;
    }

    @Override
    public void fetch(ObjectName name, Sink sink) throws IOException {
        byte[] found = reachable ? find(name) : null;
        if (found == null) {
            throw new IOException("the registry is gone");
        }
        for (int at = 0; at < found.length; at += 1 << 20) {
            int length = Math.min(1 << 20, found.length - at);
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment part = arena.allocate(length);
                MemorySegment.copy(found, at, part, ValueLayout.JAVA_BYTE, 0, length);
                sink.write(part, at);
            }
        }
    }

    byte @Nullable [] find(ObjectName name) throws IOException {
        for (Known one : known) {
            try (LayerIndex index = LayerIndex.open(one.index())) {
                int row = index.find(name);
                if (row >= 0) {
                    return Objects.requireNonNull(bytes(one.data(), index, row));
                }
            }
        }
        return null;
    }
}
