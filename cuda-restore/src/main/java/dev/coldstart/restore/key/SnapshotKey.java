package dev.coldstart.restore.key;

import java.util.List;
import java.util.Optional;

/** A snapshot's key: what was running (its subject), and what must hold where it is restored (its conditions). */
public record SnapshotKey(List<Field> subject, List<Field> conditions) {
    public record Field(String name, String value) {}

    public SnapshotKey {
        subject = List.copyOf(subject);
        conditions = List.copyOf(conditions);
    }

    /**
     * The key of a container from its live spec.
     *
     * @param layerDigests digests of the layers of its root file system, topmost first
     */
    public static SnapshotKey of(ContainerSpec spec, List<String> layerDigests, Host host) {
        return new SnapshotKey(
                List.of(new Field("layers", String.join(" ", layerDigests))),
                List.of(new Field("x", spec.toString() + host)));
    }

    /** The snapshot's id: lower-case hex SHA-256 of the subject. */
    public String id() {
        return "";
    }

    /** Why a snapshot with this key must not be restored where {@code live} holds: one sentence, or empty. */
    public Optional<String> mismatch(SnapshotKey live) {
        return Optional.of(live.id());
    }
}
