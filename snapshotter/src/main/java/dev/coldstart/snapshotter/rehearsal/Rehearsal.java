package dev.coldstart.snapshotter.rehearsal;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.LayerOrdinals;
import dev.coldstart.snapshotter.fetch.Priority;
import dev.coldstart.snapshotter.fetch.RegistrySource;
import dev.coldstart.snapshotter.fetch.SpanFetcher;
import dev.coldstart.snapshotter.fetch.Wanted;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.PartialObject;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.registry.Credentials;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.Trust;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Has a fresh daemon's code compiled before an image needs it: a generated layer comes from a registry in this process, is
 * read whole, and is read lazily, a few times. A pull right after the start would otherwise spend a third of its processor
 * time on compiling, which Java 25 cannot keep from one process to the next. Leaves nothing behind, and makes room as soon as
 * there is something real to do.
 */
public final class Rehearsal implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(Rehearsal.class.getName());
    private static final int ROUNDS = 4;
    private static final int FILES = 800;
    private static final int LARGE = 8 << 20;
    private static final int READ = 128 << 10;
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final Duration END = Duration.ofSeconds(5);

    private final Path directory;
    private final BooleanSupplier wanted;
    private final Thread thread;

    private Rehearsal(Path directory, BooleanSupplier wanted) {
        this.directory = directory;
        this.wanted = wanted;
        this.thread = Thread.ofVirtual().name("rehearsal").unstarted(this::play);
    }

    /**
     * Begins; does not wait.
     *
     * @param directory for some 30 MB, which is deleted at the end and first; better in memory than on a disk
     * @param wanted whether there is something real to do
     */
    public static Rehearsal begin(Path directory, BooleanSupplier wanted) {
        Rehearsal rehearsal = new Rehearsal(directory, wanted);
        rehearsal.thread.start();
        return rehearsal;
    }

    /** Waits until it is over. */
    void await() throws InterruptedException {
        thread.join();
    }

    private void play() {
        try {
            delete(directory);
            rehearse(Files.createDirectories(directory));
        } catch (IOException e) {
            LOG.log(System.Logger.Level.DEBUG, "the rehearsal ended early: {0}", e.getMessage());
        } finally {
            try {
                delete(directory);
            } catch (IOException e) {
                LOG.log(System.Logger.Level.WARNING, "cannot delete what was rehearsed with: {0}", e.getMessage());
            }
        }
        // Now little is alive, and the heap would stay as large as this made it.
        System.gc();
    }

    private void rehearse(Path empty) throws IOException {
        GeneratedLayer layer = GeneratedLayer.of(1, FILES, LARGE);
        try (LoopbackRegistry registry = new LoopbackRegistry()) {
            registry.put(layer.digest(), layer.blob());
            Path authority = Files.writeString(empty.resolve("ca.crt"), registry.certificate());
            LayerSource from = new LayerSource(layer.digest(), registry.host(), "rehearsal");
            try (RegistryClient client = new RegistryClient(
                            host -> false, Trust.with(List.of(authority)), Credentials.none(), PATIENCE);
                    RegistrySource source = new RegistrySource(client, digest -> List.of(from))) {
                for (int round = 0; round < ROUNDS && !wanted.getAsBoolean(); round++) {
                    play(empty.resolve(Integer.toString(round)), layer, source);
                }
            }
        }
    }

    private void play(Path root, GeneratedLayer layer, RegistrySource source) throws IOException {
        Path index = Files.createDirectories(root).resolve("layer.idx");
        try (ObjectStore objects = ObjectStore.open(root.resolve("pulled"), StoreSettings.DEFAULTS);
                InputStream blob = new WhileNotWanted(source.openWhole(layer.digest()))) {
            var _ = LayerIndexer.index(
                    blob,
                    layer.digest(),
                    layer.diffId(),
                    index,
                    root.resolve("layer.erofs"),
                    objects.sink(),
                    ProgressListener.NONE);
        }
        try (ObjectStore objects = ObjectStore.open(root.resolve("lazy"), StoreSettings.DEFAULTS);
                LayerOrdinals ordinals = LayerOrdinals.open(root.resolve("layers"))) {
            KnownLayer known = new KnownLayers(ordinals).add(layer.digest(), index);
            try (LayerIndex _ = known.index();
                    SpanFetcher fetcher = new SpanFetcher(source, objects, PATIENCE)) {
                start(layer, known, objects, fetcher);
            }
        }
        delete(root);
    }

    /** As a container that starts: what it is known to read is fetched, while it reads. */
    private void start(GeneratedLayer layer, KnownLayer known, ObjectStore objects, SpanFetcher fetcher)
            throws IOException {
        try (ExecutorService replay = Executors.newVirtualThreadPerTaskExecutor();
                Arena arena = Arena.ofConfined()) {
            replay.execute(() -> replay(known, fetcher));
            CallState state = new CallState(arena);
            MemorySegment into = arena.allocate(READ);
            // From the end, where the replay comes last.
            for (ObjectName object : layer.objects().reversed()) {
                read(known, known.index().find(object), objects, fetcher, state, into);
            }
        }
    }

    private void replay(KnownLayer known, SpanFetcher fetcher) {
        try {
            fetcher.bring(
                    IntStream.range(0, known.index().spanCount())
                            .mapToObj(span -> new Wanted(known, span))
                            .takeWhile(span -> !wanted.getAsBoolean())
                            .iterator(),
                    Priority.REPLAY);
        } catch (IOException e) {
            LOG.log(System.Logger.Level.DEBUG, "the rehearsal's replay ended early: {0}", e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void read(
            KnownLayer layer, int row, ObjectStore objects, SpanFetcher fetcher, CallState state, MemorySegment into)
            throws IOException {
        ObjectName name = layer.index().objectName(row);
        long size = layer.index().objectSize(row);
        PartialObject object = objects.acquire(name, size, layer.pieces(row), layer.cut());
        try {
            for (long offset = 0; offset < size && !wanted.getAsBoolean(); offset += READ) {
                long length = Math.min(READ, size - offset);
                if (SpanFetcher.isHere(layer, row, object, offset, length)) {
                    fetcher.touched(layer, row, offset, length);
                } else {
                    fetcher.read(layer, row, object, state, into, length, offset, fetcher.deadline());
                }
            }
        } finally {
            objects.release(name, layer.cut());
        }
    }

    private static void delete(Path directory) throws IOException {
        if (!Files.exists(directory)) {
            return;
        }
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }

    /** Ends it, if it has not ended yet. */
    @Override
    public void close() {
        thread.interrupt();
        try {
            var _ = thread.join(END);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** A body that breaks off when there is something real to do. */
    private final class WhileNotWanted extends FilterInputStream {
        WhileNotWanted(InputStream body) {
            super(body);
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            if (wanted.getAsBoolean()) {
                throw new InterruptedIOException("there is something real to do");
            }
            return super.read(bytes, offset, length);
        }
    }
}
