package dev.coldstart.integration.host;

/** Something did not work in a test host, or with it; the message says what was tried and what came out. */
public final class HostException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public HostException(String message) {
        super(message);
    }

    public HostException(String message, Throwable cause) {
        super(message, cause);
    }
}
