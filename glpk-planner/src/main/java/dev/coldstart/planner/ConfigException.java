package dev.coldstart.planner;

import org.jspecify.annotations.Nullable;

/** A configuration that cannot be used; the message is one sentence. */
final class ConfigException extends Exception {
    private static final long serialVersionUID = 1;

    ConfigException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
