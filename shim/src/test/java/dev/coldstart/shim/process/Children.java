package dev.coldstart.shim.process;

import dev.coldstart.linux.LinuxException;

/** The one reaper of the test JVM: two would take each other's children. */
public final class Children {
    private static final Reaper REAPER = start();

    private Children() {}

    public static Reaper reaper() {
        return REAPER;
    }

    private static Reaper start() {
        try {
            return Reaper.start();
        } catch (LinuxException e) {
            throw new IllegalStateException(e);
        }
    }
}
