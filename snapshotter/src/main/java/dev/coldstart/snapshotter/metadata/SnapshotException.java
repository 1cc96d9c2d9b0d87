package dev.coldstart.snapshotter.metadata;

/** A request that the rules of the snapshots API refuse. The message is one clear sentence. */
public final class SnapshotException extends Exception {
    private static final long serialVersionUID = 1;

    private final Reason reason;

    /** Which rule; each is one status of the API. */
    public enum Reason {
        NOT_FOUND,
        ALREADY_EXISTS,
        INVALID_ARGUMENT,
        FAILED_PRECONDITION
    }

    public SnapshotException(Reason reason, String message) {
        super(message);
        this.reason = reason;
    }

    public Reason reason() {
        return reason;
    }
}
