package dev.coldstart.snapshotter.trace;

import java.io.IOException;

/** A trace that is not what it should be. The message is one sentence that says why. */
public final class TraceException extends IOException {
    private static final long serialVersionUID = 1;

    public TraceException(String message) {
        super(message);
    }

    TraceException(String message, Throwable cause) {
        super(message, cause);
    }
}
