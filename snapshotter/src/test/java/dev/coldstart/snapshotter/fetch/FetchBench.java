package dev.coldstart.snapshotter.fetch;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.PartialObject;
import dev.coldstart.snapshotter.object.StoreSettings;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;

/**
 * Throughput of readers over a source with a link's bandwidth, a bandwidth of each connection and a latency; not a test. Uses
 * only what fetching has always had, so that it can be run on another state of the tree to compare; but for the last lines,
 * which are seconds of a start that reads here and there and works in between, without and with a replay.
 */
final class FetchBench {
    private static final int READ = 128 << 10;
    private static final int LARGE = 96 << 20;

    private FetchBench() {}

    /** A link that all connections share, on which each has no more than its own rate; one answer in some comes late. */
    private static final class Link implements BlobSource {
        private final byte[] blob;
        private final double nanosPerByte;
        private final double connectionNanosPerByte;
        private final long latencyNanos;
        private final AtomicLong free = new AtomicLong(System.nanoTime());
        private final Random random = new Random(1);

        Link(byte[] blob, double bytesPerSecond, double connectionBytesPerSecond, double latencySeconds) {
            this.blob = blob;
            nanosPerByte = 1e9 / bytesPerSecond;
            connectionNanosPerByte = 1e9 / connectionBytesPerSecond;
            latencyNanos = (long) (latencySeconds * 1e9);
        }

        @Override
        public InputStream open(Digest layer, long from, long to) throws IOException {
            boolean late;
            synchronized (random) {
                late = random.nextInt(50) == 0;
            }
            sleepUntil(System.nanoTime() + (late ? 1_000_000_000 : latencyNanos));
            return new ByteArrayInputStream(blob, (int) from, (int) (to - from)) {
                private long own = System.nanoTime();

                @Override
                public synchronized int read(byte[] into, int offset, int length) {
                    int n = super.read(into, offset, Math.min(length, 16 << 10));
                    if (n > 0) {
                        long now = System.nanoTime();
                        long cost = (long) (n * nanosPerByte);
                        long link = free.updateAndGet(at -> Math.max(at, now - 2_000_000) + cost);
                        own = Math.max(own, now - 2_000_000) + (long) (n * connectionNanosPerByte);
                        try {
                            sleepUntil(Math.max(link, own));
                        } catch (IOException e) {
                            return -1;
                        }
                    }
                    return n;
                }
            };
        }

        private static void sleepUntil(long nanos) throws IOException {
            long left = nanos - System.nanoTime();
            try {
                if (left > 500_000) {
                    TimeUnit.NANOSECONDS.sleep(left);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw (IOException) new InterruptedIOException("interrupted").initCause(e);
            }
        }
    }

    public static void main(String[] args) throws Exception {
        Random random = new Random(3);
        Map<String, byte[]> files = new TreeMap<>();
        for (String name : List.of("a", "b")) {
            byte[] bytes = new byte[LARGE];
            for (int i = 0; i < bytes.length; i++) {
                bytes[i] = (byte) random.nextInt(16);
            }
            files.put("weights/" + name, bytes);
        }
        TestLayer layer = TestLayer.of(files);
        System.out.println("link MB/s  connection MB/s  ms  what                  MB/s read  p99 of reads, ms");
        for (double[] link : new double[][] {{125e6, 125e6, 0.001}, {125e6, 40e6, 0.02}, {400e6, 30e6, 0.03}}) {
            for (int readers : new int[] {1, 2}) {
                run(layer, link, readers, false);
            }
            run(layer, link, 8, true);
        }
        System.out.println("link MB/s  connection MB/s  ms  start, s  replayed, s");
        for (double[] link : new double[][] {{125e6, 125e6, 0.001}, {125e6, 40e6, 0.02}}) {
            System.out.printf(
                    Locale.ROOT,
                    "%9.0f  %15.0f  %2.0f  %8.2f  %11.2f%n",
                    link[0] / 1e6,
                    link[1] / 1e6,
                    link[2] * 1e3,
                    start(layer, link, false),
                    start(layer, link, true));
        }
    }

    private static double start(TestLayer data, double[] shape, boolean replay) throws Exception {
        Path root = Files.createTempDirectory("fetch-bench");
        try (ObjectStore store = ObjectStore.open(root, StoreSettings.DEFAULTS);
                LayerOrdinals ordinals = LayerOrdinals.open(root.resolve("layers"))) {
            KnownLayer layer = index(data, root, ordinals);
            Link link = new Link(data.blob(), shape[0], shape[1], shape[2]);
            int row = layer.index().byOffset(0);
            long size = layer.index().objectSize(row);
            Random random = new Random(9);
            long[] offsets = random.longs(60, 0, size - READ).toArray();
            try (SpanFetcher fetcher = new SpanFetcher(link, store, Duration.ofMinutes(5))) {
                long start = System.nanoTime();
                if (replay) {
                    List<Wanted> spans = new ArrayList<>();
                    for (long offset : offsets) {
                        long at = layer.index().objectOffset(row) + offset;
                        spans.add(new Wanted(layer, layer.index().spanAt(at)));
                        spans.add(new Wanted(layer, layer.index().spanAt(at + READ - 1)));
                    }
                    Thread.ofVirtual().start(() -> {
                        try {
                            fetcher.bring(spans.iterator(), Priority.REPLAY);
                        } catch (IOException | InterruptedException e) {
                            throw new IllegalStateException(e);
                        }
                    });
                }
                for (long offset : offsets) {
                    var _ = read(store, fetcher, layer, row, new long[] {offset});
                    Thread.sleep(15);
                }
                return (System.nanoTime() - start) / 1e9;
            }
        } finally {
            delete(root);
        }
    }

    private static KnownLayer index(TestLayer data, Path root, LayerOrdinals ordinals) throws Exception {
        Path index = root.resolve("layer.idx");
        LayerIndexer.index(
                new ByteArrayInputStream(data.blob()),
                data.digest(),
                data.diffId(),
                index,
                root.resolve("layer.erofs"),
                null,
                ProgressListener.NONE);
        return new KnownLayers(ordinals).add(data.digest(), index);
    }

    private static void delete(Path root) throws IOException {
        try (var files = Files.walk(root)) {
            for (Path file : files.sorted((a, b) -> b.compareTo(a)).toList()) {
                Files.delete(file);
            }
        }
    }

    private static void run(TestLayer data, double[] shape, int readers, boolean jumping) throws Exception {
        Path root = Files.createTempDirectory("fetch-bench");
        try (ObjectStore store = ObjectStore.open(root, StoreSettings.DEFAULTS);
                LayerOrdinals ordinals = LayerOrdinals.open(root.resolve("layers"))) {
            KnownLayer layer = index(data, root, ordinals);
            Link link = new Link(data.blob(), shape[0], shape[1], shape[2]);
            try (SpanFetcher fetcher = new SpanFetcher(link, store, Duration.ofMinutes(5))) {
                List<Thread> threads = new ArrayList<>();
                long[][] times = new long[readers][];
                long start = System.nanoTime();
                for (int i = 0; i < readers; i++) {
                    int reader = i;
                    threads.add(Thread.ofPlatform().start(() -> {
                        int row = layer.index()
                                .find(ObjectName.of(
                                        TestLayer.sha256(data.file("weights/" + (reader % 2 == 0 ? "a" : "b")))
                                                .bytes()));
                        times[reader] = read(
                                store, fetcher, layer, row, offsets(layer, row, jumping ? new Random(reader) : null));
                    }));
                }
                for (Thread thread : threads) {
                    thread.join();
                }
                double seconds = (System.nanoTime() - start) / 1e9;
                long[] all = Arrays.stream(times)
                        .flatMapToLong(Arrays::stream)
                        .sorted()
                        .toArray();
                System.out.printf(
                        Locale.ROOT,
                        "%9.0f  %15.0f  %2.0f  %-20s  %9.1f  %.0f%n",
                        shape[0] / 1e6,
                        shape[1] / 1e6,
                        shape[2] * 1e3,
                        readers + (jumping ? " readers that jump" : " sequential"),
                        (double) all.length * READ / seconds / 1e6,
                        all[(int) (all.length * 0.99)] / 1e6);
            }
        } finally {
            delete(root);
        }
    }

    /** All of an object, or some of it here and there. */
    private static long[] offsets(KnownLayer layer, int row, @Nullable Random random) {
        long reads = layer.index().objectSize(row) / READ;
        return random == null
                ? LongStream.range(0, reads).map(i -> i * READ).toArray()
                : random.longs(40, 0, reads).map(i -> i * READ).toArray();
    }

    /** Reads as the remote tier would; nanoseconds of each read. */
    private static long[] read(ObjectStore store, SpanFetcher fetcher, KnownLayer layer, int row, long[] offsets) {
        ObjectName name = layer.index().objectName(row);
        long size = layer.index().objectSize(row);
        long[] times = new long[offsets.length];
        PartialObject object = store.acquire(name, size, layer.pieces(row), layer.cut());
        try (Arena arena = Arena.ofConfined()) {
            CallState state = new CallState(arena);
            MemorySegment into = arena.allocate(READ);
            for (int i = 0; i < offsets.length; i++) {
                long offset = offsets[i];
                long start = System.nanoTime();
                if (SpanFetcher.isHere(layer, row, object, offset, READ)) {
                    fetcher.touched(layer, row, offset, READ);
                } else {
                    fetcher.read(layer, row, object, state, into, READ, offset, fetcher.deadline());
                }
                times[i] = System.nanoTime() - start;
            }
            return times;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } finally {
            store.release(name, layer.cut());
        }
    }
}
