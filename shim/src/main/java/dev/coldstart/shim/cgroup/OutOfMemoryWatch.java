package dev.coldstart.shim.cgroup;

import static java.lang.System.Logger.Level.WARNING;

import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.EventFd;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Poll;
import dev.coldstart.shim.log.LateLogger;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.LongConsumer;

/**
 * Tells when the kernel may have killed something in a group for want of memory: a thread of its own sleeps on
 * {@code memory.events} (v2, POLLPRI) or on an eventfd that {@code cgroup.event_control} signals (v1).
 */
public final class OutOfMemoryWatch implements AutoCloseable {
    private static final System.Logger LOG = new LateLogger(OutOfMemoryWatch.class);
    private static final int SIGNAL = 0;
    private static final int STOP = 1;

    // The kernel holds a signal of memory.events back until 10 ms have passed since the last one
    // (CGROUP_FILE_NOTIFY_MIN_INTV), and a kill comes a moment after the limit was met: it is looked for meanwhile.
    private static final int FOR_EVER = -1;
    private static final int FIRST_MILLIS = 1;
    private static final int LAST_MILLIS = 8;

    private final EventFd stop;
    private final Thread thread;

    private OutOfMemoryWatch(EventFd stop, Thread thread) {
        this.stop = stop;
        this.thread = thread;
    }

    /**
     * Watches until closed or until the group is gone.
     *
     * @param kills called at first and after each signal with {@link Cgroup#outOfMemoryKills()}, on the watching thread
     * @throws IOException when the group has no memory controller to watch
     */
    public static OutOfMemoryWatch start(Cgroup group, LongConsumer kills) throws IOException {
        EventFd stop = EventFd.open();
        Thread thread = Thread.ofPlatform().daemon().name("oom").unstarted(() -> watch(group, stop, kills));
        thread.start();
        return new OutOfMemoryWatch(stop, thread);
    }

    private static void watch(Cgroup group, EventFd stop, LongConsumer kills) {
        Path directory = group.memoryDirectory();
        boolean unified = group instanceof UnifiedCgroup;
        Path file = directory.resolve(unified ? "memory.events" : "memory.oom_control");
        try (EventFd event = EventFd.open();
                Descriptor source = Descriptor.open(file.toString(), Descriptor.O_RDONLY, 0);
                Arena arena = Arena.ofConfined();
                Poll poll = new Poll(2)) {
            if (!unified) {
                Files.write(
                        directory.resolve("cgroup.event_control"),
                        (event.descriptor().number() + " " + source.number()).getBytes(StandardCharsets.US_ASCII));
            }
            var buffer = arena.allocate(4096);
            var capture = Descriptor.errnoIn(arena);
            int patience = FOR_EVER;
            while (true) {
                // Of v2 the file itself, at once: systemd removes a group within a moment of its last process. The
                // kernel signals changes since it was last read from its beginning, so none falls between this and
                // the wait.
                kills.accept(unified ? read(source, buffer, capture) : group.outOfMemoryKills());
                poll.watch(SIGNAL, unified ? source : event.descriptor(), unified ? Poll.URGENT : Poll.READABLE);
                poll.watch(STOP, stop.descriptor(), Poll.READABLE);
                boolean signalled = poll.await(patience);
                if (poll.ready(STOP)) {
                    return;
                }
                if (unified) {
                    patience = signalled ? FIRST_MILLIS : patience < LAST_MILLIS ? patience * 2 : FOR_EVER;
                } else {
                    event.drain();
                    if (!Files.exists(directory)) {
                        return;
                    }
                }
            }
        } catch (LinuxException e) {
            // A container that ends at once takes its group away; its end looks at the counters itself.
            if (Files.exists(directory)) {
                LOG.log(WARNING, "Running out of memory will be told late: {0}", e.getMessage());
            }
        } catch (IOException e) {
            LOG.log(WARNING, "Running out of memory will be told late: {0}", e.getMessage());
        }
    }

    private static long read(Descriptor source, MemorySegment buffer, MemorySegment capture) throws LinuxException {
        int size = source.readAt(0, buffer, capture);
        byte[] text = buffer.asSlice(0, size).toArray(ValueLayout.JAVA_BYTE);
        return UnifiedCgroup.outOfMemoryKills(
                new String(text, StandardCharsets.US_ASCII).lines().toList());
    }

    @Override
    public void close() throws IOException {
        stop.signal();
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        stop.close();
    }
}
