package dev.coldstart.snapshotter.toc;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.content.ContentStore;
import dev.coldstart.snapshotter.content.LayerResolver;
import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.LayerOrdinals;
import dev.coldstart.snapshotter.fetch.RegistrySource;
import dev.coldstart.snapshotter.fetch.SpanFetcher;
import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.CheckpointedLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.metadata.MetadataStore;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.PartialObject;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.registry.Credentials;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.Trust;
import dev.coldstart.snapshotter.rootfs.RemoteLayers;
import dev.coldstart.snapshotter.rootfs.TreeMounts;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Layers whose index somebody else made, with the parts that serve any layer, from a registry. */
final class ServedLayersTest {
    @TempDir
    Path root;

    private TestRegistry server;
    private RegistryClient registry;
    private ObjectStore store;
    private SpanFetcher fetcher;
    private RegistrySource source;
    private LayerOrdinals ordinals;
    private MetadataStore metadata;

    @BeforeEach
    void start() throws Exception {
        server = new TestRegistry();
        registry = new RegistryClient(host -> true, Trust.with(List.of()), Credentials.none(), Duration.ofSeconds(60));
        source = new RegistrySource(registry, layer -> List.of(new LayerSource(layer, server.host(), "r")));
        store = ObjectStore.open(root.resolve("store"), StoreSettings.DEFAULTS);
        fetcher = new SpanFetcher(source, store, Duration.ofMinutes(2));
        ordinals = LayerOrdinals.open(root.resolve("layers"));
        metadata = MetadataStore.open(root.resolve("snapshots.log"));
    }

    @AfterEach
    void stop() throws Exception {
        fetcher.close();
        registry.close();
        server.close();
        store.close();
        ordinals.close();
        metadata.close();
    }

    private byte[] read(KnownLayer layer, ObjectName name) throws IOException {
        int row = layer.index().find(name);
        long size = layer.index().objectSize(row);
        PartialObject object = store.acquire(name, size, layer.pieces(row), layer.cut());
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment into = arena.allocate(size);
            fetcher.read(layer, row, object, new CallState(arena), into, size, 0, fetcher.deadline());
            assertThat(object.complete())
                    .as("an object of which all was read is complete")
                    .isTrue();
            return into.toArray(ValueLayout.JAVA_BYTE);
        } finally {
            store.release(name, layer.cut());
        }
    }

    private Map<String, String> expected() throws IOException {
        Contents.Sink objects = new Contents.Sink();
        byte[] gzip = Fixture.bytes("gzip");
        LayerIndexer.index(
                new ByteArrayInputStream(gzip),
                TestLayer.sha256(gzip),
                null,
                root.resolve("pass.idx"),
                root.resolve("pass.erofs"),
                objects,
                ProgressListener.NONE);
        return Contents.of(root.resolve("pass.erofs"), objects);
    }

    @ParameterizedTest
    @ValueSource(strings = {"estargz", "estargz-packed", "zstdchunked", "zstdchunked-stargz"})
    void filesAreFetchedAndKept(String name) throws Exception {
        Fixture fixture = Fixture.of(name);
        server.blob(fixture.blob());
        RemoteLayers layers = layers();
        assertThat(layers.index(fixture.layer(), ProgressListener.NONE)).isFalse();
        int requests = server.requests.size();
        KnownLayer layer = new KnownLayers(ordinals).add(fixture.digest(), layers.index(fixture.digest()));
        assertThat(layer.index().scheme()).as("no pass was made").isNotZero();
        assertThat(Contents.of(layers.tree(fixture.digest()), object -> read(layer, object)))
                .isEqualTo(expected());
        // Thirty files in a span of a megabyte; who asks while it lands may fetch it once more.
        assertThat(server.requests.size() - requests).isBetween(1, 4);
    }

    @Test
    void objectsWithDerivedNamesAreKeptToo() throws Exception {
        byte[] blob = Fixture.bytes("gzip");
        byte[] ztoc = Fixture.unpacked(Fixture.bytes("ztoc.gz"));
        Digest digest = server.blob(blob);
        Path index = root.resolve("soci.idx");
        Path tree = root.resolve("soci.erofs");
        try (CheckpointedLayer made = new CheckpointedLayer(index, tree, digest, TestLayer.sha256(ztoc))) {
            Ztoc.of(ztoc).addTo(made, new byte[0], digest);
        }
        KnownLayer layer = new KnownLayers(ordinals).add(digest, index);
        assertThat(Contents.of(tree, object -> read(layer, object))).isEqualTo(expected());
        // One of them lies in two spans, and is complete all the same; after a restart nothing is fetched again.
        int requests = server.requests.size();
        store.close();
        store = ObjectStore.open(root.resolve("store"), StoreSettings.DEFAULTS);
        fetcher.close();
        fetcher = new SpanFetcher(source, store, Duration.ofMinutes(2));
        assertThat(Contents.of(tree, object -> read(layer, object))).isEqualTo(expected());
        assertThat(server.requests).hasSize(requests);
    }

    @Test
    void aLayerWhoseTableIsWrongIsReadAsAnyOther() throws Exception {
        Fixture fixture = Fixture.of("estargz");
        fixture.annotations()
                .put(
                        EstargzOrigin.TABLE_DIGEST,
                        TestLayer.sha256(new byte[] {9}).toString());
        server.blob(fixture.blob());
        RemoteLayers layers = layers();
        ResolvedLayer found = fixture.layer();
        // The diffID of that fixture is none.
        ResolvedLayer layer = new ResolvedLayer(
                found.layer(),
                TestLayer.sha256(Fixture.unpacked(fixture.blob())),
                found.mediaType(),
                found.size(),
                found.annotations(),
                null,
                List.of());
        assertThat(layers.index(layer, ProgressListener.NONE)).isFalse();
        try (LayerIndex index = LayerIndex.open(layers.index(fixture.digest()))) {
            assertThat(index.scheme()).as("by a pass").isZero();
        }
        try (var left = Files.list(root.resolve("index"))) {
            assertThat(left).hasSize(1);
        }
    }

    private RemoteLayers layers() throws IOException {
        ContentStore nothing = new ContentStore() {
            @Override
            public List<Blob> list(String namespace, String filter) {
                return List.of();
            }

            @Override
            public @Nullable Blob info(String namespace, Digest digest) {
                return null;
            }

            @Override
            public byte[] read(String namespace, Digest digest, int most) throws IOException {
                throw new IOException("nothing is here");
            }

            @Override
            public InputStream stream(String namespace, Digest digest) throws IOException {
                throw new IOException("nothing is here");
            }

            @Override
            public List<String> imageNames(String namespace) {
                return List.of();
            }
        };
        return new RemoteLayers(
                metadata,
                nothing,
                new LayerResolver(nothing, Set::of),
                source,
                store,
                new KnownLayers(ordinals),
                new TreeMounts(root.resolve("t"), root.resolve("trees")),
                root.resolve("index"),
                List.of(new EstargzOrigin(source), new ZstdChunkedOrigin(source)));
    }
}
