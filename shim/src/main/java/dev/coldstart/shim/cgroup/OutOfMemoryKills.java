package dev.coldstart.shim.cgroup;

import java.io.IOException;
import java.util.concurrent.locks.ReentrantLock;

/** Tells once of each rise of a group's count of processes that were killed for want of memory, whoever looks. */
public final class OutOfMemoryKills {
    private final ReentrantLock looking = new ReentrantLock();

    // Guarded by looking.
    private long told;

    /**
     * Looks at the count. Afterwards all kills that it holds have been told: who finds another looking waits, so that what
     * is told next, such as the end of the process that was killed, comes later.
     *
     * @param tell called if the count has risen since the last look
     */
    public void look(Cgroup group, Runnable tell) throws IOException {
        looking.lock();
        try {
            long kills = group.outOfMemoryKills();
            if (kills > told) {
                told = kills;
                tell.run();
            }
        } finally {
            looking.unlock();
        }
    }
}
