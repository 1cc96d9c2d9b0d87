package dev.coldstart.snapshotter.content;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.layer.Digest;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LayerResolverTest {
    private static final String GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
    private final Digest base = StoredBlobs.digest("base layer");
    private final Digest top = StoredBlobs.digest("top layer");
    private final Digest baseDiff = StoredBlobs.digest("base tar");
    private final Digest topDiff = StoredBlobs.digest("top tar");
    private final StoredBlobs content = new StoredBlobs();

    private void image(String type, Map<String, String> labels) {
        Digest config = content.add(
                "{\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" + baseDiff + "\",\""
                        + topDiff + "\"]},\"history\":[{\"created_by\":\"x\"}]}",
                1,
                Map.of());
        content.add(
                "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"c\",\"digest\":\"" + config
                        + "\",\"size\":1},\"layers\":[{\"mediaType\":\"" + GZIP + "\",\"digest\":\"" + base
                        + "\",\"size\":10,\"annotations\":{\"a\":\"b\"}},{\"mediaType\":\"" + type + "\",\"digest\":\""
                        + top
                        + "\",\"size\":20}]}",
                2,
                labels);
    }

    @BeforeEach
    void clutter() {
        content.add("not json at all", 9, Map.of());
        content.add("{\"layers\":\"no\"}", 8, Map.of("containerd.io/gc.ref.content.config", "x"));
    }

    @Test
    void aChainIdIsTracedToTheLayerAndItsRegistryWithThePortThatContainerdForgot() throws Exception {
        image(
                GZIP,
                Map.of(
                        "containerd.io/gc.ref.content.config", "x",
                        "containerd.io/distribution.source.registry.example", "team/model,team/other"));
        Digest chain = ImageManifest.chainIds(List.of(baseDiff, topDiff)).getLast();
        LayerResolver resolver = new LayerResolver(content, () -> Set.of("registry.example:5000", "other:1"));

        ResolvedLayer layer = resolver.resolve("default", chain, Map.of());

        assertThat(layer.layer()).isEqualTo(top);
        assertThat(layer.diffId()).isEqualTo(topDiff);
        assertThat(layer.size()).isEqualTo(20);
        assertThat(layer.sources().stream().map(source -> source.host() + "/" + source.repository()))
                .containsExactly(
                        "registry.example:5000/team/model",
                        "registry.example/team/model",
                        "registry.example:5000/team/other",
                        "registry.example/team/other");
        assertThat(resolver.resolve("default", baseDiff, Map.of()).layer()).isEqualTo(base);
    }

    @Test
    void aManifestWithoutLabelsIsFoundToo() throws Exception {
        image(GZIP, Map.of());
        assertThat(new LayerResolver(content, Set::of)
                        .resolve("default", baseDiff, Map.of())
                        .layer())
                .isEqualTo(base);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "application/vnd.oci.image.layer.v1.tar+zstd",
                "application/vnd.docker.image.rootfs.diff.tar.zstd",
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
            })
    void layersOfTheseTypesAreLazy(String mediaType) throws Exception {
        image(mediaType, Map.of());
        assertThat(new LayerResolver(content, Set::of)
                        .resolve("default", baseDiff, Map.of())
                        .layer())
                .isEqualTo(base);
    }

    @Test
    void whatCannotBeLazyIsSaid() {
        image("application/vnd.oci.image.layer.v1.tar+xz", Map.of());
        LayerResolver resolver = new LayerResolver(content, Set::of);
        Digest chain = ImageManifest.chainIds(List.of(baseDiff, topDiff)).getLast();
        assertThatThrownBy(() -> resolver.resolve("default", chain, Map.of())).hasMessageContaining("tar+xz");
        assertThatThrownBy(() -> resolver.resolve("default", StoredBlobs.digest("unknown"), Map.of()))
                .hasMessageContaining("no image in containerd's content store");
    }

    @Test
    void theLabelsOfCriAreAShortcut() throws Exception {
        ResolvedLayer layer = new LayerResolver(content, Set::of)
                .resolve(
                        "k8s.io",
                        StoredBlobs.digest("whatever"),
                        Map.of(
                                "containerd.io/snapshot/cri.layer-digest",
                                top.toString(),
                                "containerd.io/snapshot/cri.image-ref",
                                "localhost:5000/team/model:v1"));
        assertThat(layer.layer()).isEqualTo(top);
        assertThat(layer.sources().getFirst().host()).isEqualTo("localhost:5000");
    }
}
