package dev.coldstart.planner.lp;

/** A solver that could not do its work; the message is one sentence with what was attempted. */
public final class LpException extends Exception {
    private static final long serialVersionUID = 1;

    public LpException(String message) {
        super(message);
    }

    public LpException(String message, Throwable cause) {
        super(message, cause);
    }
}
