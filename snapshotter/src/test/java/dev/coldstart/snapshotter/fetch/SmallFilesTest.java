package dev.coldstart.snapshotter.fetch;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.registry.Credentials;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.Trust;
import java.io.ByteArrayInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Small files come with their neighbours: what a registry sees is spans. */
class SmallFilesTest {
    private static final int FILES = 5000;

    @TempDir
    Path root;

    @Test
    void smallFilesInAnyOrderAreNoMoreRequestsThanSpans() throws Exception {
        TestLayer data = TestLayer.ofFiles(1, FILES, 8 << 10);
        Path path = root.resolve("layer.idx");
        LayerIndexer.index(
                new ByteArrayInputStream(data.blob()),
                data.digest(),
                data.diffId(),
                path,
                root.resolve("layer.erofs"),
                null,
                ProgressListener.NONE);
        try (FaultyRegistry registry = new FaultyRegistry(false);
                RegistryClient client = new RegistryClient(
                        host -> true, Trust.with(List.of()), Credentials.none(), Duration.ofSeconds(5));
                ObjectStore store = ObjectStore.open(root, StoreSettings.DEFAULTS);
                LayerOrdinals ordinals = LayerOrdinals.open(root.resolve("layers"))) {
            registry.blob(data.digest().toString(), data.blob());
            LayerSource source = new LayerSource(data.digest(), registry.host(), "team/model");
            try (SpanFetcher fetcher = new SpanFetcher(
                    new RegistrySource(client, digest -> List.of(source)), store, Duration.ofSeconds(20))) {
                KnownLayer layer = new KnownLayers(ordinals).add(data.digest(), path);
                LayerIndex index = layer.index();
                List<Integer> rows = new ArrayList<>();
                for (int row = 0; row < index.objectCount(); row++) {
                    rows.add(row);
                }
                assertThat(rows).hasSize(FILES);
                Collections.shuffle(rows, new Random(2));
                for (int row : rows) {
                    // What is local is found there by the kernel, and we are not asked.
                    if (!Files.exists(
                            store.directory().resolve(index.objectName(row).path()))) {
                        var _ = new ObjectReads(fetcher, store).read(layer, row, 0, (int) index.objectSize(row));
                    }
                }
                // On a busy machine an answer may seem to be late.
                assertThat(registry.requests() - fetcher.statistics().hedges()).isBetween(1L, (long) index.spanCount());
            }
        }
    }
}
