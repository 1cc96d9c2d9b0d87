package dev.coldstart.snapshotter.object;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.OpenFile;
import dev.coldstart.snapshotter.layer.ObjectName;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.lang.foreign.Arena;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * Reads complete objects through and compares them with their names, slowly: each of the 256 directories has its slot of
 * the time that a pass may take, by the clock, so that nothing has to be remembered over a restart.
 */
final class Scrub {
    private static final System.Logger LOG = System.getLogger(Scrub.class.getName());
    private static final int DIRECTORIES = 256;
    /** At least so fast, in bytes per millisecond, lest small stores be read in crumbs. */
    private static final double SLOWEST = 4096;

    private final ObjectStore store;
    private final Retention retention;
    private final long slotMillis;

    Scrub(ObjectStore store, Retention retention, int days) {
        this.store = store;
        this.retention = retention;
        this.slotMillis = Duration.ofDays(days).toMillis() / DIRECTORIES;
    }

    Thread start() {
        return Thread.ofPlatform().daemon().name("object-scrub").start(this::run);
    }

    private void run() {
        while (true) {
            long slot = System.currentTimeMillis() / slotMillis;
            try {
                Thread.sleep(Math.max(1, slot * slotMillis + slotMillis / 4 - System.currentTimeMillis()));
                int directory = (int) (slot % DIRECTORIES);
                double rate = Math.max(SLOWEST, bytes(directory) / (slotMillis / 2.0));
                scrub(directory, bytes -> pause((long) (bytes.byteSize() / rate)));
            } catch (InterruptedException | InterruptedIOException e) {
                return;
            } catch (IOException | RuntimeException e) {
                LOG.log(System.Logger.Level.WARNING, "cannot look through the store: {0}", e.toString());
            }
            try {
                Thread.sleep(Math.max(1, (slot + 1) * slotMillis - System.currentTimeMillis()));
            } catch (InterruptedException e) {
                return;
            }
        }
    }

    private static void pause(long millis) throws InterruptedIOException {
        try {
            Thread.sleep(Duration.ofMillis(millis));
        } catch (InterruptedException e) {
            throw new InterruptedIOException("the scrub was interrupted");
        }
    }

    private long bytes(int directory) throws IOException {
        long sum = 0;
        for (Path file : list(directory)) {
            sum += Files.exists(file) ? Files.size(file) : 0;
        }
        return sum;
    }

    private List<Path> list(int directory) throws IOException {
        List<Path> all = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(store.prefix(directory))) {
            files.forEach(all::add);
        }
        return all;
    }

    /** Looks through one directory. A wrong object is repaired; one that cannot be goes, unless a pinned layer has it. */
    void scrub(int directory, Verification.Reader reader) throws IOException {
        for (Path file : list(directory)) {
            ObjectName name = Eviction.objectName(store.prefix(directory), file);
            if (name == null || isSound(name, reader)) {
                continue;
            }
            try {
                store.repair(name);
            } catch (InterruptedIOException e) {
                throw e;
            } catch (IOException e) {
                boolean pinned = isPinned(name);
                LOG.log(
                        System.Logger.Level.WARNING,
                        pinned
                                ? "object {0} cannot be repaired and stays, because a mounted layer has it: {1}"
                                : "object {0} cannot be repaired and is deleted: {1}",
                        name,
                        e.getMessage());
                if (!pinned) {
                    var _ = store.evict(name);
                }
            }
        }
    }

    private boolean isSound(ObjectName name, Verification.Reader reader) throws IOException {
        try (Arena arena = Arena.ofConfined();
                OpenFile file = store.openComplete(name)) {
            return file == null || Verification.isSound(new CallState(arena), file, name, Long.MAX_VALUE, reader);
        }
    }

    private boolean isPinned(ObjectName name) throws IOException {
        List<Retention.Layer> layers = retention.layers();
        try {
            return layers.stream().anyMatch(layer -> layer.pinned() && (layer.index() == null || layer.has(name)));
        } finally {
            layers.forEach(Retention.Layer::close);
        }
    }
}
