package dev.coldstart.shim.process;

import static java.lang.System.Logger.Level.ERROR;

import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Prctl;
import dev.coldstart.linux.Spawn;
import dev.coldstart.linux.Waiting;
import dev.coldstart.shim.log.LateLogger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Starts and reaps all children of this process: those it spawns, container processes that a runtime leaves behind
 * (this process is their subreaper), and orphans nobody asks for.
 *
 * <p>One thread sleeps in waitid(2). An end is never lost: spawned children are registered before their end can be
 * looked at, and a container's process, whose pid is known only later, is found through a {@link Watch} opened before
 * the runtime was run.
 */
public final class Reaper {
    private static final System.Logger LOG = new LateLogger(Reaper.class);
    /** Without children the thread looks again when one is spawned, or after this time for an orphan. */
    private static final long IDLE_SECONDS = 10;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition spawned = lock.newCondition();
    private final Map<Integer, CompletableFuture<Exit>> expected = new HashMap<>();
    private final Set<Watch> watches = new HashSet<>();
    // Guarded by lock.
    private long births;

    private Reaper() {}

    /** Makes this process a subreaper and starts reaping. */
    public static Reaper start() throws LinuxException {
        Prctl.becomeSubreaper();
        Reaper reaper = new Reaper();
        Thread.ofPlatform().daemon().name("reaper").start(reaper::run);
        return reaper;
    }

    /** Starts a program. */
    public Child spawn(Spawn spawn) throws LinuxException {
        lock.lock();
        try {
            CompletableFuture<Exit> exit = new CompletableFuture<>();
            int pid = spawn.start();
            expected.put(pid, exit);
            births++;
            spawned.signalAll();
            return new Child(pid, exit);
        } finally {
            lock.unlock();
        }
    }

    /** Remembers all ends from now on, so that a pid learned later can be claimed. */
    public Watch watch() {
        lock.lock();
        try {
            Watch watch = new Watch();
            watches.add(watch);
            return watch;
        } finally {
            lock.unlock();
        }
    }

    /** The ends of unexpected children while it is open. */
    public final class Watch implements AutoCloseable {
        private final Map<Integer, Exit> seen = new HashMap<>();

        private Watch() {}

        /**
         * A process that was born while this watch was open and is, or was, a child of this process. If it has ended
         * and somebody else has reaped it (a runtime that is a shell script may), nobody will ever tell how: its end
         * is {@link Exit#UNKNOWN} at once.
         */
        public Child claim(int pid) throws LinuxException {
            lock.lock();
            try {
                @Nullable Exit exit = seen.remove(pid);
                // Children are reaped with this lock held, so what was not seen and is no child will never be one.
                if (exit == null && !Waiting.isChild(pid) && !Files.exists(Path.of("/proc/" + pid))) {
                    exit = new Exit(Exit.UNKNOWN, Instant.now());
                }
                if (exit != null) {
                    return new Child(pid, CompletableFuture.completedFuture(exit));
                }
                CompletableFuture<Exit> future = new CompletableFuture<>();
                expected.put(pid, future);
                births++;
                spawned.signalAll();
                return new Child(pid, future);
            } finally {
                lock.unlock();
            }
        }

        @Override
        public void close() {
            lock.lock();
            try {
                watches.remove(this);
            } finally {
                lock.unlock();
            }
        }
    }

    private void run() {
        while (true) {
            try {
                long before = births();
                OptionalInt ended = Waiting.any();
                if (ended.isPresent()) {
                    reap(ended.getAsInt());
                } else {
                    awaitChildren(before);
                }
            } catch (LinuxException e) {
                LOG.log(ERROR, "The ends of containers can no longer be seen: {0}", e.getMessage());
                return;
            } catch (InterruptedException e) {
                return;
            }
        }
    }

    private long births() {
        lock.lock();
        try {
            return births;
        } finally {
            lock.unlock();
        }
    }

    /** @param before the count of births before the kernel said that there are no children */
    private void awaitChildren(long before) throws InterruptedException {
        lock.lock();
        try {
            if (births != before) {
                return;
            }
            if (expected.isEmpty()) {
                long left = TimeUnit.SECONDS.toNanos(IDLE_SECONDS);
                while (births == before && left > 0) {
                    left = spawned.awaitNanos(left);
                }
                return;
            }
            // The kernel knows no child, yet some are expected: their pids were not this process's to reap.
            Exit unknown = new Exit(Exit.UNKNOWN, Instant.now());
            expected.values().forEach(exit -> exit.complete(unknown));
            expected.clear();
        } finally {
            lock.unlock();
        }
    }

    private void reap(int pid) throws LinuxException {
        @Nullable CompletableFuture<Exit> future;
        Exit exit;
        lock.lock();
        try {
            Optional<Waiting.Exit> ended = Waiting.reap(pid);
            if (ended.isEmpty()) {
                return;
            }
            exit = new Exit(ended.get().status(), Instant.now());
            future = expected.remove(pid);
            if (future == null) {
                watches.forEach(watch -> watch.seen.put(pid, exit));
            }
        } finally {
            lock.unlock();
        }
        if (future != null) {
            future.complete(exit);
        }
    }
}
