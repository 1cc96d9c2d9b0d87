package dev.coldstart.snapshotter.fetch;

/** What spans are wanted for; the first goes first. */
public enum Priority {
    /** A read waits. */
    DEMAND,
    /** A reader that goes on as it does will ask. */
    READ_AHEAD,
    /** An earlier start of the image asked. */
    REPLAY,
    /** Nobody may ever ask. */
    BACKGROUND
}
