package dev.coldstart.shim.event;

import com.google.protobuf.Empty;
import dev.coldstart.proto.containerd.services.events.ttrpc.Envelope;
import dev.coldstart.proto.containerd.services.events.ttrpc.ForwardRequest;
import dev.coldstart.shim.ttrpc.Methods;
import dev.coldstart.shim.ttrpc.Server;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** containerd's end of the events. */
public final class EventsReceiver implements AutoCloseable {
    private final BlockingQueue<Envelope> received = new LinkedBlockingQueue<>();
    private final Server server;

    public EventsReceiver(Path socket) throws IOException {
        server = Server.start(
                socket, new Methods().add("containerd.services.events.ttrpc.v1.Events", "Forward", payload -> {
                            received.add(ForwardRequest.parseFrom(payload).getEnvelope());
                            return Empty.getDefaultInstance();
                        }));
    }

    /** The next event, waited for. */
    public Envelope next() throws InterruptedException {
        @Nullable Envelope envelope = received.poll(20, TimeUnit.SECONDS);
        if (envelope == null) {
            throw new AssertionError("no event came");
        }
        return envelope;
    }

    public boolean isEmpty() {
        return received.isEmpty();
    }

    @Override
    public void close() throws IOException {
        server.close();
    }
}
