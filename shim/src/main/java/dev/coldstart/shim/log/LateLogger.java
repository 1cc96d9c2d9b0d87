package dev.coldstart.shim.log;

import java.util.ResourceBundle;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.jspecify.annotations.Nullable;

/**
 * A logger of {@code java.util.logging} that is looked up when there is something to say: the first one initialises that
 * package, which a JVM that boots can do when it has answered.
 */
public final class LateLogger implements System.Logger {
    private final String name;

    public LateLogger(Class<?> speaker) {
        this(speaker.getName());
    }

    LateLogger(String name) {
        this.name = name;
    }

    private Logger logger() {
        return Logger.getLogger(name);
    }

    @Override
    public String getName() {
        return name;
    }

    @Override
    public boolean isLoggable(Level level) {
        return logger().isLoggable(of(level));
    }

    @Override
    public void log(
            Level level, @Nullable ResourceBundle bundle, @Nullable String message, @Nullable Throwable thrown) {
        LogRecord entry = entry(level, bundle, message);
        entry.setThrown(thrown);
        logger().log(entry);
    }

    @Override
    public void log(
            Level level,
            @Nullable ResourceBundle bundle,
            @Nullable String format,
            @Nullable Object @Nullable ... values) {
        LogRecord entry = entry(level, bundle, format);
        entry.setParameters(values);
        logger().log(entry);
    }

    /** The speaker is named, as otherwise the class that calls java.util.logging would be, which is this one. */
    private LogRecord entry(Level level, @Nullable ResourceBundle bundle, @Nullable String message) {
        LogRecord entry = new LogRecord(of(level), message);
        entry.setLoggerName(name);
        entry.setSourceClassName(name);
        entry.setSourceMethodName(null);
        entry.setResourceBundle(bundle);
        return entry;
    }

    private static java.util.logging.Level of(Level level) {
        return switch (level) {
            case ALL -> java.util.logging.Level.ALL;
            case TRACE -> java.util.logging.Level.FINER;
            case DEBUG -> java.util.logging.Level.FINE;
            case INFO -> java.util.logging.Level.INFO;
            case WARNING -> java.util.logging.Level.WARNING;
            case ERROR -> java.util.logging.Level.SEVERE;
            case OFF -> java.util.logging.Level.OFF;
        };
    }
}
