package dev.coldstart.shim.stdio;

import static java.lang.System.Logger.Level.DEBUG;

import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.EventFd;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Poll;
import dev.coldstart.shim.log.LateLogger;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Copies one stream on a platform thread of its own, because opening a fifo and sleeping in poll(2) would hold a virtual
 * thread's carrier. It owns what it opens, and ends at the end of its source, at an error, or when cancelled.
 */
final class Copier implements Runnable {
    private static final System.Logger LOG = new LateLogger(Copier.class);
    private static final int BUFFER_BYTES = 32 << 10;
    private static final int DATA = 0;
    private static final int CANCEL = 1;

    /** Opens the two ends; each descriptor put into {@code owned} is closed when the copy ends. */
    @FunctionalInterface
    interface Ends {
        Pair open(List<Descriptor> owned) throws IOException;
    }

    record Pair(Descriptor from, Descriptor to) {}

    private final Ends ends;
    private final EventFd cancel;
    private final CompletableFuture<Void> opened = new CompletableFuture<>();
    private final CompletableFuture<Void> finished = new CompletableFuture<>();
    private volatile @Nullable Consumer<byte[]> observer;

    private Copier(Ends ends, EventFd cancel) {
        this.ends = ends;
        this.cancel = cancel;
    }

    /** @param cancel ends the copy when it becomes readable */
    static Copier start(String name, Ends ends, EventFd cancel) {
        Copier copier = new Copier(ends, cancel);
        Thread.ofPlatform().daemon().name(name).start(copier);
        return copier;
    }

    /** Done when both ends are open; exceptional when one cannot be. */
    CompletableFuture<Void> opened() {
        return opened;
    }

    CompletableFuture<Void> finished() {
        return finished;
    }

    /** Shows what is copied from now on; called on the copying thread. */
    void observe(@Nullable Consumer<byte[]> consumer) {
        observer = consumer;
    }

    @Override
    public void run() {
        List<Descriptor> owned = new ArrayList<>();
        try (Arena arena = Arena.ofConfined();
                Poll poll = new Poll(2)) {
            Pair pair = ends.open(owned);
            opened.complete(null);
            poll.watch(CANCEL, cancel.descriptor(), Poll.READABLE);
            copy(pair, arena.allocate(BUFFER_BYTES), Descriptor.errnoIn(arena), poll);
        } catch (LinuxException e) {
            opened.completeExceptionally(e);
            // EIO is how a terminal ends, EPIPE how a reader leaves.
            LOG.log(DEBUG, "A copy ended: {0}", e.getMessage());
        } catch (IOException e) {
            opened.completeExceptionally(e);
        } finally {
            owned.forEach(Descriptor::close);
            finished.complete(null);
        }
    }

    private void copy(Pair pair, MemorySegment buffer, MemorySegment capture, Poll poll) throws LinuxException {
        while (true) {
            int read = pair.from().read(buffer, capture);
            if (read == 0) {
                return;
            }
            if (read == Descriptor.WOULD_BLOCK) {
                if (!ready(poll, pair.from(), Poll.READABLE)) {
                    return;
                }
                continue;
            }
            @Nullable Consumer<byte[]> consumer = observer;
            if (consumer != null) {
                consumer.accept(buffer.asSlice(0, read).toArray(java.lang.foreign.ValueLayout.JAVA_BYTE));
            }
            for (int written = 0; written < read; ) {
                int n = pair.to().write(buffer.asSlice(written, read - written), capture);
                if (n != Descriptor.WOULD_BLOCK) {
                    written += n;
                } else if (!ready(poll, pair.to(), Poll.WRITABLE)) {
                    return;
                }
            }
        }
    }

    /** Sleeps until the descriptor is ready; false if cancelled meanwhile. */
    private static boolean ready(Poll poll, Descriptor descriptor, short events) throws LinuxException {
        poll.watch(DATA, descriptor, events);
        poll.await(-1);
        return !poll.ready(CANCEL);
    }
}
