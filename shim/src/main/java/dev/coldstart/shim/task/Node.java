package dev.coldstart.shim.task;

import com.google.protobuf.MessageLite;
import dev.coldstart.shim.event.Publisher;
import dev.coldstart.shim.process.Reaper;
import dev.coldstart.shim.runc.SealedRuntime;
import dev.coldstart.shim.snapshot.Snapshots;
import java.util.Map;

/**
 * What all containers of a shim share.
 *
 * @param namespace containerd's
 * @param environment of the shim, which runtimes inherit
 */
public record Node(
        String namespace,
        Map<String, String> environment,
        Reaper reaper,
        SealedRuntime sealed,
        Publisher events,
        Snapshots snapshots) {
    void publish(String topic, String message, MessageLite event) {
        events.publish(topic, message, event);
    }
}
