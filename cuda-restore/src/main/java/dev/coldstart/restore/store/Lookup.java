package dev.coldstart.restore.store;

/** What a node has for a container that is about to start. */
public sealed interface Lookup {
    /** A snapshot that may be restored here; the caller closes it. */
    record Found(StoredSnapshot snapshot) implements Lookup {}

    /** No snapshot of such a container. */
    record Absent() implements Lookup {}

    /**
     * A snapshot that must not be restored here.
     *
     * @param reason one sentence
     */
    record Refused(String id, String reason) implements Lookup {}
}
