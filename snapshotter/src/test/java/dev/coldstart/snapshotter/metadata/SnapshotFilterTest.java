package dev.coldstart.snapshotter.metadata;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SnapshotFilterTest {
    private static final List<Snapshot> ALL = List.of(
            snapshot("base", "", Snapshot.Kind.COMMITTED, Map.of("l", "1", "containerd.io/snapshot.ref", "sha256:aa")),
            snapshot("top", "base", Snapshot.Kind.COMMITTED, Map.of("l", "2", "test/filter", "a b,c")),
            snapshot("act", "top", Snapshot.Kind.ACTIVE, Map.of("l", "2")),
            snapshot("look", "top", Snapshot.Kind.VIEW, Map.of()));

    private static Snapshot snapshot(String name, String parent, Snapshot.Kind kind, Map<String, String> labels) {
        return new Snapshot(1, name, parent, kind, Instant.EPOCH, Instant.EPOCH, labels, null, 0, 0);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            quoteCharacter = '\0',
            value = {
                "kind==view ; look",
                "kind==active ; act",
                "kind==committed ; base,top",
                "name==base ; base",
                "parent!=\"\" ; top,act,look",
                "parent==\"\" ; base",
                "labels.l ; base,top,act",
                "labels.l==2 ; top,act",
                "labels.\"test/filter\"==\"a b,c\" ; top",
                "labels.\"containerd.io/snapshot.ref\"==sha256:aa,parent==\"\" ; base",
                "labels.\"containerd.io/snapshot.ref\" ; base",
                "name~=/^(act|look)$/ ; act,look",
                "name~=\"o\",kind==committed ; top",
                "parent == base , kind!=active ; top",
                "labels.none~=/^$/ ; base,top,act,look",
                "name==\"\\x62\\141se\" ; base"
            })
    void selects(String filter, String expected) throws Exception {
        var test = SnapshotFilter.parse(filter.strip());
        assertThat(ALL.stream().filter(test).map(Snapshot::name))
                .containsExactly(expected.strip().split(","));
    }

    @Test
    void filtersAreAlternatives() throws Exception {
        var test = SnapshotFilter.anyOf(List.of("name==base", "parent==top"));
        assertThat(ALL.stream().filter(test).map(Snapshot::name)).containsExactly("base", "act", "look");
        assertThat(ALL.stream().filter(SnapshotFilter.anyOf(List.of()))).hasSize(4);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "name=",
                "name==",
                "=x",
                "name~=\"(\"",
                "name==\"x",
                "name x",
                "name==a,",
                "labels.\"a",
                "name==\"\\q\""
            })
    void refusesWhatItDoesNotUnderstand(String filter) {
        assertThatThrownBy(() -> SnapshotFilter.parse(filter))
                .isInstanceOf(SnapshotException.class)
                .hasMessageContaining("is wrong at character");
    }

    @Test
    void longLabelsAreNoProblem() throws Exception {
        String value = Stream.generate(() -> "x").limit(4000).reduce("", String::concat);
        assertThat(ALL.stream().filter(SnapshotFilter.parse("labels.l==" + value)))
                .isEmpty();
    }
}
