package dev.coldstart.snapshotter.metadata;

import dev.coldstart.snapshotter.layer.Digest;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** All snapshots and layer sources at one moment; never changes. */
public final class Catalog {
    private final Map<String, Snapshot> snapshots;
    private final Map<Digest, Set<LayerSource>> sources;
    private final long nextId;

    Catalog(Map<String, Snapshot> snapshots, Map<Digest, Set<LayerSource>> sources, long nextId) {
        this.snapshots = snapshots;
        this.sources = sources;
        this.nextId = nextId;
    }

    static Catalog empty() {
        return new Catalog(Map.of(), Map.of(), 1);
    }

    public @Nullable Snapshot find(String name) {
        return snapshots.get(name);
    }

    /** Every snapshot, in no order. */
    public Collection<Snapshot> snapshots() {
        return Collections.unmodifiableCollection(snapshots.values());
    }

    /** Where this layer can be fetched, in the order in which that was said: the likeliest first. Empty if nobody said. */
    public Set<LayerSource> sources(Digest layer) {
        return Collections.unmodifiableSet(sources.getOrDefault(layer, Set.of()));
    }

    /** All layers that somebody named a source for. */
    public Set<Digest> layersWithSources() {
        return Collections.unmodifiableSet(sources.keySet());
    }

    /** Whether a snapshot's content is this layer's tree. */
    public boolean uses(Digest layer) {
        return snapshots.values().stream().anyMatch(snapshot -> layer.equals(snapshot.layer()));
    }

    long nextId() {
        return nextId;
    }

    /** A copy to change. */
    Draft draft() {
        return new Draft(this);
    }

    /** A catalog that is being changed, by one thread. */
    static final class Draft {
        private final Map<String, Snapshot> snapshots;
        private final Map<Digest, Set<LayerSource>> sources;
        private long nextId;

        private Draft(Catalog from) {
            this.snapshots = new LinkedHashMap<>(from.snapshots);
            this.sources = new HashMap<>(from.sources);
            this.nextId = from.nextId;
        }

        @Nullable
        Snapshot find(String name) {
            return snapshots.get(name);
        }

        /** A committed snapshot of this parent whose name begins so; null if there is none. */
        @Nullable
        Snapshot findOn(String parent, String beginning) {
            return snapshots.values().stream()
                    .filter(snapshot -> snapshot.kind() == Snapshot.Kind.COMMITTED
                            && snapshot.parent().equals(parent)
                            && snapshot.name().startsWith(beginning))
                    .findFirst()
                    .orElse(null);
        }

        boolean hasChildren(String name) {
            return snapshots.values().stream()
                    .anyMatch(snapshot -> snapshot.parent().equals(name));
        }

        long nextId() {
            return nextId;
        }

        void apply(Change change) {
            switch (change) {
                case Change.Put(Snapshot snapshot) -> {
                    snapshots.put(snapshot.name(), snapshot);
                    nextId = Math.max(nextId, snapshot.id() + 1);
                }
                case Change.Drop(String name) -> snapshots.remove(name);
                case Change.AddSource(LayerSource source) -> {
                    Set<LayerSource> known = new LinkedHashSet<>(sources.getOrDefault(source.layer(), Set.of()));
                    known.add(source);
                    sources.put(source.layer(), known);
                }
                case Change.Reserve(long id) -> nextId = Math.max(nextId, id);
            }
        }

        Catalog finish() {
            return new Catalog(snapshots, sources, nextId);
        }
    }

    /** One line of the log. */
    sealed interface Change {
        /** The snapshot is as given, whether it was there or not. */
        record Put(Snapshot snapshot) implements Change {}

        record Drop(String name) implements Change {}

        record AddSource(LayerSource source) implements Change {}

        /** Ids below this were used. */
        record Reserve(long id) implements Change {}
    }
}
