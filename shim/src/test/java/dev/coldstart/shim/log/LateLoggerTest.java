package dev.coldstart.shim.log;

import static java.lang.System.Logger.Level.WARNING;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;
import org.junit.jupiter.api.Test;

class LateLoggerTest {
    @Test
    void aMessageIsItsSpeakersAndNotTheLoggers() {
        List<String> said = new ArrayList<>();
        Handler handler = new Handler() {
            @Override
            public void publish(LogRecord message) {
                said.add(message.getLoggerName() + ", " + message.getSourceClassName() + ": "
                        + new SimpleFormatter().formatMessage(message));
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
        Logger logger = Logger.getLogger(LateLoggerTest.class.getName());
        logger.addHandler(handler);
        try {
            new LateLogger(LateLoggerTest.class).log(WARNING, "{0} of {1}", 7, "n");
        } finally {
            logger.removeHandler(handler);
        }
        String name = LateLoggerTest.class.getName();
        assertThat(said).containsExactly(name + ", " + name + ": 7 of n");
    }
}
