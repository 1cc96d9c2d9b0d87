package dev.coldstart.shim.log;

import java.util.ResourceBundle;
import org.jspecify.annotations.Nullable;

/**
 * A logger that is looked up when there is something to say: the first one initialises java.util.logging, which a JVM that
 * boots can do when it has answered.
 */
public final class LateLogger implements System.Logger {
    private final String name;

    public LateLogger(Class<?> speaker) {
        name = speaker.getName();
    }

    private System.Logger logger() {
        return System.getLogger(name);
    }

    @Override
    public String getName() {
        return name;
    }

    @Override
    public boolean isLoggable(Level level) {
        return logger().isLoggable(level);
    }

    @Override
    public void log(
            Level level, @Nullable ResourceBundle bundle, @Nullable String message, @Nullable Throwable thrown) {
        logger().log(level, bundle, message, thrown);
    }

    @Override
    public void log(
            Level level,
            @Nullable ResourceBundle bundle,
            @Nullable String format,
            @Nullable Object @Nullable ... values) {
        logger().log(level, bundle, format, values);
    }
}
