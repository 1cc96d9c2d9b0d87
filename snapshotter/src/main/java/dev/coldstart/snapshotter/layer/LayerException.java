package dev.coldstart.snapshotter.layer;

import java.io.IOException;

/** A layer, or an index of one, that is not what it should be. The message is one sentence that says where and why. */
public final class LayerException extends IOException {
    private static final long serialVersionUID = 1;

    public LayerException(String message) {
        super(message);
    }

    public LayerException(String message, Throwable cause) {
        super(message, cause);
    }
}
