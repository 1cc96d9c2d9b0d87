package dev.coldstart.snapshotter.registry;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;

/** Everything that is logged while it is open: by us at every level, by libraries as they are set. */
public final class CapturedLog implements AutoCloseable {
    private final Logger root = Logger.getLogger("");
    private final Logger ours = Logger.getLogger("dev.coldstart");
    private final Level before = root.getLevel();
    private final StringBuilder text = new StringBuilder();
    private final Handler handler = new Handler() {
        private final SimpleFormatter formatter = new SimpleFormatter();

        @Override
        public void publish(LogRecord logged) {
            append(formatter.format(logged));
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    };

    public CapturedLog() {
        handler.setLevel(Level.ALL);
        root.addHandler(handler);
        ours.setLevel(Level.ALL);
    }

    /** What a failure would print, wherever it is caught. */
    public void add(Throwable failure) {
        StringWriter trace = new StringWriter();
        failure.printStackTrace(new PrintWriter(trace));
        append(trace.toString());
    }

    private synchronized void append(String more) {
        text.append(more);
    }

    public synchronized String text() {
        return text.toString();
    }

    @Override
    public void close() {
        root.removeHandler(handler);
        ours.setLevel(null);
        root.setLevel(before);
    }
}
