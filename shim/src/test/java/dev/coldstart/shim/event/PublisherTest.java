package dev.coldstart.shim.event;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.StringValue;
import dev.coldstart.proto.containerd.services.events.ttrpc.Envelope;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class PublisherTest {
    @TempDir
    Path directory;

    private final Duration delay = Duration.ofMillis(20);

    @Test
    void keepsOrderAndSaysWhatContainerdNeeds() throws Exception {
        Path socket = directory.resolve("s");
        try (EventsReceiver containerd = new EventsReceiver(socket)) {
            Publisher publisher = Publisher.start(Optional.of(socket), "ns", delay);
            for (int i = 0; i < 200; i++) {
                publisher.publish("/tasks/" + i, "containerd.events.TaskStart", StringValue.of("x" + i));
            }
            for (int i = 0; i < 200; i++) {
                Envelope event = containerd.next();
                assertThat(event.getTopic()).isEqualTo("/tasks/" + i);
                assertThat(event.getNamespace()).isEqualTo("ns");
                assertThat(event.getTimestamp().getSeconds()).isPositive();
                assertThat(event.getEvent().getTypeUrl()).isEqualTo("containerd.events.TaskStart");
            }
            publisher.close(Duration.ofSeconds(5));
        }
    }

    @Test
    void outlivesARestartOfContainerd() throws Exception {
        Path socket = directory.resolve("s");
        Publisher publisher = Publisher.start(Optional.of(socket), "ns", delay);
        try (EventsReceiver containerd = new EventsReceiver(socket)) {
            publisher.publish("/a", "t", StringValue.of(""));
            assertThat(containerd.next().getTopic()).isEqualTo("/a");
        }
        publisher.publish("/b", "t", StringValue.of(""));
        publisher.publish("/c", "t", StringValue.of(""));
        try (EventsReceiver containerd = new EventsReceiver(socket)) {
            assertThat(containerd.next().getTopic()).isEqualTo("/b");
            assertThat(containerd.next().getTopic()).isEqualTo("/c");
            publisher.publish("/d", "t", StringValue.of(""));
            publisher.close(Duration.ofSeconds(5));
            assertThat(containerd.next().getTopic()).isEqualTo("/d");
        }
    }

    @Test
    void dropsWhatNobodyTakesAndEnds() throws Exception {
        Publisher publisher = Publisher.start(Optional.of(directory.resolve("none")), "ns", Duration.ofMillis(1));
        publisher.publish("/a", "t", StringValue.of(""));
        long before = System.nanoTime();
        publisher.close(Duration.ofSeconds(10));
        assertThat(Duration.ofNanos(System.nanoTime() - before)).isLessThan(Duration.ofSeconds(10));
    }
}
