package dev.coldstart.snapshotter.fetch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.linux.ServiceManager;
import dev.coldstart.snapshotter.fuse.RemoteTier;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.metadata.LayerSource;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.registry.BlobScript;
import dev.coldstart.snapshotter.registry.Credentials;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.ScriptedServer;
import dev.coldstart.snapshotter.registry.ScriptedServer.Reply;
import dev.coldstart.snapshotter.registry.ScriptedServer.Request;
import dev.coldstart.snapshotter.registry.Trust;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Reads in front of a registry that does everything wrong: each ends in right bytes or in an error within its bound, and
 * nothing wrong is kept.
 */
class FaultInjectionTest {
    private static final Duration PATIENCE = Duration.ofSeconds(6);
    /** A read's own bound, and time for a machine that does much else. */
    private static final Duration BOUND = PATIENCE.plusSeconds(60);

    /** What an answer to a request for a blob is. */
    enum Fault {
        SOUND,
        UNAUTHORIZED,
        FORBIDDEN,
        NOT_FOUND,
        RANGE_REFUSED,
        TOO_MANY,
        TOO_MANY_FOR_LONG,
        SERVER_ERROR,
        RESET,
        RESET_MIDWAY,
        STALL,
        STALL_MIDWAY,
        SHORT_BODY,
        SHORTER_RANGE,
        WRONG_RANGE,
        OTHER_BYTES,
        LENGTH_TOO_LARGE,
        LENGTH_TOO_SMALL,
        FLIPPED,
        EXPIRED_REDIRECT,
        REDIRECT_LOOP,
        NO_RANGES,
        GARBAGE
    }

    @TempDir
    Path root;

    private final Deque<AutoCloseable> parts = new ArrayDeque<>();
    private final AtomicInteger wholes = new AtomicInteger();
    private TestLayer data;
    private byte[] blob;
    private ScriptedServer registry;
    private ScriptedServer storage;
    private ObjectStore store;
    private SpanFetcher fetcher;
    private KnownLayers known;
    private KnownLayer layer;
    private volatile Supplier<Fault> faults = () -> Fault.SOUND;

    @BeforeEach
    void start() throws Exception {
        data = TestLayer.generate(23);
        blob = data.blob();
        storage = own(new ScriptedServer((request, reply) -> {
            if (request.target().endsWith("expired")) {
                reply.send(403);
            } else {
                BlobScript.send(request, reply, blob);
            }
        }));
        registry = own(new ScriptedServer(this::answer));
        Path index = root.resolve("layer.idx");
        LayerIndexer.index(
                new ByteArrayInputStream(blob),
                data.digest(),
                data.diffId(),
                index,
                root.resolve("layer.erofs"),
                null,
                ProgressListener.NONE);
        store = own(ObjectStore.open(root, StoreSettings.DEFAULTS));
        RegistryClient client =
                own(new RegistryClient(host -> true, Trust.with(List.of()), Credentials.none(), PATIENCE.dividedBy(3)));
        LayerSource at = new LayerSource(data.digest(), registry.host(), "team/model");
        RegistrySource source = own(new RegistrySource(
                client, digest -> List.of(at), root.resolve("spool"), StoreSettings.DEFAULTS.freeMin()));
        fetcher = own(new SpanFetcher(source, store, PATIENCE));
        known = new KnownLayers(own(LayerOrdinals.open(root.resolve("layers"))));
        layer = known.add(data.digest(), index);
    }

    private <T extends AutoCloseable> T own(T part) {
        parts.push(part);
        return part;
    }

    @AfterEach
    void stop() throws Exception {
        registry.close();
        while (!parts.isEmpty()) {
            parts.pop().close();
        }
    }

    private void answer(Request request, Reply reply) throws IOException {
        long[] range = BlobScript.range(request, blob.length);
        int from = range == null ? 0 : (int) range[0];
        int to = range == null ? blob.length : (int) range[1];
        int middle = from + (to - from) / 2;
        int status = range == null ? 200 : 206;
        byte[] body = Arrays.copyOfRange(blob, from, to);
        switch (faults.get()) {
            case SOUND -> BlobScript.send(request, reply, blob);
            case UNAUTHORIZED -> reply.send(401);
            case FORBIDDEN -> reply.send(403);
            case NOT_FOUND -> reply.send(404);
            case RANGE_REFUSED -> reply.send(416);
            case TOO_MANY -> reply.send(429, Map.of("Retry-After", "0"), new byte[0]);
            case TOO_MANY_FOR_LONG -> reply.send(429, Map.of("Retry-After", "4"), new byte[0]);
            case SERVER_ERROR -> reply.send(502);
            case RESET -> reply.reset();
            case RESET_MIDWAY -> {
                reply.head(status, headers(from, to, body.length));
                reply.write(blob, from, middle);
                reply.reset();
            }
            case STALL -> reply.stall();
            case STALL_MIDWAY -> {
                reply.head(status, headers(from, to, body.length));
                reply.write(blob, from, middle);
                reply.stall();
            }
            case SHORT_BODY -> {
                reply.head(status, headers(from, to, body.length));
                reply.write(blob, from, middle);
                reply.close();
            }
            case SHORTER_RANGE ->
                reply.send(
                        status,
                        headers(from, Math.max(from + 1, middle), Math.max(1, middle - from)),
                        Arrays.copyOfRange(blob, from, Math.max(from + 1, middle)));
            case WRONG_RANGE -> reply.send(status, headers(from + 1, to + 1, body.length), body);
            case OTHER_BYTES -> {
                byte[] other = Arrays.copyOfRange(blob, from + 1, to + 1);
                reply.send(status, headers(from, to, body.length), other);
            }
            case LENGTH_TOO_LARGE -> {
                reply.head(status, headers(from, to, body.length + 1000));
                reply.write(body, 0, body.length);
                reply.close();
            }
            case LENGTH_TOO_SMALL -> {
                reply.head(status, headers(from, to, body.length / 2));
                reply.write(body, 0, body.length);
                reply.close();
            }
            case FLIPPED -> {
                body[body.length / 2] ^= 1;
                reply.send(status, headers(from, to, body.length), body);
            }
            case EXPIRED_REDIRECT -> reply.send(307, Map.of("Location", storage.url() + "/x?expired"), new byte[0]);
            case REDIRECT_LOOP -> reply.send(302, Map.of("Location", request.target()), new byte[0]);
            case NO_RANGES -> {
                wholes.incrementAndGet();
                reply.send(200, Map.of(), blob);
            }
            case GARBAGE -> {
                byte[] noise = new byte[500];
                new Random(from).nextBytes(noise);
                reply.write(noise, 0, noise.length);
                reply.close();
            }
        }
    }

    private Map<String, String> headers(int from, int to, int length) {
        return Map.of(
                "Content-Length",
                Integer.toString(length),
                "Content-Range",
                "bytes " + from + "-" + (to - 1) + "/" + blob.length);
    }

    private byte[] read(int row, int offset, int length) throws IOException {
        return new ObjectReads(fetcher, store).read(layer, row, offset, length);
    }

    private byte[] expected(int row, int offset, int length) {
        int start = (int) layer.index().objectOffset(row) + offset;
        return Arrays.copyOfRange(data.tar(), start, start + length);
    }

    /** Whether the bytes came; they must be right then. */
    private boolean tryToRead(int row, int offset, int length) {
        long start = System.nanoTime();
        boolean came;
        try {
            assertThat(read(row, offset, length)).isEqualTo(expected(row, offset, length));
            came = true;
        } catch (IOException e) {
            came = false;
        }
        assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(BOUND);
        return came;
    }

    private void assertThatNothingWrongIsKept() throws IOException {
        for (int row = 0; row < layer.index().objectCount(); row++) {
            ObjectName name = layer.index().objectName(row);
            if (store.contains(name)) {
                assertThat(store.directory().resolve(name.path()))
                        .hasBinaryContent(expected(row, 0, (int) layer.index().objectSize(row)));
            }
        }
    }

    /** The registry may have asked to be left alone for a while. */
    private void assertThatAllIsWellOnceTheRegistryIs() throws Exception {
        faults = () -> Fault.SOUND;
        for (int row = 0; row < layer.index().objectCount(); row++) {
            int size = (int) layer.index().objectSize(row);
            for (int i = 0; i < 40 && !tryToRead(row, 0, size); i++) {
                Thread.sleep(250);
            }
            assertThat(read(row, 0, size)).isEqualTo(expected(row, 0, size));
        }
        assertThatNothingWrongIsKept();
    }

    @ParameterizedTest
    @EnumSource(Fault.class)
    void aFaultThatLastsIsAnErrorOrGotOver(Fault fault) throws Exception {
        faults = () -> fault;
        Random random = new Random(29);
        for (int i = 0; i < 3; i++) {
            int row = random.nextInt(layer.index().objectCount());
            boolean came = tryToRead(row, 0, (int) Math.min(layer.index().objectSize(row), 300_000));
            if (fault == Fault.SOUND || fault == Fault.NO_RANGES || fault == Fault.SHORTER_RANGE) {
                assertThat(came).as("row " + row).isTrue();
            }
        }
        assertThatNothingWrongIsKept();
        assertThatAllIsWellOnceTheRegistryIs();
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void anyMixtureOfFaultsIsAnErrorOrGotOver(long seed) throws Exception {
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        Fault[] all = Fault.values();
        Supplier<Fault> mixture = () -> {
            synchronized (random) {
                Fault one = all[random.nextInt(all.length)];
                boolean slow = one == Fault.STALL || one == Fault.STALL_MIDWAY || one == Fault.TOO_MANY_FOR_LONG;
                // One of these would be followed by no request for ranges at all.
                boolean last = one == Fault.NO_RANGES;
                return random.nextInt(3) > 0 || last || (slow && random.nextInt(4) > 0) ? Fault.SOUND : one;
            }
        };
        faults = mixture;
        Random reads = new Random(seed);
        int came = 0;
        try (var readers = Executors.newFixedThreadPool(6)) {
            List<Future<Boolean>> tries = new ArrayList<>();
            for (int i = 0; i < 150; i++) {
                int row = reads.nextInt(layer.index().objectCount());
                int size = (int) layer.index().objectSize(row);
                int offset = reads.nextInt(size);
                int length = 1 + reads.nextInt(Math.min(size - offset, 1 << 20));
                tries.add(readers.submit(() -> tryToRead(row, offset, length)));
            }
            for (Future<Boolean> one : tries) {
                came += one.get() ? 1 : 0;
            }
        }
        assertThat(came).as("seed " + seed + ": most reads get their bytes").isGreaterThan(75);
        assertThatNothingWrongIsKept();
        assertThatAllIsWellOnceTheRegistryIs();
    }

    @Test
    void aRegistryWithoutRangesIsAskedForTheBlobOnce() throws Exception {
        faults = () -> Fault.NO_RANGES;
        Random random = new Random(9);
        try (var readers = Executors.newFixedThreadPool(6)) {
            List<Future<Boolean>> tries = new ArrayList<>();
            for (int i = 0; i < 60; i++) {
                int row = random.nextInt(layer.index().objectCount());
                int size = (int) layer.index().objectSize(row);
                tries.add(readers.submit(() -> tryToRead(row, 0, Math.min(size, 1 << 20))));
            }
            for (Future<Boolean> one : tries) {
                assertThat(one.get()).isTrue();
            }
        }
        // Those that were under way before the first answer cannot know.
        assertThat(wholes.get()).isLessThan(12);
        assertThatNothingWrongIsKept();
        try (var spooled = Files.list(root.resolve("spool"))) {
            assertThat(spooled).as("files have no names").isEmpty();
        }
    }

    @Test
    void readersOfTheFileSystemGetRightBytesOrAnError() throws Exception {
        assumeTrue(Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid")), "needs root");
        assumeTrue(Files.exists(Path.of("/dev/fuse")), "needs /dev/fuse");
        own(RemoteTier.start(known, store, fetcher, root.resolve("remote"), new ServiceManager(Map.of())));
        Fault[] all = Fault.values();
        Random random = new Random(17);
        faults = () -> {
            synchronized (random) {
                Fault one = all[random.nextInt(all.length)];
                boolean last = one == Fault.NO_RANGES || one == Fault.STALL || one == Fault.STALL_MIDWAY;
                return random.nextInt(2) > 0 || last ? Fault.SOUND : one;
            }
        };
        for (int row = 0; row < layer.index().objectCount(); row++) {
            Path file =
                    root.resolve("remote").resolve(layer.index().objectName(row).path());
            int size = (int) layer.index().objectSize(row);
            byte[] read = null;
            for (int i = 0; i < 40 && read == null; i++) {
                try {
                    read = Files.readAllBytes(file);
                } catch (IOException e) {
                    assertThat(e).hasMessageContaining("Input/output error");
                }
            }
            assertThat(read).isEqualTo(expected(row, 0, size));
        }
        assertThatNothingWrongIsKept();
    }
}
