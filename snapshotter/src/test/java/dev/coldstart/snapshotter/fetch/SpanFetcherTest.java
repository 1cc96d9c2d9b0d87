package dev.coldstart.snapshotter.fetch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.fetch.FaultyRegistry.Fault;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.registry.Credentials;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.Trust;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class SpanFetcherTest {
    @TempDir
    Path root;

    private TestLayer data;
    private FaultyRegistry registry;
    private RegistryClient client;
    private ObjectStore store;
    private SpanFetcher fetcher;
    private LayerOrdinals ordinals;
    private KnownLayer layer;

    @BeforeEach
    void start() throws Exception {
        registry = new FaultyRegistry(true);
        client = new RegistryClient(host -> true, Trust.with(List.of()), Credentials.none(), Duration.ofSeconds(10));
        store = ObjectStore.open(root, StoreSettings.DEFAULTS);
        fetcher = new SpanFetcher(
                new RegistrySource(client, digest -> List.of(new LayerSource(digest, registry.host(), "team/model"))),
                store,
                Duration.ofSeconds(20));
        ordinals = LayerOrdinals.open(root.resolve("layers"));
        serve(TestLayer.generate(42));
    }

    private void serve(TestLayer served) throws IOException {
        data = served;
        registry.blob(data.digest().toString(), data.blob());
        Path index = root.resolve("layer.idx");
        LayerIndexer.index(
                new ByteArrayInputStream(data.blob()),
                data.digest(),
                data.diffId(),
                index,
                root.resolve("layer.erofs"),
                null,
                ProgressListener.NONE);
        layer = new KnownLayers(ordinals).add(data.digest(), index);
    }

    @AfterEach
    void stop() throws IOException {
        fetcher.close();
        client.close();
        registry.close();
        store.close();
        ordinals.close();
    }

    private byte[] read(int row, long offset, int length) throws IOException {
        return new ObjectReads(fetcher, store).read(layer, row, offset, length);
    }

    private byte[] expected(int row, long offset, int length) {
        int start = (int) (layer.index().objectOffset(row) + offset);
        return Arrays.copyOfRange(data.tar(), start, start + length);
    }

    @Test
    void anyBytesOfAnyObjectByManyReadersAtOnce() throws Exception {
        Random random = new Random(7);
        try (var readers = Executors.newFixedThreadPool(8)) {
            List<Future<?>> all = new ArrayList<>();
            for (int i = 0; i < 200; i++) {
                int row = random.nextInt(layer.index().objectCount());
                int size = (int) layer.index().objectSize(row);
                int offset = random.nextInt(size);
                int length = 1 + random.nextInt(Math.min(size - offset, 1 << 20));
                all.add(readers.submit(() -> {
                    assertThat(read(row, offset, length)).isEqualTo(expected(row, offset, length));
                    return null;
                }));
            }
            for (Future<?> one : all) {
                one.get();
            }
        }
    }

    @Test
    void anyBytesOfAZstdLayerInAnyOrder() throws Exception {
        serve(TestLayer.zstd(43));
        assertThat(layer.index().spanCount()).isGreaterThan(4);
        Random random = new Random(8);
        try (var readers = Executors.newFixedThreadPool(4)) {
            List<Future<?>> all = new ArrayList<>();
            for (int i = 0; i < 100; i++) {
                int row = random.nextInt(layer.index().objectCount());
                int size = (int) layer.index().objectSize(row);
                int offset = random.nextInt(size);
                int length = 1 + random.nextInt(Math.min(size - offset, 1 << 20));
                all.add(readers.submit(() -> {
                    assertThat(read(row, offset, length)).isEqualTo(expected(row, offset, length));
                    return null;
                }));
            }
            for (Future<?> one : all) {
                one.get();
            }
        }
    }

    @Test
    void neighboursOfAReadAreLocalAfterwardsAndAWholeObjectBecomesAFile() throws Exception {
        int row = layer.index()
                .find(ObjectName.of(TestLayer.sha256(data.file("large/one")).bytes()));
        int size = (int) layer.index().objectSize(row);
        for (int offset = 0; offset < size; offset += 1 << 20) {
            int length = Math.min(1 << 20, size - offset);
            assertThat(read(row, offset, length)).isEqualTo(expected(row, offset, length));
        }
        assertThat(store.directory().resolve(layer.index().objectName(row).path()))
                .hasBinaryContent(data.file("large/one"));
        int requests = registry.requests();
        assertThat(read(row, 12345, 100_000)).isEqualTo(expected(row, 12345, 100_000));
        assertThat(registry.requests()).isEqualTo(requests);
    }

    @ParameterizedTest
    @EnumSource(
            value = Fault.class,
            names = {"UNAVAILABLE", "SHORT", "WRONG_RANGE", "FLIPPED"})
    void oneFaultIsGotOver(Fault fault) throws Exception {
        registry.misbehave(fault, 1);
        assertThat(read(0, 0, 10)).isEqualTo(expected(0, 0, 10));
    }

    @ParameterizedTest
    @EnumSource(
            value = Fault.class,
            names = {"SHORT", "WRONG_RANGE", "FLIPPED", "NOT_FOUND"})
    void aLastingFaultIsAnErrorNeverWrongBytesAndPassesWhenTheRegistryIsWell(Fault fault) throws Exception {
        registry.misbehave(fault, Integer.MAX_VALUE);
        assertThatThrownBy(() -> read(0, 0, 10)).isInstanceOf(IOException.class);
        registry.misbehave(Fault.SOUND, 0);
        assertThat(read(0, 0, 10)).isEqualTo(expected(0, 0, 10));
    }

    @Test
    void concurrentReadsOfOneSpanAreOneRequest() throws Exception {
        int before = registry.requests();
        try (var readers = Executors.newFixedThreadPool(8)) {
            List<Future<byte[]>> all = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                all.add(readers.submit(() -> read(0, 0, 1)));
            }
            for (Future<byte[]> one : all) {
                assertThat(one.get()).isEqualTo(expected(0, 0, 1));
            }
        }
        assertThat(registry.requests() - before).isEqualTo(1);
    }

    @Test
    void aRegistryThatIsGoneIsOneClearSentence() throws Exception {
        registry.close();
        assertThatThrownBy(() -> read(0, 0, 1)).hasMessageContaining("cannot reach registry 127.0.0.1");
        assertThat(root.resolve("objects").resolve("00")).isEmptyDirectory();
    }
}
