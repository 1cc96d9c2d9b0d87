package dev.coldstart.snapshotter.fetch;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.function.IntToDoubleFunction;
import org.junit.jupiter.api.Test;

/** Against hosts and links that are formulas. */
class ConnectionLimitTest {
    private static final long STEP = 10_000_000;

    private long now;
    private double bytes;

    /** Runs it for some seconds in which all connections are used. */
    private void use(ConnectionLimit limit, double seconds, IntToDoubleFunction bytesPerSecond) {
        for (double t = 0; t < seconds; t += STEP / 1e9) {
            now += STEP;
            bytes += bytesPerSecond.applyAsDouble(limit.get()) * STEP / 1e9;
            limit.look(now, (long) bytes, true);
        }
    }

    @Test
    void growsWhileEachConnectionBringsMore() {
        ConnectionLimit limit = new ConnectionLimit();
        use(limit, 2, connections -> connections * 50e6);
        assertThat(limit.get()).isEqualTo(ConnectionLimit.MOST);
    }

    @Test
    void findsThatAFewFillALink() {
        ConnectionLimit limit = new ConnectionLimit();
        use(limit, 60, connections -> Math.min(connections * 60e6, 125e6));
        assertThat(limit.get()).isBetween(ConnectionLimit.LEAST, 5);
    }

    @Test
    void learnsNothingFromAHostThatIsLittleAsked() {
        ConnectionLimit limit = new ConnectionLimit();
        for (int i = 0; i < 1000; i++) {
            now += STEP;
            limit.look(now, i * 1000L, i % 10 != 0);
        }
        assertThat(limit.get()).isEqualTo(ConnectionLimit.FIRST);
    }

    @Test
    void growsAgainWhenTheHostDoes() {
        ConnectionLimit limit = new ConnectionLimit();
        use(limit, 60, connections -> Math.min(connections * 60e6, 125e6));
        use(limit, 120, connections -> connections * 60e6);
        assertThat(limit.get()).isEqualTo(ConnectionLimit.MOST);
    }
}
