package dev.coldstart.snapshotter.fetch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.linux.Mount;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.Size;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.registry.Credentials;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.Trust;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A store on a file system of its own, which gets full. */
class FullDiskTest {
    /** Where the disk keeps what the node already had; more than the layer's first objects, less than all. */
    private static final int ROOM = 3 << 20;

    @TempDir
    Path directory;

    private Path disk;
    private TestLayer data;
    private FaultyRegistry registry;
    private RegistryClient client;
    private ObjectStore store;
    private SpanFetcher fetcher;
    private LayerOrdinals ordinals;
    private KnownLayer layer;

    @BeforeEach
    void start() throws Exception {
        assumeTrue(
                Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid")),
                "mounting a file system needs root");
        assumeTrue(Files.exists(Path.of("/dev/loop-control")), "needs loop devices");
        Path image = directory.resolve("image");
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(40 << 20);
        }
        disk = Files.createDirectory(directory.resolve("disk"));
        run("mkfs.ext4", "-q", "-m", "0", image.toString());
        run("mount", "-o", "loop", image.toString(), disk.toString());
        data = TestLayer.generate(42);
        registry = new FaultyRegistry(false);
        registry.blob(data.digest().toString(), data.blob());
        client = new RegistryClient(host -> true, Trust.with(List.of()), Credentials.none(), Duration.ofSeconds(5));
        Path index = directory.resolve("layer.idx");
        index(index, directory.resolve("layer.erofs"));
        store = ObjectStore.open(
                disk, new StoreSettings(new Size(100, Size.Unit.PERCENT), Size.ZERO, 0, StoreSettings.Verify.ONCE, 0));
        LayerSource source = new LayerSource(data.digest(), registry.host(), "team/model");
        fetcher = new SpanFetcher(new RegistrySource(client, digest -> List.of(source)), store, Duration.ofSeconds(20));
        ordinals = LayerOrdinals.open(directory.resolve("layers"));
        layer = new KnownLayers(ordinals).add(data.digest(), index);
    }

    private void index(Path index, Path tree) throws IOException {
        var _ = LayerIndexer.index(
                new ByteArrayInputStream(data.blob()),
                data.digest(),
                data.diffId(),
                index,
                tree,
                null,
                ProgressListener.NONE);
    }

    @AfterEach
    void stop() throws Exception {
        if (fetcher != null) {
            fetcher.close();
            client.close();
            registry.close();
            store.close();
            ordinals.close();
        }
        if (disk != null) {
            Mount.umount(disk.toString(), Mount.MNT_DETACH);
        }
    }

    private static void run(String... command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor())
                .as(Arrays.toString(command) + ": " + output)
                .isZero();
    }

    /** Leaves about so many bytes. */
    private Path fill(long left) throws IOException {
        Path file = disk.resolve("filler");
        byte[] block = new byte[4096];
        try (FileChannel out = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            while (Files.getFileStore(disk).getUsableSpace() > left) {
                var _ = out.write(ByteBuffer.wrap(block));
            }
            out.force(true);
        } catch (IOException e) {
            assertThat(left).as(e.getMessage()).isZero();
        }
        return file;
    }

    private void readAll(int step) throws IOException {
        LayerIndex index = layer.index();
        Random random = new Random(step);
        for (int row = 0; row < index.objectCount(); row++) {
            int size = (int) index.objectSize(row);
            int offset = random.nextInt(size);
            int length = Math.min(size - offset, 1 << 20);
            int start = (int) index.objectOffset(row) + offset;
            assertThat(new ObjectReads(fetcher, store).read(layer, row, offset, length))
                    .isEqualTo(Arrays.copyOfRange(data.tar(), start, start + length));
        }
    }

    private void assertThatWhatIsThereIsWhole() throws IOException {
        LayerIndex index = layer.index();
        for (int row = 0; row < index.objectCount(); row++) {
            if (store.contains(index.objectName(row))) {
                int start = (int) index.objectOffset(row);
                assertThat(store.directory().resolve(index.objectName(row).path()))
                        .hasBinaryContent(Arrays.copyOfRange(data.tar(), start, start + (int) index.objectSize(row)));
            }
        }
    }

    @Test
    void readsAreRightWhileTheDiskFillsAndWhenItIsFullAndObjectsAreKeptAgainAfterwards() throws Exception {
        Path filler = fill(ROOM);
        readAll(1);
        readAll(2);
        assertThatWhatIsThereIsWhole();
        Files.delete(filler);
        filler = fill(0);
        readAll(3);
        assertThatWhatIsThereIsWhole();

        Files.delete(filler);
        fetcher.close();
        fetcher = new SpanFetcher(
                new RegistrySource(
                        client, digest -> List.of(new LayerSource(data.digest(), registry.host(), "team/model"))),
                store,
                Duration.ofSeconds(20));
        readAll(4);
        readAll(5);
        readAll(6);
        assertThatWhatIsThereIsWhole();
        int requests = registry.requests();
        readAll(4);
        assertThat(registry.requests()).isEqualTo(requests);
    }

    @Test
    void aTreeOrIndexThatDoesNotFitIsAnErrorAndLeavesNoFile() throws Exception {
        Path trees = Files.createDirectory(disk.resolve("trees"));
        for (long left : new long[] {0, 40_000, 100_000}) {
            Path filler = fill(left);
            assertThatThrownBy(() -> index(trees.resolve("x.idx"), trees.resolve("x.erofs")))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("No space left on device");
            assertThat(trees).isEmptyDirectory();
            Files.delete(filler);
        }
        index(trees.resolve("x.idx"), trees.resolve("x.erofs"));
        assertThat(trees.resolve("x.idx")).exists();
    }
}
