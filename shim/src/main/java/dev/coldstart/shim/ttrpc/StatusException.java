package dev.coldstart.shim.ttrpc;

/** A call that ends with a status other than success: on the server what to answer, on the client what was answered. */
public final class StatusException extends Exception {
    private static final long serialVersionUID = 1;

    private final int code;

    /**
     * @param code one of {@link Code}
     * @param message one sentence for the user; containerd shows it as it is
     */
    public StatusException(int code, String message) {
        super(message);
        this.code = code;
    }

    public StatusException(int code, String message, Throwable cause) {
        super(message, cause);
        this.code = code;
    }

    public int code() {
        return code;
    }
}
