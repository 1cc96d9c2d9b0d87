package dev.coldstart.shim.log;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class LoggersTest {
    private static final String NAME = LoggersTest.class.getName();

    private final Logger logger = Logger.getLogger(NAME);
    private final List<LogRecord> said = new ArrayList<>();
    private final Handler handler = new Handler() {
        @Override
        public void publish(LogRecord message) {
            said.add(message);
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    };

    @BeforeEach
    void listen() {
        logger.addHandler(handler);
    }

    @AfterEach
    void hearNoMore() {
        logger.removeHandler(handler);
        logger.setLevel(null);
    }

    @Test
    void itIsTheFinderThatTheJvmUses() {
        assertThat(System.LoggerFinder.getLoggerFinder()).isInstanceOf(Loggers.class);
    }

    @Test
    void levelsAreTheSameOnBothSides() {
        logger.setLevel(Level.ALL);
        System.Logger system = new Loggers().getLogger(NAME, LoggersTest.class.getModule());
        for (System.Logger.Level level : List.of(
                System.Logger.Level.TRACE,
                System.Logger.Level.DEBUG,
                System.Logger.Level.INFO,
                System.Logger.Level.WARNING,
                System.Logger.Level.ERROR)) {
            system.log(level, "said");
        }
        assertThat(said)
                .extracting(LogRecord::getLevel)
                .containsExactly(Level.FINER, Level.FINE, Level.INFO, Level.WARNING, Level.SEVERE);
    }

    @Test
    void whatIsBelowTheLevelIsNotSaid() {
        logger.setLevel(Level.WARNING);
        System.Logger system = new Loggers().getLogger(NAME, LoggersTest.class.getModule());
        system.log(System.Logger.Level.INFO, "said {0}", 1);
        system.log(System.Logger.Level.INFO, "said", new IllegalStateException("x"));
        assertThat(system.isLoggable(System.Logger.Level.INFO)).isFalse();
        assertThat(said).isEmpty();
    }

    @Test
    void anExceptionGoesAlong() {
        IllegalStateException thrown = new IllegalStateException("x");
        new Loggers().getLogger(NAME, LoggersTest.class.getModule()).log(System.Logger.Level.ERROR, "said", thrown);
        assertThat(said).singleElement().extracting(LogRecord::getThrown).isEqualTo(thrown);
    }
}
