package dev.coldstart.snapshotter.registry;

import java.io.IOException;

/** A request to a registry that failed for good. The message is one clear sentence. */
public final class RegistryException extends IOException {
    private static final long serialVersionUID = 1;

    private final Reason reason;

    /** What kind of failure, which decides what a user can do. */
    public enum Reason {
        UNREACHABLE,
        DENIED,
        NOT_FOUND,
        OVERLOADED,
        MALFORMED,
        /** It sends whole blobs only: what is asked for in parts must be fetched in one go. */
        RANGES_IGNORED
    }

    public RegistryException(Reason reason, String message) {
        super(message);
        this.reason = reason;
    }

    public RegistryException(Reason reason, String message, Throwable cause) {
        super(message, cause);
        this.reason = reason;
    }

    public Reason reason() {
        return reason;
    }

    /** Whether the same may go well a little later. */
    boolean mayPass() {
        return reason == Reason.UNREACHABLE || reason == Reason.OVERLOADED;
    }
}
