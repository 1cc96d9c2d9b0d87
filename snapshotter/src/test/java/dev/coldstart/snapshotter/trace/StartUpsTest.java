package dev.coldstart.snapshotter.trace;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.linux.CallState;
import dev.coldstart.snapshotter.fetch.HeldSource;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.LayerOrdinals;
import dev.coldstart.snapshotter.fetch.Prefetch;
import dev.coldstart.snapshotter.fetch.Priority;
import dev.coldstart.snapshotter.fetch.SpanFetcher;
import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.PartialObject;
import dev.coldstart.snapshotter.object.StoreSettings;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PipedInputStream;
import java.io.PipedOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Starts of one image on several nodes. */
@Timeout(240)
class StartUpsTest {
    private static final Duration NEVER = Duration.ofHours(1);
    private static final StartUps.Settings RECORD =
            new StartUps.Settings(true, false, true, Duration.ofMillis(20), NEVER, NEVER);

    private static TestLayer base;
    private static TestLayer app;

    @TempDir
    Path root;

    private final Deque<AutoCloseable> parts = new ArrayDeque<>();
    private final Set<Digest> learned = ConcurrentHashMap.newKeySet();

    @BeforeAll
    static void generate() throws IOException {
        base = TestLayer.ofFiles(1, 12, 1 << 20);
        app = TestLayer.generate(2);
    }

    @AfterEach
    void stop() throws Exception {
        while (!parts.isEmpty()) {
            parts.pop().close();
        }
    }

    private <T extends AutoCloseable> T own(T part) {
        parts.push(part);
        return part;
    }

    /** A node with nothing but the two layers' indexes. */
    private final class Node {
        final HeldSource source = new HeldSource();
        final KnownLayer base;
        final KnownLayer app;
        final SpanFetcher fetcher;
        final TraceFiles traces;
        final StartUps startUps;
        final PrefetchBlobs packer;
        private final ObjectStore store;

        Node(String name, StartUps.Settings settings) throws Exception {
            this(name, settings, PrefetchSource.NONE);
        }

        Node(String name, StartUps.Settings settings, PrefetchSource prefetches) throws Exception {
            Path directory = Files.createDirectory(root.resolve(name));
            store = own(ObjectStore.open(directory, StoreSettings.DEFAULTS));
            KnownLayers known = new KnownLayers(own(LayerOrdinals.open(directory.resolve("layers"))));
            base = add(known, directory, StartUpsTest.base);
            app = add(known, directory, StartUpsTest.app);
            fetcher = own(new SpanFetcher(source, store, Duration.ofMinutes(2)));
            traces = new TraceFiles(directory);
            startUps = own(new StartUps(known, fetcher, store, traces, prefetches, settings, learned::addAll));
            packer = new PrefetchBlobs(known, store, traces);
        }

        private KnownLayer add(KnownLayers known, Path directory, TestLayer layer) throws Exception {
            source.blob(layer.digest(), layer.blob());
            Path index = directory.resolve(layer.digest().hex() + ".idx");
            LayerIndexer.index(
                    new ByteArrayInputStream(layer.blob()),
                    layer.digest(),
                    layer.diffId(),
                    index,
                    directory.resolve(layer.digest().hex() + ".erofs"),
                    null,
                    ProgressListener.NONE);
            return known.add(layer.digest(), index);
        }

        void began(String container) {
            startUps.began(container, List.of(StartUpsTest.app.digest(), StartUpsTest.base.digest()));
        }

        void read(KnownLayer layer, TestLayer data, String file) throws IOException {
            read(layer, data, file, 0, data.file(file).length);
        }

        void read(KnownLayer layer, TestLayer data, String file, int from, int length) throws IOException {
            byte[] bytes = data.file(file);
            ObjectName name = ObjectName.of(TestLayer.sha256(bytes).bytes());
            int row = layer.index().find(name);
            PartialObject object = store.acquire(name, bytes.length, layer.pieces(row), layer.cut());
            try (Arena arena = Arena.ofConfined()) {
                CallState state = new CallState(arena);
                var into = arena.allocate(length);
                if (SpanFetcher.isHere(layer, row, object, from, length)) {
                    assertThat(object.read(state, into, length, from, object.evictions()))
                            .isEqualTo(length);
                    fetcher.touched(layer, row, from, length);
                } else {
                    fetcher.read(layer, row, object, state, into, length, from, fetcher.deadline());
                }
                assertThat(into.toArray(ValueLayout.JAVA_BYTE))
                        .isEqualTo(Arrays.copyOfRange(bytes, from, from + length));
            } finally {
                store.release(name, layer.cut());
            }
        }

        BitSet held(KnownLayer layer) {
            BitSet held = new BitSet();
            for (int span = 0; span < layer.index().spanCount(); span++) {
                held.set(span, fetcher.isHeld(layer, span));
            }
            return held;
        }

        List<Integer> spans(KnownLayer layer) throws IOException {
            LayerTrace trace = traces.find(layer.index().layer());
            return trace == null
                    ? List.of()
                    : trace.ranges().stream()
                            .flatMap(range -> IntStream.rangeClosed(
                                            layer.index().spanAt(range.offset()),
                                            layer.index().spanAt(range.offset() + range.length() - 1))
                                    .boxed())
                            .distinct()
                            .toList();
        }

        void awaitSpans(KnownLayer layer, int count) throws Exception {
            while (spans(layer).size() < count) {
                Thread.sleep(5);
            }
        }

        void awaitHeld(KnownLayer layer, BitSet wanted) throws Exception {
            BitSet missing = new BitSet();
            do {
                Thread.sleep(5);
                missing.clear();
                missing.or(wanted);
                missing.andNot(held(layer));
            } while (!missing.isEmpty());
        }
    }

    private static BitSet of(List<Integer> spans) {
        BitSet set = new BitSet();
        spans.forEach(set::set);
        return set;
    }

    /** A small file that is an object of its own. */
    private static String small() {
        return app.files().entrySet().stream()
                .filter(file -> file.getValue().length > 8192)
                .map(Map.Entry::getKey)
                .filter(path -> path.startsWith("small/f"))
                .findFirst()
                .orElseThrow();
    }

    /** Reads some files of both layers. */
    private static void start(Node node) throws IOException {
        for (String file : new String[] {"d9/f9", "d3/f3"}) {
            node.read(node.base, base, file);
        }
        node.read(node.app, app, small());
        node.read(node.base, base, "d6/f6");
    }

    @Test
    void whatAStartReadIsFetchedInThatOrderOnAnotherNodeBeforeAnybodyReads() throws Exception {
        Node first = new Node("first", RECORD);
        first.began("a");
        start(first);
        first.startUps.close();
        BitSet ofBase = of(first.spans(first.base));
        BitSet ofApp = of(first.spans(first.app));
        assertThat(ofBase.cardinality()).isBetween(3, 6);
        assertThat(ofApp.cardinality()).isBetween(1, 2);

        Node second = new Node("second", RECORD);
        for (Digest layer : List.of(base.digest(), app.digest())) {
            second.traces.add(layer, Objects.requireNonNull(first.traces.read(layer)));
        }
        second.source.hold(request -> true);
        second.began("b");
        second.source.await(1);
        long earliest =
                second.base.index().spanBlobStart(first.spans(first.base).getFirst());
        assertThat(second.source.requests().getFirst())
                .satisfies(request -> assertThat(request.layer()).isEqualTo(base.digest()))
                .satisfies(request -> assertThat(request.from()).isEqualTo(earliest));
        second.source.hold(request -> false);
        second.awaitHeld(second.base, ofBase);
        second.awaitHeld(second.app, ofApp);
        assertThat(second.held(second.base)).isEqualTo(ofBase);
        int requests = second.source.requests().size();
        assertThat(requests).isLessThanOrEqualTo(ofBase.cardinality() + ofApp.cardinality());
        start(second);
        assertThat(second.source.requests()).hasSize(requests);
        assertThat(second.fetcher.statistics().bytes().get(Priority.DEMAND)).isZero();
    }

    /** Reads parts of large files, a small one whole; and of the other layer some files whole. */
    private static void startHereAndThere(Node node) throws IOException {
        node.read(node.app, app, "large/one", 2_600_000, 20_000);
        node.read(node.app, app, small());
        node.read(node.app, app, "large/one", 8192, 4096);
        node.read(node.app, app, "large/two", 3_300_000, 33_333);
        node.read(node.base, base, "d6/f6");
        node.read(node.base, base, "d7/f7");
        node.read(node.base, base, "d8/f8");
    }

    /** What another node is given of a start that one has seen. */
    private Map<Digest, byte[]> packed(Node first) throws Exception {
        first.began("a");
        startHereAndThere(first);
        first.startUps.close();
        Map<Digest, byte[]> blobs = new HashMap<>();
        for (Digest layer : List.of(base.digest(), app.digest())) {
            ByteArrayOutputStream blob = new ByteArrayOutputStream();
            if (first.packer.write(layer, blob)) {
                blobs.put(layer, blob.toByteArray());
            }
        }
        return blobs;
    }

    private Node second(Node first, PrefetchSource prefetches) throws Exception {
        Node second = new Node("second", RECORD, prefetches);
        for (Digest layer : List.of(base.digest(), app.digest())) {
            second.traces.add(layer, Objects.requireNonNull(first.traces.read(layer)));
        }
        return second;
    }

    private static @Nullable InputStream stream(Map<Digest, byte[]> blobs, Digest layer) {
        byte[] blob = blobs.get(layer);
        return blob == null ? null : new ByteArrayInputStream(blob);
    }

    @Test
    void whatIsPackedIsReadWithoutAskingForTheSpansThatItIsOf() throws Exception {
        Node first = new Node("first", RECORD);
        Map<Digest, byte[]> blobs = packed(first);
        assertThat(blobs.get(app.digest())).hasSizeLessThan(400_000);
        CountDownLatch landed = new CountDownLatch(1);
        Node second = second(
                first,
                layer -> layer.equals(app.digest())
                        ? new FilterInputStream(new ByteArrayInputStream(Objects.requireNonNull(blobs.get(layer)))) {
                            @Override
                            public void close() {
                                landed.countDown();
                            }
                        }
                        : null);
        second.source.hold(request -> request.layer().equals(app.digest()));
        second.began("b");
        assertThat(landed.await(60, TimeUnit.SECONDS)).isTrue();
        startHereAndThere(second);
        assertThat(second.source.requests())
                .as("all that was read of this layer was packed, and nothing of the other one")
                .isNotEmpty()
                .allSatisfy(request -> assertThat(request.layer()).isEqualTo(base.digest()));
        assertThat(second.store.contains(
                        ObjectName.of(TestLayer.sha256(app.file(small())).bytes())))
                .isTrue();
        second.startUps.ended("b");
    }

    @Test
    void eachByteIsRecordedAtItsFirstReadOnly() throws Exception {
        Node node = new Node("node", RECORD);
        Random random = new Random(12);
        int end = (int) node.app.index().uncompressedSize();
        for (int round = 0; round < 50; round++) {
            LayerRecording recording = new LayerRecording(node.app);
            BitSet read = new BitSet();
            // Files begin at blocks of 512 bytes; of the one in which a read ends the next one says nothing new.
            BitSet blocks = new BitSet();
            for (int i = 0; i < 60; i++) {
                int from = random.nextInt(end / 512 - 1) * 512;
                int to = Math.min(end, from + 1 + random.nextInt(i % 4 == 0 ? 300_000 : 3000));
                recording.read(from, to);
                read.set(from, to);
                blocks.set(from / 512, (to - 1) / 512 + 1);
            }
            BitSet recorded = new BitSet();
            BitSet recordedBlocks = new BitSet();
            int bytes = 0;
            for (LayerTrace.Range range : recording.ranges()) {
                int from = (int) range.offset();
                int to = from + range.length();
                recorded.set(from, to);
                recordedBlocks.set(from / 512, (to - 1) / 512 + 1);
                bytes += range.length();
            }
            assertThat(bytes).isEqualTo(recorded.cardinality());
            assertThat(recordedBlocks).isEqualTo(blocks);
            recorded.andNot(read);
            assertThat(recorded.isEmpty()).isTrue();
        }
    }

    @Test
    void whateverStartsReadIsPackedOrInSpansThatAreFetched() throws Exception {
        Node node = new Node("node", RECORD);
        Random random = new Random(11);
        for (KnownLayer layer : List.of(node.app, node.base)) {
            LayerIndex index = layer.index();
            for (int round = 0; round < 60; round++) {
                List<LayerTrace.Range> reads = new ArrayList<>();
                for (int i = random.nextInt(40); i >= 0; i--) {
                    int length = 1 + random.nextInt(round % 3 == 0 ? 4_000_000 : 100_000);
                    reads.add(new LayerTrace.Range(
                            random.nextLong(index.uncompressedSize() - length), length, random.nextInt(1000)));
                }
                LayerTrace trace = new LayerTrace(index.layer(), List.of()).with(reads);
                List<Prefetch.Range> packed = PrefetchSelection.of(layer, trace);
                BitSet bytes = new BitSet();
                for (Prefetch.Range range : packed) {
                    assertThat(range.length()).isLessThanOrEqualTo(PrefetchBlob.LONGEST_RANGE);
                    int row = index.byOffset(index.firstObjectBehind(range.offset()));
                    assertThat(range.offset()).isGreaterThanOrEqualTo(index.objectOffset(row));
                    assertThat(range.offset() + range.length())
                            .isLessThanOrEqualTo(index.objectOffset(row) + index.objectSize(row));
                    bytes.set((int) range.offset(), (int) range.offset() + range.length());
                }
                Replay.order(List.of(new Replay.Part(layer, trace, packed, 0)))
                        .forEach(wanted ->
                                bytes.set((int) index.spanStart(wanted.span()), (int) index.spanEnd(wanted.span())));
                BitSet objects = new BitSet();
                for (int row = 0; row < index.objectCount(); row++) {
                    objects.set((int) index.objectOffset(row), (int) (index.objectOffset(row) + index.objectSize(row)));
                }
                BitSet missing = new BitSet();
                trace.ranges().forEach(read -> missing.set((int) read.offset(), (int) read.offset() + read.length()));
                missing.and(objects);
                missing.andNot(bytes);
                assertThat(missing.cardinality()).isZero();
            }
        }
    }

    @Test
    void ofWhatBreaksOffTheRestIsFetchedBySpans() throws Exception {
        Node first = new Node("first", RECORD);
        Map<Digest, byte[]> blobs = packed(first);
        blobs.replaceAll((layer, blob) -> Arrays.copyOf(blob, blob.length / 2));
        Node second = second(first, layer -> stream(blobs, layer));
        second.began("b");
        second.awaitHeld(second.app, of(first.spans(first.app)));
        startHereAndThere(second);
        assertThat(second.fetcher.statistics().bytes().get(Priority.DEMAND)).isZero();
        second.startUps.ended("b");
    }

    @Test
    void aSmallFileThatIsNotWhatItsNameSaysIsNotKept() throws Exception {
        Node first = new Node("first", RECORD);
        packed(first);
        byte[] file = app.file(small());
        ObjectName name = ObjectName.of(TestLayer.sha256(file).bytes());
        Prefetch.Range range = new Prefetch.Range(
                first.app.index().objectOffset(first.app.index().find(name)), file.length);
        ByteArrayOutputStream wrong = new ByteArrayOutputStream();
        PrefetchBlob.write(wrong, app.digest(), List.of(range), (which, into) -> {});
        Node second = second(first, layer -> stream(Map.of(app.digest(), wrong.toByteArray()), layer));
        second.began("b");
        second.awaitHeld(second.app, of(first.spans(first.app)));
        startHereAndThere(second);
        second.startUps.ended("b");
    }

    @Test
    void readsWaitForWhatIsAboutToComeButNotForOneWhoSendsNothing() throws Exception {
        Node first = new Node("first", RECORD);
        Map<Digest, byte[]> blobs = packed(first);
        byte[] blob = Objects.requireNonNull(blobs.get(app.digest()));
        PipedOutputStream link = new PipedOutputStream();
        InputStream end = new PipedInputStream(link, 1 << 20);
        Node second = second(first, layer -> layer.equals(app.digest()) ? end : null);
        // All but the last frame's end.
        link.write(blob, 0, blob.length - 100);
        link.flush();
        second.began("b");
        while (end.available() > 0) {
            Thread.sleep(5);
        }
        Thread reader = Thread.ofVirtual().start(() -> {
            try {
                second.read(second.app, app, "large/two", 3_300_000, 33_333);
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        });
        Thread.sleep(300);
        assertThat(reader.isAlive()).isTrue();
        assertThat(second.source.requests())
                .noneMatch(request -> request.layer().equals(app.digest()));
        reader.join(Duration.ofSeconds(10));
        assertThat(reader.isAlive()).isFalse();
        assertThat(second.source.requests()).anyMatch(request -> request.layer().equals(app.digest()));
        link.write(blob, blob.length - 100, 100);
        link.close();
        startHereAndThere(second);
        second.startUps.ended("b");
    }

    @Test
    void readsOfWhatIsHereAreRecordedAndEachStartAdds() throws Exception {
        Node node = new Node("node", RECORD);
        start(node);
        node.began("a");
        node.read(node.base, base, "d9/f9");
        node.startUps.ended("a");
        node.awaitSpans(node.base, 1);
        List<Integer> one = node.spans(node.base);
        // A start whose layers nobody watches any more begins anew.
        node.began("b");
        node.read(node.base, base, "d3/f3");
        node.startUps.ended("b");
        node.awaitSpans(node.base, one.size() + 1);
        assertThat(node.spans(node.base)).containsAll(one);
        assertThat(node.spans(node.app)).isEmpty();
    }

    @Test
    void aStartThatGoesOnIsKeptNowAndThenAndWhenTheProcessEnds() throws Exception {
        Node node = new Node("node", RECORD);
        node.began("a");
        node.read(node.base, base, "d9/f9");
        node.awaitSpans(node.base, 1);
        node.read(node.app, app, small());
        node.startUps.close();
        assertThat(node.spans(node.app)).isNotEmpty();
    }

    @Test
    void theFirstStartIsSeenWholeWhereOthersWantToKnow() throws Exception {
        List<Digest> layers = List.of(app.digest(), base.digest());
        Node node = new Node("node", RECORD);
        assertThat(node.startUps.watches("a", layers)).isTrue();
        node.began("a");
        node.read(node.base, base, "d9/f9");
        node.awaitSpans(node.base, 1);
        assertThat(node.startUps.watches("a", layers))
                .as("the mounts of one container do not change")
                .isTrue();
        assertThat(node.startUps.watches("b", layers))
                .as("there is a trace now")
                .isFalse();
        node.startUps.ended("a");
        while (learned.isEmpty()) {
            Thread.sleep(1);
        }
        assertThat(learned).containsExactly(base.digest());
        Node alone = new Node("alone", new StartUps.Settings(true, false, false, Duration.ofMillis(20), NEVER, NEVER));
        assertThat(alone.startUps.watches("a", layers)).isFalse();
    }

    @Test
    void theRestOfAnImageComesWhenItsStartIsOverIfThatIsWanted() throws Exception {
        Node node = new Node(
                "node",
                new StartUps.Settings(
                        false, true, false, Duration.ofMillis(20), Duration.ofMillis(50), Duration.ofMinutes(10)));
        node.began("a");
        node.read(node.app, app, small());
        BitSet all = new BitSet();
        all.set(0, node.base.index().spanCount());
        node.awaitHeld(node.base, all);
        all.clear();
        all.set(0, node.app.index().spanCount());
        node.awaitHeld(node.app, all);
        assertThat(node.fetcher.statistics().bytes().get(Priority.BACKGROUND)).isPositive();
        assertThat(node.spans(node.app)).isEmpty();
    }

    @Test
    void aTraceMadeWithOtherSpansServesAndWhatTheLayerDoesNotHaveIsPassedOver() throws Exception {
        Node node = new Node("node", RECORD);
        long end = node.base.index().uncompressedSize();
        LayerTrace foreign = new LayerTrace(
                base.digest(),
                List.of(
                        new LayerTrace.Range(end + 5, 10, 0),
                        new LayerTrace.Range(end - 10, 100, 1),
                        new LayerTrace.Range(100, 3 << 20, 2)));
        List<Integer> spans = new ArrayList<>();
        Replay.order(List.of(new Replay.Part(node.base, foreign, List.of(), 0)))
                .forEach(wanted -> spans.add(wanted.span()));
        assertThat(spans).startsWith(node.base.index().spanCount() - 1, 0, 1, 2);
        assertThat(spans).doesNotHaveDuplicates();
    }

    @Test
    void aGapThatCostsLessThanARequestIsFetchedToo() throws Exception {
        Node node = new Node("node", RECORD);
        LayerTrace trace = new LayerTrace(
                base.digest(),
                List.of(
                        new LayerTrace.Range(node.base.index().spanStart(7), 1, 0),
                        new LayerTrace.Range(node.base.index().spanStart(1), 1, 1),
                        new LayerTrace.Range(node.base.index().spanStart(3), 1, 2)));
        assertThat(spansOf(node, trace, 0)).isEqualTo(Arrays.asList(7, 1, 3));
        assertThat(spansOf(node, trace, 1 << 20)).isEqualTo(Arrays.asList(7, 1, 2, 3));
    }

    private static List<Integer> spansOf(Node node, LayerTrace trace, long bridge) {
        return Replay.order(List.of(new Replay.Part(node.base, trace, List.of(), bridge))).stream()
                .map(wanted -> wanted.span())
                .toList();
    }
}
