package dev.coldstart.snapshotter.trace;

import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.Prefetch;
import dev.coldstart.snapshotter.fetch.Priority;
import dev.coldstart.snapshotter.fetch.SpanFetcher;
import dev.coldstart.snapshotter.fetch.Wanted;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.object.ObjectStore;
import java.io.IOException;
import java.io.InputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Containers that are starting. What they read of layers is recorded until they read nothing new for a while, and kept; what
 * earlier starts read is fetched from the moment a container's mounts are asked for. A layer's trace serves every image that
 * has it.
 *
 * <p>Only what this process is asked for is seen: reads that the remote tier serves, or layers that are served whole. What
 * the kernel finds on disk or in its page cache is not, and of a layer that a running container shares, that one's reads are
 * recorded as well.
 */
public final class StartUps implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(StartUps.class.getName());
    private static final String NOT_REPLAYED = "what earlier starts read is not fetched ahead";
    /** After so long spans are fetched, whatever may have been packed. */
    private static final Duration TABLES = Duration.ofSeconds(1);

    private final KnownLayers known;
    private final SpanFetcher fetcher;
    private final ObjectStore objects;
    private final TraceFiles traces;
    private final PrefetchSource prefetches;
    private final Settings settings;
    /** Guarded by this, as are the recordings' users. */
    private final Map<Digest, LayerRecording> recordings = new HashMap<>();

    private final Map<String, Start> starting = new HashMap<>();
    /** Containers of which every read is to be seen. */
    private final Set<String> watched = new HashSet<>();

    private final Consumer<Set<Digest>> learned;
    private volatile boolean closed;

    /** A container that is starting; {@code over} ends its recording. */
    private record Start(List<LayerRecording> layers, long began, CountDownLatch over, CountDownLatch kept) {}

    /**
     * What is done.
     *
     * @param replay whether starts are recorded and replayed
     * @param background whether the rest of an image is fetched after its start
     * @param share whether other nodes get the traces
     * @param save after so long without a new read the trace is written
     * @param quiet after so long without one the start is over
     * @param most after so long it is over, whatever is read
     */
    public record Settings(
            boolean replay, boolean background, boolean share, Duration save, Duration quiet, Duration most) {
        /** With the times that suit containers. */
        public static Settings of(boolean replay, boolean background, boolean share) {
            return new Settings(
                    replay, background, share, Duration.ofSeconds(1), Duration.ofSeconds(8), Duration.ofMinutes(5));
        }
    }

    /** @param learned told of the layers of which a start that is over was recorded */
    public StartUps(
            KnownLayers known,
            SpanFetcher fetcher,
            ObjectStore objects,
            TraceFiles traces,
            PrefetchSource prefetches,
            Settings settings,
            Consumer<Set<Digest>> learned) {
        this.known = known;
        this.fetcher = fetcher;
        this.objects = objects;
        this.traces = traces;
        this.prefetches = prefetches;
        this.settings = settings;
        this.learned = learned;
    }

    /**
     * Whether all that a container reads should come through this process, whatever is on disk: so that the first start of an
     * image is seen also by the node that has just read all of the image, and other nodes can be told. The same answer for
     * one container until it is gone.
     *
     * @param layers of its image
     */
    public boolean watches(String container, List<Digest> layers) {
        if (!settings.replay() || !settings.share()) {
            return false;
        }
        synchronized (this) {
            if (watched.contains(container) || starting.containsKey(container)) {
                return watched.contains(container);
            }
        }
        for (Digest layer : layers) {
            try {
                if (traces.find(layer) != null) {
                    return false;
                }
            } catch (IOException e) {
                LOG.log(System.Logger.Level.DEBUG, "a trace cannot be read", e);
                return false;
            }
        }
        synchronized (this) {
            watched.add(container);
        }
        return true;
    }

    /**
     * Says that a container is about to start; once more while it is starting says nothing. Does not wait.
     *
     * @param container by which {@link #ended} names it
     * @param layers of its image; unknown ones are passed over
     */
    public synchronized void began(String container, List<Digest> layers) {
        boolean idle = !settings.replay() && !settings.background();
        if (closed || idle || starting.containsKey(container)) {
            return;
        }
        long now = System.nanoTime();
        List<LayerRecording> own = new ArrayList<>();
        for (Digest digest : layers) {
            KnownLayer layer = known.find(digest);
            if (layer != null) {
                LayerRecording recording = recordings.computeIfAbsent(digest, absent -> new LayerRecording(layer));
                recording.use();
                layer.watch(recording);
                own.add(recording);
            }
        }
        if (own.isEmpty()) {
            return;
        }
        if (settings.replay()) {
            Thread.ofVirtual().name("replay").start(() -> replay(own));
        }
        Start start = new Start(own, now, new CountDownLatch(1), new CountDownLatch(1));
        starting.put(container, start);
        Thread.ofVirtual().name("start-up").start(() -> follow(container, start));
    }

    /** Says that a container is gone: what it read is kept now. */
    public synchronized void ended(String container) {
        watched.remove(container);
        Start start = starting.get(container);
        if (start != null) {
            start.over().countDown();
        }
    }

    private void follow(String container, Start start) {
        boolean ended = record(start);
        synchronized (this) {
            starting.remove(container);
            for (LayerRecording recording : start.layers()) {
                if (recording.unuse()) {
                    recordings.remove(recording.layer().index().layer());
                    recording.close();
                }
            }
        }
        start.kept().countDown();
        LOG.log(
                System.Logger.Level.INFO,
                "{0} has started; fetched since this process began: {1}",
                container,
                fetcher.statistics());
        if (settings.replay()) {
            learned.accept(start.layers().stream()
                    .filter(recording -> !recording.ranges().isEmpty())
                    .map(recording -> recording.layer().index().layer())
                    .collect(Collectors.toSet()));
        }
        if (!ended && settings.background()) {
            fill(start.layers());
        }
    }

    /** Returns whether the container is gone, or this process is to end, before its start was over. */
    private boolean record(Start start) {
        long began = start.began();
        long saved = began;
        while (true) {
            boolean ended;
            try {
                ended = start.over().await(settings.save().dividedBy(2).toNanos(), TimeUnit.NANOSECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return true;
            }
            long now = System.nanoTime();
            long newest = began - 1;
            for (LayerRecording recording : start.layers()) {
                newest = Math.max(newest - began, recording.newest(began) - began) + began;
            }
            boolean quiet =
                    newest - began >= 0 && now - newest >= settings.quiet().toNanos();
            boolean over = ended || quiet || now - began >= settings.most().toNanos();
            if (newest - saved > 0 && (over || now - newest >= settings.save().toNanos())) {
                save(start.layers());
                saved = newest;
            }
            if (over) {
                return ended;
            }
        }
    }

    private void save(List<LayerRecording> own) {
        if (!settings.replay()) {
            return;
        }
        for (LayerRecording recording : own) {
            Digest layer = recording.layer().index().layer();
            try {
                traces.add(layer, recording.ranges());
            } catch (IOException e) {
                LOG.log(
                        System.Logger.Level.WARNING,
                        "cannot keep what a start read of layer {0}, the next one is recorded again: {1}",
                        layer,
                        e.getMessage());
            }
        }
    }

    private void replay(List<LayerRecording> own) {
        try {
            Map<LayerRecording, LayerTrace> known = new LinkedHashMap<>();
            for (LayerRecording recording : own) {
                LayerTrace trace = traces.find(recording.layer().index().layer());
                if (trace != null) {
                    known.put(recording, trace);
                }
            }
            Map<LayerRecording, Future<List<Prefetch.Range>>> coming = new HashMap<>();
            known.forEach((recording, trace) -> coming.put(recording, prefetch(recording, trace)));
            List<Replay.Part> parts = new ArrayList<>();
            long deadline = System.nanoTime() + TABLES.toNanos();
            for (Map.Entry<LayerRecording, LayerTrace> one : known.entrySet()) {
                LayerRecording recording = one.getKey();
                parts.add(new Replay.Part(
                        recording.layer(),
                        one.getValue(),
                        packed(coming.get(recording), deadline),
                        fetcher.bytesWorthARequest(recording.layer())));
            }
            fetcher.bring(Replay.order(parts).iterator(), Priority.REPLAY);
        } catch (IOException e) {
            givenUp(NOT_REPLAYED, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** What comes packed, as far as it is known by the deadline. */
    private static List<Prefetch.Range> packed(@Nullable Future<List<Prefetch.Range>> coming, long deadline)
            throws InterruptedException {
        try {
            return coming == null
                    ? List.of()
                    : coming.get(Math.max(0, deadline - System.nanoTime()), TimeUnit.NANOSECONDS);
        } catch (TimeoutException | ExecutionException e) {
            return List.of();
        }
    }

    /** Begins to fetch a layer's prefetch blob if there is one; gives what is in it, soon. */
    private Future<List<Prefetch.Range>> prefetch(LayerRecording recording, LayerTrace trace) {
        CompletableFuture<List<Prefetch.Range>> table = new CompletableFuture<>();
        Thread.ofVirtual().name("prefetch").start(() -> {
            List<Prefetch.Range> left = List.of();
            try {
                left = isHere(recording.layer(), trace) ? List.of() : bring(recording, table);
            } catch (IOException e) {
                givenUp("what was packed for starts of an image cannot be had", e);
            } finally {
                table.complete(List.of());
            }
            bringSpans(recording.layer(), left);
        });
        return table;
    }

    private boolean isHere(KnownLayer layer, LayerTrace trace) {
        List<Replay.Part> all = List.of(new Replay.Part(layer, trace, List.of(), 0));
        return Replay.order(all).stream().allMatch(wanted -> fetcher.isHeld(layer, wanted.span()));
    }

    /** Returns what was announced and did not come. */
    private List<Prefetch.Range> bring(LayerRecording recording, CompletableFuture<List<Prefetch.Range>> table)
            throws IOException {
        KnownLayer layer = recording.layer();
        Digest digest = layer.index().layer();
        Prefetch coming = null;
        try (InputStream in = prefetches.open(digest)) {
            if (in == null) {
                return List.of();
            }
            PrefetchBlob.Reader blob = PrefetchBlob.open(in, digest);
            coming = begin(recording, blob.ranges());
            // Another start's is on its way, or was when this start came.
            table.complete(blob.ranges());
            if (coming != null) {
                try (PrefetchBringer bringer = new PrefetchBringer()) {
                    bringer.bring(blob, coming);
                }
            }
        } catch (IOException e) {
            if (coming == null) {
                throw e;
            }
            givenUp("a part of what was packed for starts of an image cannot be had", e);
        } finally {
            if (coming != null) {
                coming.over();
            }
        }
        return coming == null ? List.of() : coming.missing();
    }

    private synchronized @Nullable Prefetch begin(LayerRecording recording, List<Prefetch.Range> ranges) {
        if (recordings.get(recording.layer().index().layer()) != recording) {
            return null;
        }
        Prefetch coming = fetcher.prefetch(recording.layer(), ranges);
        if (coming != null) {
            recording.has(coming);
        }
        return coming;
    }

    private void bringSpans(KnownLayer layer, List<Prefetch.Range> ranges) {
        try {
            fetcher.bring(
                    Replay.spans(layer.index(), ranges).stream()
                            .mapToObj(span -> new Wanted(layer, span))
                            .iterator(),
                    Priority.REPLAY);
        } catch (IOException e) {
            givenUp(NOT_REPLAYED, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void givenUp(String what, IOException why) {
        LOG.log(closed ? System.Logger.Level.DEBUG : System.Logger.Level.WARNING, "{0}: {1}", what, why.getMessage());
    }

    /** Fetches what is not here, the topmost layer first, but nothing in the place of what others need. */
    private void fill(List<LayerRecording> own) {
        Iterator<Wanted> all = own.stream()
                .map(LayerRecording::layer)
                .flatMap(layer ->
                        IntStream.range(0, layer.index().spanCount()).mapToObj(span -> new Wanted(layer, span)))
                .takeWhile(wanted -> objects.usedBytes() < objects.mostBytes() / 10 * 9)
                .iterator();
        try {
            fetcher.bring(all, Priority.BACKGROUND);
        } catch (IOException e) {
            givenUp("the rest of an image is not fetched", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Keeps what was recorded. */
    @Override
    public void close() {
        List<Start> left;
        synchronized (this) {
            closed = true;
            left = List.copyOf(starting.values());
        }
        for (Start start : left) {
            start.over().countDown();
        }
        try {
            for (Start start : left) {
                start.kept().await();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
