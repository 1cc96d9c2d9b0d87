package dev.coldstart.snapshotter.fetch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.StoreSettings;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What goes first, what shares a request, and what happens when answers do not come. */
@Timeout(240)
class SchedulerTest {
    private static final int FILES = 24;

    private static TestLayer data;
    private static TestLayer other;

    @TempDir
    Path root;

    private HeldSource source;
    private ObjectStore store;
    private LayerOrdinals ordinals;
    private KnownLayer layer;
    private KnownLayer second;
    private SpanFetcher fetcher;
    private ExecutorService readers;

    @BeforeAll
    static void generate() throws IOException {
        data = TestLayer.ofFiles(5, FILES, 1 << 20);
        other = TestLayer.generate(6);
    }

    @BeforeEach
    void start() throws Exception {
        source = new HeldSource();
        store = ObjectStore.open(root, StoreSettings.DEFAULTS);
        ordinals = LayerOrdinals.open(root.resolve("layers"));
        KnownLayers known = new KnownLayers(ordinals);
        layer = add(known, data, "one");
        second = add(known, other, "two");
        fetcher = new SpanFetcher(
                source, digest -> digest.equals(data.digest()) ? "one" : "two", store, Duration.ofMinutes(5));
        readers = Executors.newCachedThreadPool();
    }

    private KnownLayer add(KnownLayers known, TestLayer layer, String name) throws Exception {
        source.blob(layer.digest(), layer.blob());
        Path index = root.resolve(name + ".idx");
        LayerIndexer.index(
                new ByteArrayInputStream(layer.blob()),
                layer.digest(),
                layer.diffId(),
                index,
                root.resolve(name + ".erofs"),
                null,
                ProgressListener.NONE);
        return known.add(layer.digest(), index);
    }

    @AfterEach
    void stop() throws Exception {
        fetcher.close();
        readers.shutdownNow();
        store.close();
        ordinals.close();
    }

    private byte[] read(KnownLayer from, int row, long offset, int length) throws IOException {
        return new ObjectReads(fetcher, store).read(from, row, offset, length);
    }

    private static byte[] expected(TestLayer from, KnownLayer known, int row, long offset, int length) {
        int start = (int) (known.index().objectOffset(row) + offset);
        return Arrays.copyOfRange(from.tar(), start, start + length);
    }

    private Future<?> bring(Priority priority, int first, int behind) {
        return readers.submit(() -> {
            fetcher.bring(
                    IntStream.range(first, behind)
                            .mapToObj(span -> new Wanted(layer, span))
                            .iterator(),
                    priority);
            return null;
        });
    }

    private static void until(BooleanSupplier holds) throws InterruptedException {
        while (!holds.getAsBoolean()) {
            Thread.sleep(2);
        }
    }

    private int queued(Priority priority) {
        return fetcher.statistics().queued().getOrDefault(priority, 0);
    }

    /** The first object, by its place in the tar, that begins in this span. */
    private int rowIn(int span) {
        LayerIndex index = layer.index();
        for (int i = 0; i < index.objectCount(); i++) {
            if (layer.firstSpan(index.byOffset(i)) == span) {
                return index.byOffset(i);
            }
        }
        throw new AssertionError("no object begins in span " + span);
    }

    /** Reads here and there, so that it is known how long answers take. */
    private void learn() throws IOException {
        for (int span : new int[] {0, 10, 4, 14, 8, 18, 2, 12, 6, 16}) {
            read(layer, rowIn(span), 0, 10);
        }
    }

    private void assertThatNothingWasFetchedTwice() {
        for (KnownLayer one : List.of(layer, second)) {
            long end = 0;
            List<HeldSource.Request> ranges = source.requests().stream()
                    .filter(request -> !request.elsewhere()
                            && request.layer().equals(one.index().layer()))
                    .sorted(Comparator.comparingLong(HeldSource.Request::from))
                    .toList();
            for (HeldSource.Request range : ranges) {
                // Two spans may share a byte.
                assertThat(range.from()).isGreaterThanOrEqualTo(end - 1);
                end = range.to();
            }
        }
        // A hedge may be decided on and then not be needed any more.
        assertThat(source.requests().stream().filter(HeldSource.Request::elsewhere))
                .hasSizeLessThanOrEqualTo((int) fetcher.statistics().hedges());
    }

    @Test
    void aReadOvertakesABackgroundThatHasAllItsConnectionsBusyAndIsNotFetchedAgain() throws Exception {
        int last = layer.index().spanCount() - 2;
        long target = layer.index().spanBlobStart(last);
        source.hold(request -> request.from() < target);
        Future<?> background = bring(Priority.BACKGROUND, 0, layer.index().spanCount());
        source.await(ConnectionLimit.FIRST);
        until(() -> queued(Priority.BACKGROUND) > 0);
        int row = rowIn(last);
        assertThat(read(layer, row, 0, 1000)).isEqualTo(expected(data, layer, row, 0, 1000));
        assertThat(fetcher.statistics().lifted()).isPositive();
        assertThat(background.isDone()).isFalse();
        assertThat(source.requests().get(ConnectionLimit.FIRST).from()).isEqualTo(target);
        source.hold(request -> false);
        background.get();
        until(() -> fetcher.statistics().running() == 0);
        FetchStatistics done = fetcher.statistics();
        assertThat(done.merged()).isPositive();
        assertThat(done.queued().get(Priority.BACKGROUND)).isZero();
        assertThat(done.allBytes()).isBetween((long) data.blob().length - 100, (long) data.blob().length + 100);
        assertThat(done.bytes().get(Priority.DEMAND)).isPositive();
        assertThatNothingWasFetchedTwice();
    }

    @Test
    void aReadOfWhatIsOnItsWayWaitsForThat() throws Exception {
        source.hold(request -> true);
        Future<?> background = bring(Priority.BACKGROUND, 3, 4);
        source.await(1);
        int row = rowIn(3);
        Future<byte[]> reader = readers.submit(() -> read(layer, row, 0, 10));
        until(() -> fetcher.statistics().lifted() == 1);
        source.hold(request -> false);
        assertThat(reader.get()).isEqualTo(expected(data, layer, row, 0, 10));
        background.get();
        assertThatNothingWasFetchedTwice();
    }

    @Test
    void aReplayGoesBeforeTheBackgroundThatBeganEarlier() throws Exception {
        source.hold(request -> true);
        Future<?> background = bring(Priority.BACKGROUND, 0, 18);
        source.await(ConnectionLimit.FIRST);
        Future<?> replay = bring(Priority.REPLAY, 20, 22);
        until(() -> queued(Priority.REPLAY) == 2 && queued(Priority.BACKGROUND) > 0);
        long first = source.requests().getFirst().from();
        source.hold(request -> request.from() != first);
        source.await(ConnectionLimit.FIRST + 1);
        assertThat(source.requests().get(ConnectionLimit.FIRST).from())
                .isEqualTo(layer.index().spanBlobStart(20));
        source.hold(request -> false);
        background.get();
        replay.get();
        assertThatNothingWasFetchedTwice();
    }

    @Test
    void aSilentAnswerIsAskedForElsewhereAndTheFirstToComeIsTaken() throws Exception {
        learn();
        source.hold(request -> !request.elsewhere());
        int row = rowIn(21);
        assertThat(read(layer, row, 0, 100)).isEqualTo(expected(data, layer, row, 0, 100));
        FetchStatistics done = fetcher.statistics();
        assertThat(done.hedgesWon()).isPositive();
        until(() -> source.abandoned() == done.hedgesWon());
        source.hold(request -> false);
        assertThat(fetcher.statistics().failures()).isZero();
    }

    @Test
    void hedgesAreFew() throws Exception {
        learn();
        source.hold(request -> true);
        List<Future<byte[]>> all = new ArrayList<>();
        for (int i = 0; i < second.index().objectCount(); i++) {
            int row = i;
            all.add(readers.submit(() -> read(second, row, 0, 1)));
        }
        for (int span = 1; span < 22; span += 2) {
            int row = rowIn(span);
            all.add(readers.submit(() -> read(layer, row, 0, 10)));
        }
        until(() -> fetcher.statistics().hedges() >= 4);
        Thread.sleep(100);
        assertThat(fetcher.statistics().hedges()).isLessThanOrEqualTo(8);
        source.hold(request -> false);
        for (Future<byte[]> one : all) {
            one.get();
        }
    }

    @Test
    void aHostThatIsSilentOrFailsDoesNotHurtReadsFromAnother() throws Exception {
        source.hold(request -> request.layer().equals(data.digest()));
        List<Future<byte[]>> stuck = new ArrayList<>();
        for (int span = 0; span < FILES - 1; span++) {
            int row = rowIn(span);
            stuck.add(readers.submit(() -> read(layer, row, 0, 1)));
        }
        Future<?> background = bring(Priority.BACKGROUND, 0, layer.index().spanCount());
        source.await(HostQueue.DEMAND_REQUESTS);
        for (int row = 0; row < second.index().objectCount(); row++) {
            int length = (int) Math.min(1 << 20, second.index().objectSize(row));
            assertThat(read(second, row, 0, length)).isEqualTo(expected(other, second, row, 0, length));
        }
        source.fail(request -> request.layer().equals(data.digest()));
        source.hold(request -> false);
        for (Future<byte[]> one : stuck) {
            assertThatThrownBy(one::get).hasMessageContaining("this source fails");
        }
        assertThatThrownBy(background::get).hasMessageContaining("this source fails");
        source.fail(request -> false);
        assertThat(read(layer, rowIn(3), 0, 10)).isEqualTo(expected(data, layer, rowIn(3), 0, 10));
    }

    @Test
    void whoWaitsWhenFetchingEndsGetsAnErrorAndNoRequestStays() throws Exception {
        source.hold(request -> true);
        List<Future<byte[]>> waiting = new ArrayList<>();
        for (int span = 0; span < FILES - 1; span++) {
            int row = rowIn(span);
            waiting.add(readers.submit(() -> read(layer, row, 0, 1)));
        }
        Future<?> background = bring(Priority.BACKGROUND, 0, layer.index().spanCount());
        source.await(HostQueue.DEMAND_REQUESTS);
        fetcher.close();
        for (Future<byte[]> one : waiting) {
            assertThatThrownBy(() -> one.get(200, TimeUnit.SECONDS))
                    .isInstanceOf(ExecutionException.class)
                    .hasCauseInstanceOf(IOException.class);
        }
        assertThatThrownBy(() -> background.get(200, TimeUnit.SECONDS)).isInstanceOf(ExecutionException.class);
        assertThat(source.abandoned()).isEqualTo(source.requests().size());
        assertThatThrownBy(() -> read(layer, rowIn(0), 0, 1)).hasMessageContaining("ended");
    }

    @Test
    void twoReadersOfOneLayerAreBothReadAhead() throws Exception {
        int one = second.index()
                .find(ObjectName.of(TestLayer.sha256(other.file("large/one")).bytes()));
        int two = second.index()
                .find(ObjectName.of(TestLayer.sha256(other.file("large/two")).bytes()));
        for (int offset = 0; offset < 3 << 20; offset += 128 << 10) {
            for (int row : new int[] {one, two}) {
                assertThat(read(second, row, offset, 128 << 10))
                        .isEqualTo(expected(other, second, row, offset, 128 << 10));
            }
        }
        assertThat(fetcher.statistics().requests().get(Priority.READ_AHEAD)).isGreaterThanOrEqualTo(2);
        assertThatNothingWasFetchedTwice();
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void whoeverWantsWhateverInWhateverOrderNothingIsFetchedTwiceAndAllIsRight(long seed) throws Exception {
        Random random = new Random(seed);
        source.delay(seed, 3);
        List<Future<?>> all = new ArrayList<>();
        all.add(bring(Priority.BACKGROUND, 0, layer.index().spanCount()));
        for (int i = 0; i < 3; i++) {
            int first = random.nextInt(layer.index().spanCount());
            all.add(bring(Priority.REPLAY, first, Math.min(layer.index().spanCount(), first + 5)));
        }
        for (int i = 0; i < 150; i++) {
            int row = random.nextInt(FILES);
            int offset = random.nextInt(1 << 20);
            int length = 1 + random.nextInt((1 << 20) - offset);
            all.add(readers.submit(() -> {
                assertThat(read(layer, row, offset, length))
                        .as("seed %d", seed)
                        .isEqualTo(expected(data, layer, row, offset, length));
                return null;
            }));
        }
        for (Future<?> one : all) {
            one.get();
        }
        for (int span = 0; span < layer.index().spanCount(); span++) {
            assertThat(fetcher.isHeld(layer, span)).as("span %d", span).isTrue();
        }
        assertThatNothingWasFetchedTwice();
    }
}
