package dev.coldstart.shim.cgroup;

import java.io.IOException;
import java.util.concurrent.locks.ReentrantLock;

/** Tells once of each rise of a group's count of processes that were killed for want of memory, whoever looks. */
public final class OutOfMemoryKills {
    private final ReentrantLock telling = new ReentrantLock();

    // Guarded by telling.
    private long told;

    /**
     * Looks at the count. Afterwards all kills that it holds have been told: who finds another telling waits, so that what
     * is told next, such as the end of the process that was killed, comes later.
     *
     * @param tell called if the count has risen
     */
    public void look(Cgroup group, Runnable tell) throws IOException {
        counted(group.outOfMemoryKills(), tell);
    }

    /** The same of a count that was read already. */
    public void counted(long kills, Runnable tell) {
        telling.lock();
        try {
            if (kills > told) {
                told = kills;
                tell.run();
            }
        } finally {
            telling.unlock();
        }
    }
}
