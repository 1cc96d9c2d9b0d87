package dev.coldstart.snapshotter.metadata;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.Catalog.Change;
import dev.coldstart.snapshotter.metadata.SnapshotException.Reason;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import org.jspecify.annotations.Nullable;

/**
 * The catalog of snapshots, durable. Readers see the last catalog without waiting for anybody. All changes are made by
 * one thread, which takes what is waiting, checks each against the one before, writes them with one fsync, and publishes
 * the result; so no lock is held while a disk works, and many callers share one fsync.
 */
public final class MetadataStore implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(MetadataStore.class.getName());
    /** A log of this size that is mostly history is rewritten. */
    private static final long COMPACT_BYTES = 4 << 20;

    /** Between a name that is taken and a number that makes it another one. */
    private static final String ANOTHER = "@";

    private final MetadataLog log;
    private final LinkedBlockingQueue<Work> queue = new LinkedBlockingQueue<>();
    private final Thread writer;
    private volatile Catalog catalog;
    private long compactAt = COMPACT_BYTES;

    private MetadataStore(MetadataLog log, Catalog catalog) {
        this.log = log;
        this.catalog = catalog;
        this.writer = Thread.ofPlatform().name("metadata").daemon().unstarted(this::run);
    }

    /** Opens the store in a file, or makes a new one. */
    public static MetadataStore open(Path path) throws IOException {
        MetadataLog.Replayed replayed = MetadataLog.open(path);
        if (replayed.cut() > 0) {
            LOG.log(
                    System.Logger.Level.INFO,
                    "the last {0} bytes of {1} were not written whole and were dropped",
                    replayed.cut(),
                    path);
        }
        MetadataStore store = new MetadataStore(replayed.log(), replayed.catalog());
        store.writer.start();
        return store;
    }

    /** What is there now. */
    public Catalog catalog() {
        return catalog;
    }

    /**
     * Makes an active snapshot or a view.
     *
     * @param parent name of a committed snapshot, or empty
     */
    public Snapshot create(String key, String parent, Snapshot.Kind kind, Map<String, String> labels)
            throws SnapshotException, IOException {
        return submit(draft -> {
            requireFree(draft, key);
            requireParent(parent, draft.find(parent));
            Instant now = Instant.now();
            Snapshot made = new Snapshot(draft.nextId(), key, parent, kind, now, now, labels, null, 0, 0);
            return new Outcome(List.of(new Change.Put(made)), made);
        });
    }

    /**
     * Makes a committed snapshot whose content is a layer's tree.
     *
     * @return that snapshot, or one that already says the same of the same parent, which then has these labels too: one of
     *     them is what containerd finds it by
     */
    public Snapshot createRemote(String name, String parent, Digest layer, Map<String, String> labels, long size)
            throws SnapshotException, IOException {
        return submit(draft -> {
            requireParent(parent, draft.find(parent));
            Snapshot bare = draft.find(name);
            Snapshot same = bare != null && isOn(parent, bare) ? bare : draft.findOn(parent, name + ANOTHER);
            if (same != null) {
                Map<String, String> all = new HashMap<>(labels);
                all.putAll(same.labels());
                if (all.equals(same.labels())) {
                    return new Outcome(List.of(), same);
                }
                Snapshot found = same.withLabels(all, Instant.now());
                return new Outcome(List.of(new Change.Put(found)), found);
            }
            // The same chain of layers may stand on parents of other names, one in each of containerd's namespaces.
            String free = bare == null ? name : name + ANOTHER + draft.nextId();
            Instant now = Instant.now();
            Snapshot made = new Snapshot(
                    draft.nextId(), free, parent, Snapshot.Kind.COMMITTED, now, now, labels, layer, size, 0);
            return new Outcome(List.of(new Change.Put(made)), made);
        });
    }

    private static boolean isOn(String parent, Snapshot snapshot) {
        return snapshot.kind() == Snapshot.Kind.COMMITTED && snapshot.parent().equals(parent);
    }

    /** Turns an active snapshot into a committed one of another name, in one transaction. */
    public Snapshot commit(
            String key, String name, @Nullable String parent, Map<String, String> labels, long size, long inodes)
            throws SnapshotException, IOException {
        return submit(draft -> {
            requireFree(draft, name);
            Snapshot active = require(draft, key);
            if (active.kind() != Snapshot.Kind.ACTIVE) {
                throw new SnapshotException(
                        Reason.FAILED_PRECONDITION, "snapshot \"" + key + "\" is not active and cannot be committed");
            }
            String on = active.parent();
            if (parent != null && !parent.isEmpty() && !parent.equals(on)) {
                if (!on.isEmpty()) {
                    throw new SnapshotException(
                            Reason.INVALID_ARGUMENT,
                            "snapshot \"" + key + "\" has the parent \"" + on + "\" and cannot be committed on \""
                                    + parent + "\"");
                }
                requireParent(parent, draft.find(parent));
                on = parent;
            }
            Instant now = Instant.now();
            Snapshot made = new Snapshot(
                    active.id(), name, on, Snapshot.Kind.COMMITTED, now, now, labels, active.layer(), size, inodes);
            return new Outcome(List.of(new Change.Drop(key), new Change.Put(made)), made);
        });
    }

    /** Notes what a committed snapshot takes on disk, unless it is gone. */
    public void measured(Snapshot committed, long size, long inodes) throws IOException {
        try {
            submit(draft -> {
                Snapshot now = draft.find(committed.name());
                if (now == null || now.id() != committed.id()) {
                    return new Outcome(List.of(), null);
                }
                return new Outcome(List.of(new Change.Put(now.withUsage(size, inodes))), null);
            });
        } catch (SnapshotException e) {
            throw new AssertionError("no rule forbids a measurement", e);
        }
    }

    /** Removes a snapshot that has no children. */
    public Snapshot remove(String name) throws SnapshotException, IOException {
        return submit(draft -> {
            Snapshot gone = require(draft, name);
            if (draft.hasChildren(name)) {
                throw new SnapshotException(
                        Reason.FAILED_PRECONDITION, "cannot remove snapshot \"" + name + "\" because it has children");
            }
            return new Outcome(List.of(new Change.Drop(name)), gone);
        });
    }

    /** How the labels of a snapshot become other labels. */
    @FunctionalInterface
    public interface LabelChange {
        Map<String, String> apply(Map<String, String> labels) throws SnapshotException;
    }

    public Snapshot update(String name, LabelChange change) throws SnapshotException, IOException {
        return submit(draft -> {
            Snapshot old = require(draft, name);
            Snapshot made = old.withLabels(change.apply(old.labels()), Instant.now());
            return new Outcome(List.of(new Change.Put(made)), made);
        });
    }

    /** Remembers where a layer can be fetched. */
    public void addSource(LayerSource source) throws IOException {
        if (catalog.sources(source.layer()).contains(source)) {
            return;
        }
        try {
            submit(draft -> new Outcome(List.of(new Change.AddSource(source)), null));
        } catch (SnapshotException e) {
            throw new AssertionError("no rule forbids a source", e);
        }
    }

    /** Waits for what was asked before, then closes the log. */
    @Override
    public void close() throws IOException {
        queue.add(new Work(null, new CompletableFuture<>()));
        boolean interrupted = false;
        while (writer.isAlive()) {
            try {
                writer.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        log.close();
    }

    private static Snapshot require(Catalog.Draft draft, String name) throws SnapshotException {
        Snapshot found = draft.find(name);
        if (found == null) {
            throw new SnapshotException(Reason.NOT_FOUND, "snapshot \"" + name + "\" does not exist");
        }
        return found;
    }

    /** Fails if nothing can stand on a snapshot of this name; an empty name is none. */
    public void requireParent(String parent) throws SnapshotException {
        requireParent(parent, catalog.find(parent));
    }

    private static void requireFree(Catalog.Draft draft, String name) throws SnapshotException {
        if (draft.find(name) != null) {
            throw new SnapshotException(Reason.ALREADY_EXISTS, "snapshot \"" + name + "\" already exists");
        }
    }

    private static void requireParent(String parent, @Nullable Snapshot found) throws SnapshotException {
        if (parent.isEmpty()) {
            return;
        }
        if (found == null) {
            throw new SnapshotException(Reason.NOT_FOUND, "parent snapshot \"" + parent + "\" does not exist");
        }
        if (found.kind() != Snapshot.Kind.COMMITTED) {
            throw new SnapshotException(Reason.INVALID_ARGUMENT, "parent snapshot \"" + parent + "\" is not committed");
        }
    }

    private record Outcome(List<Change> changes, @Nullable Snapshot result) {}

    private interface Mutation {
        Outcome apply(Catalog.Draft draft) throws SnapshotException;
    }

    /** A null mutation ends the writer. */
    private record Work(@Nullable Mutation mutation, CompletableFuture<@Nullable Snapshot> result) {}

    @SuppressWarnings("NullAway") // A source has no snapshot as result, and its caller does not look at it.
    private Snapshot submit(Mutation mutation) throws SnapshotException, IOException {
        Work work = new Work(mutation, new CompletableFuture<>());
        queue.add(work);
        try {
            return work.result().get();
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case SnapshotException refused -> throw new SnapshotException(refused.reason(), refused.getMessage());
                case IOException failed ->
                    throw new IOException("cannot write the metadata log: " + failed.getMessage(), failed);
                case null, default -> throw new IllegalStateException("a change of metadata failed", e.getCause());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while metadata was written", e);
        }
    }

    private void run() {
        List<Work> batch = new ArrayList<>();
        boolean open = true;
        while (open) {
            batch.clear();
            try {
                batch.add(queue.take());
            } catch (InterruptedException e) {
                // Nobody interrupts this thread on purpose; a change must not be lost by accident.
                continue;
            }
            queue.drainTo(batch, 127);
            open = batch.stream().allMatch(work -> work.mutation() != null);
            write(batch);
        }
    }

    private void write(List<Work> batch) {
        Catalog.Draft draft = catalog.draft();
        List<Runnable> answers = new ArrayList<>();
        List<CompletableFuture<@Nullable Snapshot>> waiting = new ArrayList<>();
        List<List<Change>> transactions = new ArrayList<>();
        for (Work work : batch) {
            Mutation mutation = work.mutation();
            if (mutation == null) {
                continue;
            }
            try {
                Outcome outcome = mutation.apply(draft);
                outcome.changes().forEach(draft::apply);
                if (!outcome.changes().isEmpty()) {
                    transactions.add(outcome.changes());
                }
                waiting.add(work.result());
                answers.add(() -> work.result().complete(outcome.result()));
            } catch (SnapshotException | RuntimeException e) {
                work.result().completeExceptionally(e);
            }
        }
        try {
            if (!transactions.isEmpty()) {
                log.append(transactions);
                catalog = draft.finish();
            }
        } catch (IOException e) {
            waiting.forEach(result -> result.completeExceptionally(e));
            return;
        }
        answers.forEach(Runnable::run);
        if (log.length() > compactAt) {
            compact();
        }
    }

    private void compact() {
        try {
            log.compact(catalog);
            compactAt = Math.max(COMPACT_BYTES, 2 * log.length());
        } catch (IOException e) {
            LOG.log(System.Logger.Level.WARNING, "cannot compact the metadata log: {0}", e.getMessage());
            compactAt = 2 * log.length();
        }
    }
}
