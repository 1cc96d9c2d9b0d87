package dev.coldstart.shim.cgroup;

import static java.lang.System.Logger.Level.WARNING;

import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.EventFd;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Poll;
import dev.coldstart.shim.log.LateLogger;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Tells when the kernel may have killed something in a group for want of memory: a thread of its own sleeps on
 * {@code memory.events} (v2, POLLPRI) or on an eventfd that {@code cgroup.event_control} signals (v1).
 */
public final class OutOfMemoryWatch implements AutoCloseable {
    private static final System.Logger LOG = new LateLogger(OutOfMemoryWatch.class);
    private static final int SIGNAL = 0;
    private static final int STOP = 1;

    private final EventFd stop;
    private final Thread thread;

    private OutOfMemoryWatch(EventFd stop, Thread thread) {
        this.stop = stop;
        this.thread = thread;
    }

    /**
     * Watches until closed or until the group is gone.
     *
     * @param look called at first and after each signal, on the watching thread
     * @throws IOException when the group has no memory controller to watch
     */
    public static OutOfMemoryWatch start(Cgroup group, Runnable look) throws IOException {
        EventFd stop = EventFd.open();
        Thread thread = Thread.ofPlatform().daemon().name("oom").unstarted(() -> watch(group, stop, look));
        thread.start();
        return new OutOfMemoryWatch(stop, thread);
    }

    private static void watch(Cgroup group, EventFd stop, Runnable look) {
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
            while (Files.exists(directory)) {
                if (unified) {
                    // The kernel signals changes since the file was last read from its beginning through this
                    // descriptor.
                    source.readAt(0, buffer, capture);
                }
                // What happens from here on wakes the wait below, so nothing falls between them.
                look.run();
                poll.watch(SIGNAL, unified ? source : event.descriptor(), unified ? Poll.URGENT : Poll.READABLE);
                poll.watch(STOP, stop.descriptor(), Poll.READABLE);
                poll.await(-1);
                if (poll.ready(STOP)) {
                    return;
                }
                event.drain();
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
