package dev.coldstart.snapshotter.fuse;

import dev.coldstart.linux.FuseReply;
import java.lang.foreign.Arena;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** Reply buffers for reads that wait; made when first needed, and never more than a bound. */
final class ReplyPool {
    private final ConcurrentLinkedQueue<FuseReply> idle = new ConcurrentLinkedQueue<>();
    private final Semaphore room;
    private final long payloadBytes;
    // As long as the process: a reply may be written after everything else was closed.
    private final Arena arena = Arena.ofAuto();

    ReplyPool(int most, long payloadBytes) {
        this.room = new Semaphore(most);
        this.payloadBytes = payloadBytes;
    }

    /** A buffer; null if there is none until the deadline of {@link System#nanoTime}. */
    @Nullable
    FuseReply take(long deadline) {
        try {
            if (!room.tryAcquire(deadline - System.nanoTime(), TimeUnit.NANOSECONDS)) {
                return null;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return null;
        }
        FuseReply reply = idle.poll();
        return reply == null ? new FuseReply(arena, payloadBytes) : reply;
    }

    void give(FuseReply reply) {
        idle.add(reply);
        room.release();
    }
}
