package dev.coldstart.snapshotter.fuse;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.linux.ServiceManager;
import dev.coldstart.snapshotter.fetch.FaultyRegistry;
import dev.coldstart.snapshotter.fetch.FaultyRegistry.Fault;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.LayerOrdinals;
import dev.coldstart.snapshotter.fetch.RegistrySource;
import dev.coldstart.snapshotter.fetch.SpanFetcher;
import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.registry.Credentials;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.Trust;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The mounted file system by itself, in front of a registry that misbehaves. */
class RemoteTierTest {
    private static final Duration PATIENCE = Duration.ofSeconds(4);

    @TempDir
    Path root;

    private final Deque<AutoCloseable> parts = new ArrayDeque<>();
    private TestLayer data;
    private FaultyRegistry registry;
    private KnownLayer layer;

    @BeforeEach
    void start() throws Exception {
        assumeTrue(Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid")), "needs root");
        assumeTrue(Files.exists(Path.of("/dev/fuse")), "needs /dev/fuse");
        data = TestLayer.generate(11);
        registry = own(new FaultyRegistry(false));
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
        RegistryClient client =
                own(new RegistryClient(host -> true, Trust.with(List.of()), Credentials.none(), PATIENCE.dividedBy(3)));
        ObjectStore store = own(ObjectStore.open(root, StoreSettings.DEFAULTS));
        LayerSource source = new LayerSource(data.digest(), registry.host(), "team/model");
        SpanFetcher fetcher =
                own(new SpanFetcher(new RegistrySource(client, digest -> List.of(source)), store, PATIENCE));
        KnownLayers known = new KnownLayers(own(LayerOrdinals.open(root.resolve("layers"))));
        layer = known.add(data.digest(), index);
        own(RemoteTier.start(known, store, fetcher, root.resolve("remote"), new ServiceManager(Map.of())));
    }

    private <T extends AutoCloseable> T own(T part) {
        parts.push(part);
        return part;
    }

    @AfterEach
    void stop() throws Exception {
        while (!parts.isEmpty()) {
            parts.pop().close();
        }
    }

    private Path file(int row) {
        return root.resolve("remote").resolve(layer.index().objectName(row).path());
    }

    private byte[] expected(int row) {
        int start = (int) layer.index().objectOffset(row);
        return Arrays.copyOfRange(data.tar(), start, start + (int) layer.index().objectSize(row));
    }

    /** The object at the end of the tar, far from all others. */
    private int last() {
        return layer.index().byOffset(layer.index().objectCount() - 1);
    }

    @Test
    void everyObjectHasItsNameItsSizeAndItsBytes() throws Exception {
        for (int row = 0; row < layer.index().objectCount(); row++) {
            assertThat(Files.size(file(row))).isEqualTo(layer.index().objectSize(row));
            assertThat(file(row)).hasBinaryContent(expected(row));
        }
        assertThat(root.resolve("remote/ab/" + "cd".repeat(31))).doesNotExist();
        assertThat(root.resolve("remote/nothing")).doesNotExist();
    }

    @Test
    void bytesThatDoNotComeAreAnErrorForThatReadOnly() throws Exception {
        int near = layer.index().byOffset(0);
        byte[] here = Files.readAllBytes(file(near));
        registry.misbehave(Fault.SILENT, Integer.MAX_VALUE);
        assertThatThrownBy(() -> Files.readAllBytes(file(last())))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("Input/output error");
        assertThat(file(near)).hasBinaryContent(here);
        registry.misbehave(Fault.SOUND, 0);
        assertThat(file(last())).hasBinaryContent(expected(last()));
    }

    @Test
    void aReaderThatIsKilledNeedNotWaitForTheRegistry() throws Exception {
        registry.misbehave(Fault.SILENT, Integer.MAX_VALUE);
        // Without the page cache the reader itself waits for us, in the kernel, and no signal ends that.
        Process reader = new ProcessBuilder(
                        "dd", "if=" + file(last()), "of=/dev/null", "iflag=direct", "bs=4096", "count=1")
                .redirectErrorStream(true)
                .start();
        try {
            Path wchan = Path.of("/proc", Long.toString(reader.pid()), "stat");
            for (int i = 0; i < 200 && !Files.readString(wchan).contains(") D"); i++) {
                Thread.sleep(10);
            }
        } finally {
            reader.destroyForcibly();
        }
        assertThat(reader.waitFor(PATIENCE.toMillis() / 2, TimeUnit.MILLISECONDS))
                .as("the reader ended long before its read would have failed")
                .isTrue();
    }
}
