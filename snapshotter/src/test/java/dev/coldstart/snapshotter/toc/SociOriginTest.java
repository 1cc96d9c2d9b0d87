package dev.coldstart.snapshotter.toc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.content.ImageManifest;
import dev.coldstart.snapshotter.content.Referrers;
import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.fetch.RegistrySource;
import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.CheckpointedLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerException;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.registry.Credentials;
import dev.coldstart.snapshotter.registry.RegistryArtifacts;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.Trust;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A layer with a SOCI index gives what a pass over it gives, whichever way the index is found. */
final class SociOriginTest {
    private static final String TYPE = "application/vnd.amazon.soci.index.v1+json";

    @TempDir
    Path directory;

    private byte[] blob;
    private byte[] ztoc;
    private TestRegistry server;
    private RegistryClient registry;
    private RegistrySource source;
    private SociOrigin pinned;
    private SociOrigin referring;

    @BeforeEach
    void start() throws Exception {
        blob = Fixture.bytes("gzip");
        ztoc = Fixture.unpacked(Fixture.bytes("ztoc.gz"));
        server = new TestRegistry();
        registry = new RegistryClient(host -> true, Trust.with(List.of()), Credentials.none(), Duration.ofSeconds(60));
        source = new RegistrySource(registry, layer -> List.of(new LayerSource(layer, server.host(), "r")));
        pinned = SociOrigin.pinned(registry, source);
        referring = SociOrigin.referring(registry, source, new Referrers(new RegistryArtifacts(registry)));
        server.blob(blob);
    }

    @AfterEach
    void stop() {
        registry.close();
        server.close();
    }

    private Digest soci(byte[] table) {
        return server.manifest(
                """
                {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
                "config":{"mediaType":"%s","digest":"%s","size":2},
                "layers":[{"mediaType":"application/octet-stream","digest":"%s","size":%d,
                "annotations":{"com.amazon.soci.image-layer-digest":"%s"}}]}""".formatted(TYPE, TestLayer.sha256(new byte[0]), server.blob(table), table.length, layer()));
    }

    private Digest layer() {
        return TestLayer.sha256(blob);
    }

    private ResolvedLayer layer(Map<String, String> annotations) throws IOException {
        Digest diffId = TestLayer.sha256(Fixture.unpacked(blob));
        ResolvedLayer.Image image = new ResolvedLayer.Image(
                TestLayer.sha256(new byte[] {7}),
                "application/vnd.oci.image.manifest.v1+json",
                1,
                annotations,
                List.of(new ImageManifest.Descriptor(Fixture.GZIP, layer(), blob.length, "", "", Map.of())),
                List.of(diffId));
        return image.layer(0, List.of(new LayerSource(layer(), server.host(), "r")));
    }

    private static String list(String type, Digest index) {
        return """
                {"schemaVersion":2,"manifests":[
                {"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/other",
                "digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":9},
                {"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"%s","digest":"%s","size":9}]}""".formatted(type, index);
    }

    private boolean provide(SociOrigin origin, Map<String, String> annotations) throws IOException {
        return origin.provide(layer(annotations), directory.resolve("soci.idx"), directory.resolve("soci.erofs"));
    }

    private void compareWithPass() throws Exception {
        Contents.Sink objects = new Contents.Sink();
        LayerIndexer.index(
                new ByteArrayInputStream(blob),
                layer(),
                null,
                directory.resolve("pass.idx"),
                directory.resolve("pass.erofs"),
                objects,
                ProgressListener.NONE);
        try (LayerIndex index = LayerIndex.open(directory.resolve("soci.idx"));
                LayerIndex pass = LayerIndex.open(directory.resolve("pass.idx"))) {
            assertThat(index.spanCount()).isGreaterThan(1);
            assertThat(Contents.of(directory.resolve("soci.erofs"), Contents.inflated(index, blob)))
                    .isEqualTo(Contents.of(directory.resolve("pass.erofs"), objects));
            assertThat(index.implied()).isEqualTo(pass.implied());
            assertThat(index.diffId()).isEqualTo(pass.diffId());
        }
    }

    @Test
    void anIndexThatTheImageNames() throws Exception {
        assertThat(provide(
                        pinned,
                        Map.of("com.amazon.soci.index-digest", soci(ztoc).toString())))
                .isTrue();
        compareWithPass();
        assertThat(server.requests).as("the layer is not read").noneMatch(path -> path.contains(layer().toString()));
    }

    @Test
    void anIndexThatRefersToTheImage() throws Exception {
        server.put("referrers/" + TestLayer.sha256(new byte[] {7}), list(TYPE, soci(ztoc)));
        assertThat(provide(referring, Map.of())).isTrue();
        compareWithPass();
        assertThat(server.requests)
                .contains("/v2/r/referrers/" + TestLayer.sha256(new byte[] {7})
                        + "?artifactType=application%2Fvnd.amazon.soci.index.v1%2Bjson");
    }

    @Test
    void anIndexUnderTheTagOfARegistryWithoutReferrers() throws Exception {
        server.put("manifests/sha256-" + TestLayer.sha256(new byte[] {7}).hex(), list(TYPE, soci(ztoc)));
        assertThat(provide(referring, Map.of())).isTrue();
        compareWithPass();
    }

    @Test
    void anImageWithoutIndexIsAskedAboutOnce() throws Exception {
        assertThat(provide(pinned, Map.of())).isFalse();
        assertThat(server.requests).isEmpty();
        assertThat(provide(referring, Map.of())).isFalse();
        assertThat(provide(referring, Map.of())).isFalse();
        assertThat(server.requests).hasSize(2);
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void referrersThatAreNoListAreAnError() throws Exception {
        for (String answer :
                List.of("", "[]", "{\"manifests\":[{}]}", "{\"manifests\":[{\"digest\":\"md5:0\"}]}", "x")) {
            server.put("referrers/" + TestLayer.sha256(new byte[] {7}), answer);
            SociOrigin fresh = SociOrigin.referring(registry, source, new Referrers(new RegistryArtifacts(registry)));
            assertThatThrownBy(() -> provide(fresh, Map.of())).as(answer).isInstanceOf(IOException.class);
        }
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void anotherZtocThanTheIndexNamesIsRefused() throws Exception {
        Digest index = soci(ztoc);
        server.put("blobs/" + TestLayer.sha256(ztoc), "something else");
        assertThatThrownBy(() -> provide(pinned, Map.of("com.amazon.soci.index-digest", index.toString())))
                .hasMessageContaining("sent another zTOC");
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void aSpanWithOtherBytesIsRefusedBeforeItIsInflated() throws Exception {
        assertThat(provide(
                        pinned,
                        Map.of("com.amazon.soci.index-digest", soci(ztoc).toString())))
                .isTrue();
        byte[] wrong = blob.clone();
        wrong[wrong.length / 2] ^= 1;
        try (LayerIndex index = LayerIndex.open(directory.resolve("soci.idx"))) {
            assertThatThrownBy(() -> Contents.of(directory.resolve("soci.erofs"), Contents.inflated(index, wrong)))
                    .isInstanceOf(LayerException.class)
                    .hasMessageContaining("its SHA-256 differs");
        }
    }

    @Test
    void theFirstVersionLeavesTheFirstCheckpointOut() throws Exception {
        // The fixture's gzip header has a name, of which version 1 knows nothing.
        byte[] older = ztoc.clone();
        int checkpoints = checkpoints(older);
        ByteBuffer view = ByteBuffer.wrap(older).order(ByteOrder.LITTLE_ENDIAN);
        int spans = view.getInt(checkpoints);
        int packed = 17 + (32 << 10);
        System.arraycopy(older, checkpoints + 12 + packed, older, checkpoints + 12, (spans - 1) * packed);
        view.putInt(checkpoints - 4, 12 + (spans - 1) * packed);
        assertThatThrownBy(() -> provide(
                        pinned,
                        Map.of("com.amazon.soci.index-digest", soci(older).toString())))
                .hasMessageContaining("version 1");
        byte[] header = {0x1f, (byte) 0x8b, 8, 0, 0, 0, 0, 0, 0, 0};
        try (CheckpointedLayer layer = new CheckpointedLayer(
                directory.resolve("soci.idx"), directory.resolve("soci.erofs"), layer(), TestLayer.sha256(older))) {
            Ztoc.of(older).addTo(layer, header, layer());
        }
        try (LayerIndex index = LayerIndex.open(directory.resolve("soci.idx"))) {
            assertThat(index.spanCount()).isEqualTo(spans - 1);
            assertThat(index.spanBlobStart(0)).isEqualTo(10);
        }
    }

    /** Where the vector of checkpoints has its first byte. */
    private static int checkpoints(byte[] ztoc) throws LayerException {
        int length =
                Objects.requireNonNull(FlatTable.root(ztoc).table(5)).bytes(3).limit();
        ByteBuffer view = ByteBuffer.wrap(ztoc).order(ByteOrder.LITTLE_ENDIAN);
        for (int at = 0; ; at++) {
            if (view.getInt(at) == length) {
                return at + 4;
            }
        }
    }

    @Test
    void anyZtocGivesASoundIndexOrAnError() throws Exception {
        Random random = new Random(6);
        int taken = 0;
        int checkpoints = checkpoints(ztoc);
        int end = checkpoints
                + Objects.requireNonNull(FlatTable.root(ztoc).table(5)).bytes(3).limit();
        for (int i = 0; i < 200; i++) {
            byte[] mutant = ztoc.clone();
            for (int n = random.nextInt(3); n >= 0; n--) {
                // Nearly all of it is windows.
                int at = random.nextInt(mutant.length - (end - checkpoints));
                at += at >= checkpoints + 12 ? end - checkpoints - 12 : 0;
                mutant[Math.min(at, mutant.length - 1)] = (byte) random.nextInt(256);
            }
            if (i % 8 == 0) {
                mutant = Arrays.copyOf(mutant, random.nextInt(mutant.length));
            }
            try (CheckpointedLayer layer = new CheckpointedLayer(
                    directory.resolve("soci.idx"), directory.resolve("soci.erofs"), layer(), layer())) {
                Ztoc.of(mutant).addTo(layer, blob, layer());
                taken++;
            } catch (IOException e) {
                assertThat(e).hasMessageNotContaining("null");
            }
            if (Files.exists(directory.resolve("soci.idx"))) {
                try (LayerIndex index = LayerIndex.open(directory.resolve("soci.idx"))) {
                    assertThat(index.layer()).isEqualTo(layer());
                }
                Files.delete(directory.resolve("soci.idx"));
                Files.delete(directory.resolve("soci.erofs"));
            }
            assertThat(directory).isEmptyDirectory();
        }
        assertThat(taken).isBetween(1, 199);
    }
}
