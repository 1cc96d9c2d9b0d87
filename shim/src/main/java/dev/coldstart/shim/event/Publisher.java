package dev.coldstart.shim.event;

import static java.lang.System.Logger.Level.WARNING;

import com.google.protobuf.Any;
import com.google.protobuf.MessageLite;
import com.google.protobuf.Timestamp;
import dev.coldstart.proto.containerd.services.events.ttrpc.Envelope;
import dev.coldstart.proto.containerd.services.events.ttrpc.ForwardRequest;
import dev.coldstart.shim.log.LateLogger;
import dev.coldstart.shim.ttrpc.Client;
import dev.coldstart.shim.ttrpc.StatusException;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.jspecify.annotations.Nullable;

/**
 * Hands events to containerd in the order they were published, without ever blocking who publishes: one queue, one
 * sender. An event that containerd does not take is tried again after 1, 2, 3, 4 and 5 seconds, then dropped, as
 * containerd's own shim does (pkg/shim/publisher.go).
 */
public final class Publisher {
    private static final System.Logger LOG = new LateLogger(Publisher.class);
    private static final String SERVICE = "containerd.services.events.ttrpc.v1.Events";
    private static final int RETRIES = 5;
    private static final Duration LIMIT = Duration.ofSeconds(5);

    private final Optional<Path> address;
    private final String namespace;
    private final Duration delay;
    private final BlockingQueue<Envelope> queue = new LinkedBlockingQueue<>();
    private final Thread sender = Thread.ofVirtual().name("events").unstarted(this::send);
    private volatile boolean closing;

    /** Belongs to the sender. */
    private @Nullable Client client;

    private Publisher(Optional<Path> address, String namespace, Duration delay) {
        this.address = address;
        this.namespace = namespace;
        this.delay = delay;
    }

    /**
     * A publisher for one namespace.
     *
     * @param address containerd's ttrpc socket; without one events are dropped
     * @param delay before the first retry; the next ones come after multiples of it
     */
    public static Publisher start(Optional<Path> address, String namespace, Duration delay) {
        Publisher publisher = new Publisher(address, namespace, delay);
        publisher.sender.start();
        return publisher;
    }

    /**
     * Queues an event, stamped now.
     *
     * @param topic such as {@code /tasks/exit}
     * @param type the message's full name, without any prefix: containerd compares it as it is
     */
    public void publish(String topic, String type, MessageLite event) {
        queue.add(Envelope.newBuilder()
                .setTimestamp(timestamp(Instant.now()))
                .setNamespace(namespace)
                .setTopic(topic)
                .setEvent(Any.newBuilder().setTypeUrl(type).setValue(event.toByteString()))
                .build());
    }

    public static Timestamp timestamp(Instant instant) {
        return Timestamp.newBuilder()
                .setSeconds(instant.getEpochSecond())
                .setNanos(instant.getNano())
                .build();
    }

    /** Waits until the queue is sent, or for {@code limit}; nothing is sent afterwards. */
    public void close(Duration limit) throws InterruptedException {
        closing = true;
        // An envelope without a topic ends the sender.
        queue.add(Envelope.getDefaultInstance());
        if (!sender.join(limit)) {
            sender.interrupt();
        }
    }

    private void send() {
        try {
            while (true) {
                Envelope envelope = queue.take();
                if (envelope.getTopic().isEmpty()) {
                    return;
                }
                if (address.isPresent()) {
                    forward(address.get(), envelope);
                }
            }
        } catch (InterruptedException e) {
            LOG.log(WARNING, "{0} events were not sent, because containerd did not take them in time.", queue.size());
        } finally {
            disconnect();
        }
    }

    private void forward(Path socket, Envelope envelope) throws InterruptedException {
        ForwardRequest request =
                ForwardRequest.newBuilder().setEnvelope(envelope).build();
        for (int attempt = 0; ; attempt++) {
            try {
                if (client == null) {
                    client = Client.connect(socket);
                }
                var _ = client.call(
                        SERVICE, "Forward", request, Map.of("containerd-namespace-ttrpc", namespace), LIMIT);
                return;
            } catch (IOException | StatusException e) {
                // The first failure is as a rule a connection that containerd's restart has closed: connect again at
                // once.
                boolean reconnected = client == null;
                disconnect();
                if (attempt == 0 && !reconnected) {
                    continue;
                }
                if (attempt >= RETRIES || (closing && attempt >= 2)) {
                    LOG.log(
                            WARNING,
                            "Dropped the event {0}: containerd did not take it ({1}).",
                            envelope.getTopic(),
                            e.getMessage());
                    return;
                }
                Thread.sleep(delay.multipliedBy(attempt + 1L));
            }
        }
    }

    private void disconnect() {
        if (client != null) {
            try {
                client.close();
            } catch (IOException e) {
                LOG.log(WARNING, "Could not close the connection to containerd: {0}", e.getMessage());
            }
            client = null;
        }
    }
}
