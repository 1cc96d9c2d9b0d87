package dev.coldstart.snapshotter.fuse;

import dev.coldstart.linux.FuseReply;
import java.lang.foreign.Arena;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;

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

    FuseReply take() {
        room.acquireUninterruptibly();
        FuseReply reply = idle.poll();
        return reply == null ? new FuseReply(arena, payloadBytes) : reply;
    }

    void give(FuseReply reply) {
        idle.add(reply);
        room.release();
    }
}
