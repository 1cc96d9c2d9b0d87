package dev.coldstart.restore.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.proto.v1.KeyField;
import dev.coldstart.proto.v1.SnapshotManifest;
import dev.coldstart.restore.key.SnapshotKey;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SnapshotStoreTest {
    private static final SnapshotKey KEY = new SnapshotKey(
            List.of(new SnapshotKey.Field("args", "serve")), List.of(new SnapshotKey.Field("kernel", "6.12")));

    @TempDir
    Path directory;

    Path root;
    SnapshotStore store;

    @BeforeEach
    void makeStore() {
        root = directory.resolve("snapshots");
        store = new SnapshotStore(root);
    }

    private static SnapshotManifest manifest(SnapshotKey key, String container) {
        dev.coldstart.proto.v1.SnapshotKey.Builder proto = dev.coldstart.proto.v1.SnapshotKey.newBuilder();
        key.subject().forEach(field -> proto.addSubject(field(field)));
        key.conditions().forEach(field -> proto.addConditions(field(field)));
        return SnapshotManifest.newBuilder()
                .setId(key.id())
                .setKey(proto)
                .setContainerId(container)
                .build();
    }

    private static KeyField field(SnapshotKey.Field field) {
        return KeyField.newBuilder()
                .setName(field.name())
                .setValue(field.value())
                .build();
    }

    private static void store(SnapshotStore store, SnapshotKey key, String container) throws IOException {
        try (SnapshotDraft draft = store.draft()) {
            fill(draft, container);
            draft.commit(manifest(key, container));
        }
    }

    private static void fill(SnapshotDraft draft, String content) throws IOException {
        Files.writeString(draft.checkpoint().resolve("pages-1.img"), content);
        Files.createDirectory(draft.upper());
        Files.writeString(draft.work().resolve("dump.log"), "log");
    }

    private StoredSnapshot found(SnapshotKey key) {
        Lookup lookup = store.find(key);
        assertThat(lookup).isInstanceOf(Lookup.Found.class);
        return ((Lookup.Found) lookup).snapshot();
    }

    private String refusal(SnapshotKey key) {
        assertThat(store.find(key)).isInstanceOf(Lookup.Refused.class);
        return ((Lookup.Refused) store.find(key)).reason();
    }

    private List<String> names() throws IOException {
        try (Stream<Path> entries = Files.list(root)) {
            return entries.map(entry -> entry.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    void aStoredSnapshotIsFoundByItsKeyAndListed() throws IOException {
        assertThat(store.find(KEY)).isEqualTo(new Lookup.Absent());
        assertThat(store.list()).isEmpty();

        store(store, KEY, "c1");

        try (StoredSnapshot snapshot = found(KEY)) {
            assertThat(snapshot.id()).isEqualTo(KEY.id());
            assertThat(snapshot.checkpoint().resolve("pages-1.img")).hasContent("c1");
            assertThat(snapshot.upper()).isEmptyDirectory();
        }
        assertThat(store.list()).extracting(SnapshotManifest::getContainerId).containsExactly("c1");
        assertThat(names()).containsExactly(KEY.id());
        assertThat(root.resolve(KEY.id()).toFile().list()).hasSize(3);
    }

    @Test
    void onlyRootReadsSnapshots() throws IOException {
        store(store, KEY, "c1");

        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(root)))
                .isEqualTo("rwx------");
        Path snapshot = root.resolve(KEY.id());
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(snapshot)))
                .isEqualTo("rwx------");
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(snapshot.resolve("manifest.pb"))))
                .isEqualTo("rw-------");
    }

    @Test
    void aConditionThatDiffersIsARefusal() throws IOException {
        store(store, KEY, "c1");

        SnapshotKey live = new SnapshotKey(KEY.subject(), List.of(new SnapshotKey.Field("kernel", "6.18")));
        assertThat(refusal(live)).isEqualTo("The snapshot was taken with kernel 6.12, here it is 6.18.");
    }

    @Test
    void aSecondSnapshotReplacesTheFirstAndWhoReadsTheFirstKeepsIt() throws IOException {
        store(store, KEY, "c1");
        StoredSnapshot first = found(KEY);

        store(store, KEY, "c2");

        try (StoredSnapshot second = found(KEY)) {
            assertThat(second.manifest().getContainerId()).isEqualTo("c2");
        }
        assertThat(contents()).containsExactlyInAnyOrder("c1", "c2");
        first.close();
        store(store, KEY, "c3");
        assertThat(contents()).containsExactly("c3");
        assertThat(names()).containsExactly(KEY.id());
    }

    /** What every snapshot on disk, in sight or not, has in its images. */
    private List<String> contents() throws IOException {
        List<String> result = new ArrayList<>();
        for (String name : names()) {
            result.add(Files.readString(root.resolve(name).resolve("checkpoint/pages-1.img")));
        }
        return result;
    }

    @Test
    void aRemovedSnapshotIsGoneAtOnceAndItsFilesWhenItIsClosed() throws IOException {
        store(store, KEY, "c1");
        StoredSnapshot held = found(KEY);

        assertThat(store.remove(KEY.id())).isTrue();

        assertThat(store.find(KEY)).isEqualTo(new Lookup.Absent());
        assertThat(contents()).containsExactly("c1");
        held.close();
        store.sweep();
        assertThat(names()).isEmpty();
        assertThat(store.remove(KEY.id())).isFalse();
    }

    @Test
    void aDraftLeavesNothingWhereverItEnds() throws IOException {
        try (SnapshotDraft draft = store.draft()) {
            assertThat(names()).hasSize(1);
            // Another process that starts a snapshot now leaves this draft alone.
            new SnapshotStore(root).draft().close();
            assertThat(draft.checkpoint()).isDirectory();
            fill(draft, "x");
        }
        assertThat(names()).isEmpty();
    }

    @Test
    void whatACrashLeftIsSwept() throws IOException {
        store(store, KEY, "c1");
        // The states in which a process can die: an empty draft, one with images, one with its manifest, one exchanged
        // with the snapshot it replaces, one removed.
        for (String name : List.of(".draft-1", ".draft-2", ".draft-3", ".removed-4")) {
            Files.createDirectories(root.resolve(name).resolve("upper/deep"));
            Files.createSymbolicLink(root.resolve(name).resolve("upper/link"), root.resolve(KEY.id()));
        }
        Files.write(
                root.resolve(".draft-3").resolve("manifest.pb"),
                manifest(KEY, "dead").toByteArray());

        assertThat(store.list()).extracting(SnapshotManifest::getContainerId).containsExactly("c1");
        store.draft().close();

        assertThat(names()).containsExactly(KEY.id());
        found(KEY).close();
    }

    @Test
    void aDamagedSnapshotIsARefusalInOneSentenceAndNeverAnError() throws IOException {
        store(store, KEY, "c1");
        Path manifest = root.resolve(KEY.id()).resolve("manifest.pb");
        byte[] good = Files.readAllBytes(manifest);
        Random random = new Random(7);
        for (int round = 0; round < 500; round++) {
            byte[] bad = good.clone();
            switch (round % 3) {
                case 0 -> bad = Arrays.copyOf(good, random.nextInt(good.length));
                case 1 -> bad[random.nextInt(bad.length)] ^= (byte) (1 << random.nextInt(8));
                default -> random.nextBytes(bad);
            }
            Files.write(manifest, bad);
            if (store.find(KEY) instanceof Lookup.Refused(String id, String reason)) {
                assertThat(id).isEqualTo(KEY.id());
                assertThat(reason).endsWith(".").doesNotContain("\n");
            }
        }
        Files.write(manifest, new byte[2 << 20]);
        assertThat(refusal(KEY))
                .contains("is damaged: its manifest is larger than")
                .contains("coldstart snapshot rm");
        Files.delete(manifest);
        assertThat(refusal(KEY)).contains("its manifest cannot be read");
        assertThat(store.list()).isEmpty();
        Files.write(manifest, good);
        Files.delete(root.resolve(KEY.id()).resolve("upper"));
        assertThat(refusal(KEY)).contains("it has no directory upper");
    }

    @Test
    void aManifestThatBelongsToAnotherIdIsRefused() throws IOException {
        store(store, KEY, "c1");
        SnapshotKey other = new SnapshotKey(List.of(new SnapshotKey.Field("args", "else")), KEY.conditions());
        Files.write(
                root.resolve(KEY.id()).resolve("manifest.pb"),
                manifest(other, "x").toBuilder().setId(KEY.id()).build().toByteArray());

        assertThat(refusal(KEY)).contains("its manifest's key has another id");
    }

    @Test
    void aQuarantinedSnapshotIsNotOfferedUntilTheNextBootOrItsReplacement() throws IOException {
        store(store, KEY, "c1");
        try (StoredSnapshot snapshot = found(KEY)) {
            snapshot.quarantine("The file x\nis missing.");
        }

        assertThat(refusal(KEY))
                .isEqualTo("It failed to restore on this node since its last boot: The file x is missing.");

        Path file = root.resolve(KEY.id()).resolve("quarantine");
        String text = Files.readString(file);
        Files.writeString(file, text.replaceFirst("^[^\n]*", "another-boot"));
        found(KEY).close();
        Files.writeString(file, text);
        store(store, KEY, "c2");
        found(KEY).close();
    }

    @Test
    void anIdThatIsNoIdNeverBecomesAPath() {
        for (String id : List.of("", "..", "a/b", "A".repeat(64), "a".repeat(63), ".draft-1")) {
            assertThatThrownBy(() -> store.remove(id)).isInstanceOf(IOException.class);
            assertThatThrownBy(() -> store.open(id)).isInstanceOf(IOException.class);
        }
    }
}
