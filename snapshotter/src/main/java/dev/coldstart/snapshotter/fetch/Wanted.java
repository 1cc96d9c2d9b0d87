package dev.coldstart.snapshotter.fetch;

/** A span to be fetched before anybody waits for it. */
public record Wanted(KnownLayer layer, int span) {}
