package dev.coldstart.shim.task;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class ExecGateTest {
    @Test
    void refusesAtOnceWhileOneIsStillInside() throws Exception {
        ExecGate gate = new ExecGate();
        assertThat(gate.enter()).isTrue();
        CompletableFuture<Void> closed = CompletableFuture.runAsync(gate::close);
        while (!gate.closed()) {
            Thread.sleep(1);
        }
        assertThat(gate.enter()).isFalse();
        assertThat(closed).isNotDone();
        gate.leave();
        closed.get();
    }
}
