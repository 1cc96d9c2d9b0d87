package dev.coldstart.snapshotter.object;

import dev.coldstart.linux.FileAttributes;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntToLongFunction;
import org.jspecify.annotations.Nullable;

/**
 * Keeps the store within its bounds. First go objects that no layer has, then those of layers that nobody pins, the least
 * recently used layer first, then indexes and trees of layers that no snapshot stands on, which a registry's whole blob must
 * be read for to have them again, and of pinned layers pieces of objects that are not complete: the kernel looks for
 * complete objects only, and remembers where it found them. An object that several layers have goes with the last of them.
 */
final class Eviction {
    private static final System.Logger LOG = System.getLogger(Eviction.class.getName());
    /** Others fill the disk without telling us. */
    private static final long LOOK_SECONDS = 5;
    /** After an eviction that did not find enough. */
    private static final Duration PAUSE = Duration.ofSeconds(60);
    /** A layer that is being read for the first time has no index yet. */
    private static final Duration ORPHAN_AGE = Duration.ofHours(1);

    /** What was indexed just now is about to be pulled. */
    private static final Duration FRESH = Duration.ofHours(1);

    private final ObjectStore store;
    private final Room room;
    private final Retention retention;
    private Instant next = Instant.MIN;
    private boolean shut;

    Eviction(ObjectStore store, Room room, Retention retention) {
        this.store = store;
        this.room = room;
        this.retention = retention;
    }

    Thread start() {
        return Thread.ofPlatform().daemon().name("object-eviction").start(this::run);
    }

    private void run() {
        try {
            count(List.of(), false);
        } catch (IOException e) {
            LOG.log(System.Logger.Level.WARNING, "cannot count what the store uses: {0}", e.getMessage());
        }
        while (true) {
            try {
                look();
            } catch (InterruptedIOException e) {
                return;
            } catch (IOException | RuntimeException e) {
                LOG.log(System.Logger.Level.WARNING, "cannot make room in the store: {0}", e.toString());
                next = Instant.now().plus(PAUSE);
            }
            try {
                room.await(LOOK_SECONDS);
            } catch (InterruptedException e) {
                return;
            }
        }
    }

    /** Makes room if it is needed. */
    void look() throws IOException {
        boolean refused = room.takeRefusal();
        boolean due = room.takeReconsideration() || !Instant.now().isBefore(next);
        long left = room.left();
        if (left <= 0) {
            room.close();
            shut = true;
        }
        if (due && (left < room.slack() || refused || shut)) {
            long goal = Math.max(2 * room.slack() - left, refused ? room.slack() : 0);
            long freed = goal <= 0 ? 0 : evict(goal);
            next = freed < goal ? Instant.now().plus(PAUSE) : Instant.MIN;
            left = room.left();
            if (left <= 0) {
                room.warn("everything that the store must not let go fills it to its bound");
            } else if (refused && freed == 0) {
                room.warn("the file system has no space left");
            }
        }
        if (left >= room.slack() || (!shut && left > 0)) {
            shut = false;
            if (!refused) {
                room.reopen();
            }
        }
    }

    /** Lets objects go until so many bytes are given back; returns how many were. */
    long evict(long goal) throws IOException {
        List<Retention.Layer> layers = retention.layers();
        try {
            boolean mayHaveUnknown = layers.stream().anyMatch(layer -> layer.pinned() && layer.index() == null);
            long freed = count(layers, !mayHaveUnknown);
            Map<Long, List<ObjectName>> partials = partials();
            for (int i = 0; i < layers.size() && freed < goal; i++) {
                Retention.Layer layer = layers.get(i);
                if (!layer.pinned() && !retention.isPinned(layer.digest())) {
                    freed += evictPartials(layer, partials, goal - freed);
                    freed += evictComplete(layer, layers, i, goal - freed);
                }
            }
            Instant young = Instant.now().minus(FRESH);
            for (int i = 0; i < layers.size() && freed < goal; i++) {
                Retention.Layer layer = layers.get(i);
                if (!layer.pinned() && layer.used().isBefore(young)) {
                    freed += retention.forget(layer.digest());
                }
            }
            for (int i = 0; i < layers.size() && freed < goal; i++) {
                freed += evictPartials(layers.get(i), partials, goal - freed);
            }
            if (freed > 0) {
                LOG.log(System.Logger.Level.DEBUG, "the store let {0} bytes of objects go", freed);
            }
            return freed;
        } finally {
            layers.forEach(Retention.Layer::close);
        }
    }

    private long evictComplete(Retention.Layer layer, List<Retention.Layer> layers, int at, long goal)
            throws IOException {
        LayerIndex index = layer.index();
        long freed = 0;
        for (int row = 0; index != null && row < index.objectCount() && freed < goal; row++) {
            ObjectName name = index.objectName(row);
            if (!isNeeded(name, layers, at)) {
                freed += store.evict(name);
            }
        }
        return freed;
    }

    /** Whether a layer has the object that is pinned, or was used later than the one at {@code at}. */
    static boolean isNeeded(ObjectName name, List<Retention.Layer> layers, int at) {
        for (int i = 0; i < layers.size(); i++) {
            if (i != at && (i > at || layers.get(i).pinned()) && layers.get(i).has(name)) {
                return true;
            }
        }
        return false;
    }

    private long evictPartials(Retention.Layer layer, Map<Long, List<ObjectName>> partials, long goal)
            throws IOException {
        LayerIndex index = layer.index();
        long cut = layer.cut();
        long freed = 0;
        for (ObjectName name : partials.getOrDefault(cut, List.of())) {
            int row = index == null ? -1 : index.find(name);
            if (index == null || row < 0 || freed >= goal) {
                continue;
            }
            freed += store.evictPieces(name, cut, starts(index, row), goal - freed);
        }
        return freed;
    }

    /** Where an object's pieces start in it, by this layer's spans. */
    static IntToLongFunction starts(LayerIndex index, int row) {
        long offset = index.objectOffset(row);
        long size = index.objectSize(row);
        int first = index.spanAt(offset);
        int last = index.spanAt(offset + size - 1);
        return piece -> first + piece > last ? size : Math.max(0, index.spanStart(first + piece) - offset);
    }

    private Map<Long, List<ObjectName>> partials() throws IOException {
        Map<Long, List<ObjectName>> byCut = new HashMap<>();
        for (Path file : store.partials()) {
            ObjectName name = partialName(file);
            if (name != null) {
                byCut.computeIfAbsent(partialCut(file), cut -> new ArrayList<>())
                        .add(name);
            }
        }
        return byCut;
    }

    /** Counts what is used, and removes what no layer has; returns the bytes removed. */
    private long count(List<Retention.Layer> layers, boolean removeOrphans) throws IOException {
        long before = room.used();
        long used = 0;
        long freed = 0;
        Instant old = Instant.now().minus(ORPHAN_AGE);
        for (int i = 0; i < 256; i++) {
            Path prefix = store.prefix(i);
            try (DirectoryStream<Path> files = Files.newDirectoryStream(prefix)) {
                for (Path file : files) {
                    used += allocated(file);
                    ObjectName name = objectName(prefix, file);
                    if (removeOrphans && name != null && isOrphan(name, layers, file, old)) {
                        freed += store.evict(name);
                    }
                }
            }
        }
        for (Path file : store.partials()) {
            used += allocated(file);
            ObjectName name = partialName(file);
            if (removeOrphans && name != null) {
                long cut = partialCut(file);
                boolean known = layers.stream().anyMatch(layer -> layer.cut() == cut && layer.has(name));
                if (!known) {
                    freed += Math.max(0, store.evictPartial(name, cut));
                }
            }
        }
        room.counted(used, before);
        return freed;
    }

    private static boolean isOrphan(ObjectName name, List<Retention.Layer> layers, Path file, Instant old)
            throws IOException {
        for (Retention.Layer layer : layers) {
            if (layer.has(name)) {
                return false;
            }
        }
        try {
            return Files.getLastModifiedTime(file).toInstant().isBefore(old);
        } catch (NoSuchFileException e) {
            return false;
        }
    }

    private static long allocated(Path file) throws IOException {
        try {
            return FileAttributes.allocatedBytes(file);
        } catch (LinuxException e) {
            if (Files.exists(file)) {
                throw e;
            }
            return 0;
        }
    }

    static @Nullable ObjectName objectName(Path prefix, Path file) {
        try {
            return ObjectName.parse("" + prefix.getFileName() + file.getFileName());
        } catch (IllegalArgumentException e) {
            return null;
        }
    }

    private static @Nullable ObjectName partialName(Path file) {
        String name = file.getFileName().toString();
        return name.matches("[0-9a-f]{64}\\.[0-9a-f]{16}") ? ObjectName.parse(name.substring(0, 64)) : null;
    }

    private static long partialCut(Path file) {
        return Long.parseUnsignedLong(file.getFileName().toString().substring(65), 16);
    }
}
