package dev.coldstart.snapshotter.object;

/** Where a planned layer is wanted. */
public enum Tier {
    DISK,
    RAM
}
