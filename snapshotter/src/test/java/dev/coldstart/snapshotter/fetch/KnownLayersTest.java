package dev.coldstart.snapshotter.fetch;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ProgressListener;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Objects are found in the layers that have them, and indexes that are not used take no memory. */
class KnownLayersTest {
    private static final int LAYERS = 3;
    private static final int FILES = 2000;

    @TempDir
    Path dir;

    private @Nullable LayerOrdinals ordinals;
    private final List<KnownLayer> layers = new ArrayList<>();

    @BeforeEach
    void open() throws IOException {
        ordinals = LayerOrdinals.open(dir.resolve("layers"));
    }

    @AfterEach
    void close() throws IOException {
        for (KnownLayer layer : layers) {
            layer.index().close();
        }
        if (ordinals != null) {
            ordinals.close();
        }
    }

    private KnownLayers known(int... files) throws IOException {
        KnownLayers known = new KnownLayers(Objects.requireNonNull(ordinals));
        for (int i = 0; i < files.length; i++) {
            TestLayer data = TestLayer.ofFiles(i + 1, files[i], 5 << 10);
            Path index = dir.resolve(i + ".idx");
            LayerIndexer.index(
                    new ByteArrayInputStream(data.blob()),
                    data.digest(),
                    data.diffId(),
                    index,
                    dir.resolve(i + ".erofs"),
                    null,
                    ProgressListener.NONE);
            layers.add(known.add(data.digest(), index));
        }
        return known;
    }

    @Test
    void everyObjectIsFoundWhereItIsAndNoOther() throws Exception {
        KnownLayers known = known(FILES, FILES, 1, 0);
        for (KnownLayer layer : layers) {
            LayerIndex index = layer.index();
            for (int row = 0; row < index.objectCount(); row++) {
                ObjectName name = index.objectName(row);
                assertThat(known.having(name)).isSameAs(layer);
                assertThat(index.find(name)).isEqualTo(row);
                // The neighbours in the order of names: what a search that ends a row too early or too late would find.
                assertThat(known.having(new ObjectName(name.a(), name.b(), name.c(), name.d() + 1)))
                        .isNull();
                assertThat(index.find(new ObjectName(name.a(), name.b(), name.c(), name.d() - 1)))
                        .isEqualTo(-1);
            }
        }
        Random random = new Random(5);
        for (int i = 0; i < 10_000; i++) {
            assertThat(known.having(
                            new ObjectName(random.nextLong(), random.nextLong(), random.nextLong(), random.nextLong())))
                    .as("seed 5, name %s", i)
                    .isNull();
        }
        for (long end : new long[] {0, -1}) {
            assertThat(known.having(new ObjectName(end, end, end, end))).isNull();
        }
    }

    @Test
    void anIndexThatNobodyUsesTakesNoMemory() throws Exception {
        KnownLayers known = known(FILES, FILES, FILES);
        assertThat(residentKib()).as("of indexes that were only opened").isZero();
        ObjectName name = layers.get(LAYERS - 1).index().objectName(FILES / 2);
        known.rest();
        known.rest();
        assertThat(residentKib()).isZero();
        for (int i = 0; i < 100; i++) {
            assertThat(known.having(name)).isSameAs(layers.get(LAYERS - 1));
        }
        assertThat(residentKib("/0.idx"))
                .as("of the index of a layer that was asked in vain")
                .isZero();
        assertThat(residentKib()).isPositive();
        known.rest();
        assertThat(residentKib()).as("just used").isPositive();
        known.rest();
        assertThat(residentKib()).isZero();
        assertThat(known.having(name)).isSameAs(layers.get(LAYERS - 1));
    }

    private long residentKib() throws IOException {
        return residentKib(".idx");
    }

    /** Resident memory of this process that is a mapping of one of the test's indexes. */
    private long residentKib(String suffix) throws IOException {
        long sum = 0;
        boolean index = false;
        for (String line : Files.readAllLines(Path.of("/proc/self/smaps"))) {
            if (line.matches("^[0-9a-f]+-[0-9a-f]+ .*")) {
                index = line.contains(dir.toString()) && line.endsWith(suffix);
            } else if (index && line.startsWith("Rss:")) {
                sum += Long.parseLong(line.replaceAll("\\D", ""));
            }
        }
        return sum;
    }
}
