package dev.coldstart.snapshotter.rootfs;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.snapshotter.content.ContentStore;
import dev.coldstart.snapshotter.content.ImageManifest;
import dev.coldstart.snapshotter.content.LayerResolver;
import dev.coldstart.snapshotter.content.StoredBlobs;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.LayerOrdinals;
import dev.coldstart.snapshotter.fetch.RegistrySource;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.MetadataStore;
import dev.coldstart.snapshotter.metadata.Snapshot;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.registry.Credentials;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.Trust;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The layers of a node whose trees are not mounted, and an image of three layers to pull there. */
public final class TestNode implements AutoCloseable {
    private static final Map<String, String> MANIFEST = Map.of(
            "containerd.io/gc.ref.content.config", "x",
            "containerd.io/distribution.source.registry.example", "team/model");

    /** The layers: empty tars of different lengths. */
    public static final List<byte[]> TARS = List.of(new byte[1024], new byte[2048], new byte[4096]);

    /** Their digests. */
    public static final List<Digest> LAYERS =
            TARS.stream().map(StoredBlobs::digest).toList();

    /** Their chain IDs. */
    public static final List<Digest> CHAIN = ImageManifest.chainIds(LAYERS);

    private final Deque<AutoCloseable> parts = new ArrayDeque<>();
    private final RemoteLayers layers;

    /** A node with nothing on it. */
    public TestNode(Path dir, ContentStore content, List<IndexOrigin> origins) throws IOException {
        Files.createDirectories(dir);
        MetadataStore metadata = own(MetadataStore.open(dir.resolve("log")));
        RegistryClient registry = own(new RegistryClient(
                host -> true,
                Trust.with(List.of()),
                Credentials.read(dir.resolve("none.json")),
                Duration.ofSeconds(1)));
        LayerMounts trees = new LayerMounts(dir.resolve("t"), dir.resolve("trees")) {
            @Override
            protected void mount(Digest layer, Path target) {
                assertThat(file(layer)).exists();
            }
        };
        layers = new RemoteLayers(
                metadata,
                content,
                new LayerResolver(content, Set::of),
                new RegistrySource(registry, layer -> List.of()),
                own(ObjectStore.open(Files.createDirectories(dir.resolve("store")), StoreSettings.DEFAULTS)),
                new KnownLayers(own(LayerOrdinals.open(dir.resolve("layers")))),
                trees,
                dir.resolve("index"),
                origins);
    }

    private <T extends AutoCloseable> T own(T part) {
        parts.push(part);
        return part;
    }

    /** Puts the image into a content store, blobs and all. */
    public static <S extends StoredBlobs> S withImage(S content) {
        StringBuilder blobs = new StringBuilder();
        StringBuilder diffIds = new StringBuilder();
        for (int i = 0; i < LAYERS.size(); i++) {
            var _ = content.add(TARS.get(i), 1, Map.of());
            diffIds.append(i == 0 ? "" : ",").append('"').append(LAYERS.get(i)).append('"');
            blobs.append(i == 0 ? "" : ",")
                    .append("{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"")
                    .append(LAYERS.get(i))
                    .append("\",\"size\":")
                    .append(TARS.get(i).length)
                    .append('}');
        }
        Digest config = content.add("{\"rootfs\":{\"diff_ids\":[" + diffIds + "]}}", 1, Map.of());
        var _ = content.add(
                "{\"config\":{\"digest\":\"" + config + "\",\"size\":1},\"layers\":[" + blobs + "]}", 2, MANIFEST);
        return content;
    }

    /** Its layers. */
    public RemoteLayers layers() {
        return layers;
    }

    /** Asks for the layers as containerd does: from the base up, each after the answer for the one below. */
    public void pull() throws Exception {
        String parent = "";
        for (Digest id : CHAIN) {
            Snapshot made = layers.prepare("default", parent, id, Map.of("containerd.io/snapshot.ref", id.toString()));
            assertThat(made.name()).isEqualTo(id.toString());
            parent = made.name();
        }
    }

    @Override
    public void close() throws IOException {
        while (!parts.isEmpty()) {
            try {
                parts.pop().close();
            } catch (Exception e) {
                throw new IOException(e);
            }
        }
    }
}
