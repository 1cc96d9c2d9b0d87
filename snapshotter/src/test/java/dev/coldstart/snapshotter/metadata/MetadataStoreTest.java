package dev.coldstart.snapshotter.metadata;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.SnapshotException.Reason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MetadataStoreTest {
    private static final Digest LAYER = new Digest("sha256", "ab".repeat(32));

    private static Set<String> describe(Catalog catalog) {
        return catalog.snapshots().stream()
                .map(snapshot -> snapshot.kind() + " " + snapshot.name() + " on " + snapshot.parent() + " "
                        + snapshot.labels() + " " + snapshot.layer())
                .collect(Collectors.toSet());
    }

    /** The states that a log went through, in order, and the log. */
    private static List<Set<String>> history(Path log) throws Exception {
        List<Set<String>> states = new ArrayList<>();
        try (MetadataStore store = MetadataStore.open(log)) {
            states.add(describe(store.catalog()));
            store.create("a", "", Snapshot.Kind.ACTIVE, Map.of("l", "1"));
            states.add(describe(store.catalog()));
            store.commit("a", "A", null, Map.of("k", "v"), -1, -1);
            states.add(describe(store.catalog()));
            store.createRemote("R", "A", LAYER, Map.of(), 7);
            states.add(describe(store.catalog()));
            store.addSource(new LayerSource(LAYER, "example.com:5000", "a/b"));
            store.create("view one", "R", Snapshot.Kind.VIEW, Map.of());
            states.add(describe(store.catalog()));
            store.update("A", labels -> Map.of("k", "w"));
            states.add(describe(store.catalog()));
            store.remove("view one");
            states.add(describe(store.catalog()));
        }
        return states;
    }

    @Test
    void aLogCutAnywhereGivesAStateThatWas(@TempDir Path dir) throws Exception {
        Path log = dir.resolve("log");
        List<Set<String>> states = history(log);
        byte[] whole = Files.readAllBytes(log);
        int last = 0;
        for (int length = 0; length <= whole.length; length++) {
            Path cut = dir.resolve("cut");
            Files.write(cut, java.util.Arrays.copyOf(whole, length));
            try (MetadataStore store = MetadataStore.open(cut)) {
                int state = states.indexOf(describe(store.catalog()));
                assertThat(state).as("state after %d bytes", length).isGreaterThanOrEqualTo(last);
                last = state;
                // And it can be written on.
                store.create("new", "", Snapshot.Kind.ACTIVE, Map.of());
            }
            try (MetadataStore store = MetadataStore.open(cut)) {
                assertThat(store.catalog().find("new")).isNotNull();
            }
            Files.delete(cut);
        }
        assertThat(last).isEqualTo(states.size() - 1);
    }

    @Test
    void aLogWithAnyByteChangedGivesAStateThatWasOrIsRefused(@TempDir Path dir) throws Exception {
        Path log = dir.resolve("log");
        List<Set<String>> states = history(log);
        byte[] whole = Files.readAllBytes(log);
        for (int i = 0; i < whole.length; i++) {
            byte[] flipped = whole.clone();
            flipped[i] ^= 0x41;
            Path file = dir.resolve("flipped");
            Files.write(file, flipped);
            try (MetadataStore store = MetadataStore.open(file)) {
                assertThat(states).as("byte %d", i).contains(describe(store.catalog()));
            } catch (IOException e) {
                assertThat(e).hasMessageContaining("is not a metadata log");
            }
        }
    }

    @Test
    void compactionKeepsEverythingAndIdsAreNeverUsedTwice(@TempDir Path dir) throws Exception {
        Path log = dir.resolve("log");
        history(log);
        Set<String> before;
        long used;
        try (MetadataStore store = MetadataStore.open(log)) {
            used = store.create("x", "", Snapshot.Kind.ACTIVE, Map.of()).id();
            store.remove("x");
            before = describe(store.catalog());
            MetadataLog.write(log, store.catalog()).close();
        }
        try (MetadataStore store = MetadataStore.open(log)) {
            assertThat(describe(store.catalog())).isEqualTo(before);
            assertThat(store.catalog().sources(LAYER))
                    .containsExactly(new LayerSource(LAYER, "example.com:5000", "a/b"));
            assertThat(store.create("y", "", Snapshot.Kind.ACTIVE, Map.of()).id())
                    .isGreaterThan(used);
        }
    }

    /** containerd's labels lack the port of a registry, so that a source may lead nowhere: that one is told, and asked, last. */
    @Test
    void aLayersSourcesStayInTheirOrder(@TempDir Path dir) throws Exception {
        List<LayerSource> sources = IntStream.range(0, 20)
                .mapToObj(n -> new LayerSource(LAYER, "registry-" + n * 7919 % 97, "a/b"))
                .toList();
        Path log = dir.resolve("log");
        try (MetadataStore store = MetadataStore.open(log)) {
            for (LayerSource source : sources) {
                store.addSource(source);
            }
            assertThat(store.catalog().sources(LAYER)).containsExactlyElementsOf(sources);
        }
        for (int opened = 0; opened < 2; opened++) {
            try (MetadataStore store = MetadataStore.open(log)) {
                assertThat(store.catalog().sources(LAYER)).containsExactlyElementsOf(sources);
            }
        }
    }

    @Test
    void theRulesOfTheApiHold(@TempDir Path dir) throws Exception {
        try (MetadataStore store = MetadataStore.open(dir.resolve("log"))) {
            store.create("a", "", Snapshot.Kind.ACTIVE, Map.of());
            assertThatThrownBy(() -> store.create("a", "", Snapshot.Kind.VIEW, Map.of()))
                    .extracting("reason")
                    .isEqualTo(Reason.ALREADY_EXISTS);
            assertThatThrownBy(() -> store.create("b", "a", Snapshot.Kind.ACTIVE, Map.of()))
                    .extracting("reason")
                    .isEqualTo(Reason.INVALID_ARGUMENT);
            assertThatThrownBy(() -> store.create("b", "none", Snapshot.Kind.ACTIVE, Map.of()))
                    .extracting("reason")
                    .isEqualTo(Reason.NOT_FOUND);
            store.commit("a", "A", null, Map.of(), 0, 0);
            store.create("v", "A", Snapshot.Kind.VIEW, Map.of());
            assertThatThrownBy(() -> store.commit("none", "A", null, Map.of(), 0, 0))
                    .as("containerd hears first that the name is taken")
                    .extracting("reason")
                    .isEqualTo(Reason.ALREADY_EXISTS);
            assertThatThrownBy(() -> store.commit("v", "V", null, Map.of(), 0, 0))
                    .extracting("reason")
                    .isEqualTo(Reason.FAILED_PRECONDITION);
            assertThatThrownBy(() -> store.remove("A"))
                    .hasMessageContaining("remove")
                    .extracting("reason")
                    .isEqualTo(Reason.FAILED_PRECONDITION);
            Snapshot first = store.createRemote("R", "A", LAYER, Map.of(), 0);
            assertThat(store.createRemote("R", "A", LAYER, Map.of(), 0)).isEqualTo(first);
            assertThat(store.createRemote("R", "", LAYER, Map.of(), 0).name()).isNotEqualTo("R");
            assertThat(store.createRemote("R", "A", LAYER, Map.of("ref", "R"), 0)
                            .labels())
                    .as("what it is found by")
                    .containsEntry("ref", "R");
        }
    }

    @Test
    void aMeasurementIsKeptAndComesTooLateForWhatIsGone(@TempDir Path dir) throws Exception {
        Path log = dir.resolve("log");
        try (MetadataStore store = MetadataStore.open(log)) {
            store.create("a", "", Snapshot.Kind.ACTIVE, Map.of());
            Snapshot gone = store.commit("a", "A", null, Map.of(), Snapshot.NOT_MEASURED, Snapshot.NOT_MEASURED);
            store.remove("A");
            store.create("a", "", Snapshot.Kind.ACTIVE, Map.of());
            Snapshot now = store.commit("a", "A", null, Map.of(), Snapshot.NOT_MEASURED, Snapshot.NOT_MEASURED);
            store.measured(gone, 1, 1);
            store.measured(now, 4096, 3);
        }
        try (MetadataStore store = MetadataStore.open(log)) {
            assertThat(store.catalog().find("A")).extracting("size", "inodes").containsExactly(4096L, 3L);
        }
    }
}
