package dev.coldstart.snapshotter.rootfs;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.snapshotter.content.ContentStore;
import dev.coldstart.snapshotter.content.ImageManifest;
import dev.coldstart.snapshotter.content.LayerResolver;
import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.content.StoredBlobs;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.LayerOrdinals;
import dev.coldstart.snapshotter.fetch.RegistrySource;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.metadata.MetadataStore;
import dev.coldstart.snapshotter.metadata.Snapshot;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.registry.Credentials;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.Trust;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** An image of three layers, asked for as containerd does: from the base up, each after the answer for the one below. */
class RemoteLayersTest {
    private static final Map<String, String> MANIFEST = Map.of("containerd.io/gc.ref.content.config", "x");

    @TempDir
    Path dir;

    private final List<AutoCloseable> open = new ArrayList<>();
    private final List<byte[]> tars = List.of(new byte[1024], new byte[2048], new byte[4096]);
    private final List<Digest> layers = tars.stream().map(StoredBlobs::digest).toList();
    private final List<Digest> chain = ImageManifest.chainIds(layers);

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable part : open.reversed()) {
            part.close();
        }
    }

    private void addImage(StoredBlobs content) {
        StringBuilder blobs = new StringBuilder();
        StringBuilder diffIds = new StringBuilder();
        for (int i = 0; i < layers.size(); i++) {
            var _ = content.add(tars.get(i), 1, Map.of());
            diffIds.append(i == 0 ? "" : ",").append('"').append(layers.get(i)).append('"');
            blobs.append(i == 0 ? "" : ",")
                    .append("{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"")
                    .append(layers.get(i))
                    .append("\",\"size\":")
                    .append(tars.get(i).length)
                    .append('}');
        }
        Digest config = content.add("{\"rootfs\":{\"diff_ids\":[" + diffIds + "]}}", 1, Map.of());
        var _ = content.add(
                "{\"config\":{\"digest\":\"" + config + "\",\"size\":1},\"layers\":[" + blobs + "]}", 2, MANIFEST);
    }

    private RemoteLayers remoteLayers(ContentStore content, List<IndexOrigin> origins) throws IOException {
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
        return new RemoteLayers(
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
        open.add(part);
        return part;
    }

    private void pull(RemoteLayers remote) throws Exception {
        String parent = "";
        for (Digest id : chain) {
            Snapshot made = remote.prepare("default", parent, id, Map.of("containerd.io/snapshot.ref", id.toString()));
            assertThat(made.name()).isEqualTo(id.toString());
            parent = made.name();
        }
    }

    @Test
    void allLayersOfAnImageAreReadAtTheSameTime() throws Exception {
        CountDownLatch reading = new CountDownLatch(layers.size());
        StoredBlobs content = new StoredBlobs() {
            @Override
            public InputStream stream(String namespace, Digest digest) throws IOException {
                reading.countDown();
                try {
                    if (!reading.await(60, TimeUnit.SECONDS)) {
                        throw new IOException("the other layers are not being read");
                    }
                } catch (InterruptedException e) {
                    throw new IOException(e);
                }
                return super.stream(namespace, digest);
            }
        };
        addImage(content);
        pull(remoteLayers(content, List.of()));
    }

    @Test
    void aLayerThatCouldNotBeReadAheadIsReadWhenItIsAskedFor() throws Exception {
        Set<Digest> failed = ConcurrentHashMap.newKeySet();
        StoredBlobs content = new StoredBlobs() {
            @Override
            public InputStream stream(String namespace, Digest digest) throws IOException {
                if (!digest.equals(layers.getFirst()) && failed.add(digest)) {
                    throw new IOException("not now");
                }
                return super.stream(namespace, digest);
            }
        };
        addImage(content);
        RemoteLayers remote = remoteLayers(content, List.of());
        var _ = remote.prepare("default", "", chain.getFirst(), Map.of());
        while (failed.size() < 2) {
            Thread.sleep(1);
        }
        pull(remote);
    }

    @Test
    void anIndexFromElsewhereSparesThePass() throws Exception {
        StoredBlobs content = new StoredBlobs() {
            @Override
            public InputStream stream(String namespace, Digest digest) throws IOException {
                throw new IOException("the blob is not needed");
            }
        };
        addImage(content);
        IndexOrigin broken = new IndexOrigin() {
            @Override
            public String name() {
                return "a broken origin";
            }

            @Override
            public boolean provide(ResolvedLayer layer, Path index, Path tree) throws IOException {
                throw new IOException("broken");
            }
        };
        IndexOrigin other = new IndexOrigin() {
            @Override
            public String name() {
                return "another node";
            }

            @Override
            public boolean provide(ResolvedLayer layer, Path index, Path tree) throws IOException {
                byte[] tar = tars.get(layers.indexOf(layer.layer()));
                var _ = LayerIndexer.index(
                        new ByteArrayInputStream(tar),
                        layer.layer(),
                        layer.diffId(),
                        index,
                        tree,
                        null,
                        ProgressListener.NONE);
                return true;
            }
        };
        pull(remoteLayers(content, List.of(broken, other)));
    }
}
