package dev.coldstart.cli.demand;

/** A demand table that cannot be used; the message is one sentence that names the place. */
public final class DemandException extends Exception {
    private static final long serialVersionUID = 1;

    DemandException(String message) {
        super(message);
    }
}
