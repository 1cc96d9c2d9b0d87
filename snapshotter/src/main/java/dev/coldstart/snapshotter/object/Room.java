package dev.coldstart.snapshotter.object;

import java.io.IOException;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;

/** How much the store may still keep: its bound, the file system's reserve, and what is used, in allocated bytes. */
final class Room {
    private static final System.Logger LOG = System.getLogger(Room.class.getName());
    private static final long BLOCK = 4096;

    private final Path directory;
    private final FileStore fileSystem;
    private final long most;
    private final long reserve;
    private final long slack;
    private final AtomicLong used = new AtomicLong();
    private final AtomicBoolean refused = new AtomicBoolean();
    private final AtomicBoolean reconsidered = new AtomicBoolean();
    private final AtomicBoolean warned = new AtomicBoolean();
    private final Semaphore wakes = new Semaphore(0);
    private volatile boolean open = true;

    Room(Path directory, StoreSettings settings) throws IOException {
        this.directory = directory;
        this.fileSystem = Files.getFileStore(directory);
        long total = fileSystem.getTotalSpace();
        this.most = settings.diskMax().of(total);
        this.reserve = settings.freeMin().of(total);
        this.slack = most / 32;
    }

    /** Bytes that the file system takes for so many bytes of a file. */
    static long allocated(long bytes) {
        return (bytes + BLOCK - 1) / BLOCK * BLOCK;
    }

    /** The store's bound in bytes. */
    long most() {
        return most;
    }

    long used() {
        return used.get();
    }

    /** Whether objects are kept. */
    boolean isOpen() {
        return open;
    }

    void added(long bytes) {
        long now = used.addAndGet(bytes);
        if (now > most) {
            open = false;
        }
        if (now > most - slack) {
            wakes.release();
        }
    }

    void removed(long bytes) {
        used.addAndGet(-bytes);
    }

    /** Corrects the sum by a count that began when {@link #used} was {@code before}. */
    void counted(long bytes, long before) {
        used.addAndGet(bytes - before);
    }

    /** Room that is left, negative when too much is used. */
    long left() throws IOException {
        return Math.min(most - used.get(), fileSystem.getUsableSpace() - reserve);
    }

    /** Below this much room something has to go; twice as much is aimed at. */
    long slack() {
        return slack;
    }

    /** The file system refused a write for want of space. */
    void refused() {
        refused.set(true);
        wakes.release();
    }

    boolean takeRefusal() {
        return refused.getAndSet(false);
    }

    /** Something changed that may let objects go. */
    void reconsider() {
        reconsidered.set(true);
        wakes.release();
    }

    boolean takeReconsideration() {
        return reconsidered.getAndSet(false);
    }

    /** Waits until somebody has a reason to look, or the time is over. */
    void await(long seconds) throws InterruptedException {
        var _ = wakes.tryAcquire(seconds, TimeUnit.SECONDS);
        wakes.drainPermits();
    }

    /** Keeps objects from now on. */
    void reopen() {
        open = true;
        if (warned.compareAndSet(true, false)) {
            LOG.log(System.Logger.Level.INFO, "there is room in {0} again: what is fetched is kept", directory);
        }
    }

    /** Keeps nothing for now. */
    void close() {
        open = false;
    }

    /** Says once, until {@link #reopen}, that nothing or not everything is kept. */
    void warn(String reason) {
        if (warned.compareAndSet(false, true)) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "{0}: images are served from the registry without being kept in {1}; free some space, or raise store.disk_max",
                    reason,
                    directory);
        }
    }
}
