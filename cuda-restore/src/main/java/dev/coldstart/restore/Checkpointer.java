package dev.coldstart.restore;

import com.google.protobuf.Timestamp;
import dev.coldstart.proto.v1.KeyField;
import dev.coldstart.proto.v1.SnapshotManifest;
import dev.coldstart.restore.criu.CriuConfig;
import dev.coldstart.restore.criu.CriuLog;
import dev.coldstart.restore.key.SnapshotKey;
import dev.coldstart.restore.store.SnapshotDraft;
import dev.coldstart.restore.store.SnapshotStore;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Takes snapshots of running containers. The container is frozen first and thawed last, so that its memory and its
 * files are of one instant.
 */
public final class Checkpointer {
    private static final Duration SHORT = Duration.ofSeconds(30);
    /** Half a terabyte at 1 GB/s; a hung CRIU must not keep a container frozen for ever. */
    private static final Duration LONG = Duration.ofMinutes(10);

    /** A status from here on means that a signal ended the command: what it did is not known. */
    private static final int SIGNALLED = 128;

    private static final String PRIVATE = "rw-------";
    private static final System.Logger LOG = System.getLogger(Checkpointer.class.getName());

    private final RuncCommand runc;
    private final SnapshotStore store;

    /**
     * A checkpointer that stores into {@code store}.
     *
     * @param runc runs runc with no stdio ({@code /dev/null})
     */
    public Checkpointer(RuncCommand runc, SnapshotStore store) {
        this.runc = runc;
        this.store = store;
    }

    /**
     * Takes a snapshot; the container stands still meanwhile and goes on afterwards, in every outcome. A snapshot with
     * the same id is replaced.
     *
     * @throws SnapshotException with one sentence; CRIU's log is then in the bundle as {@code criu-dump.log}
     */
    public SnapshotManifest snapshot(Container container, SnapshotKey key)
            throws SnapshotException, InterruptedException {
        if (container.terminal()) {
            throw new SnapshotException("A container with a terminal cannot be snapshotted; run it without -t.");
        }
        for (Path layer : container.lowerdirs()) {
            if (layer.startsWith(store.root())) {
                throw new SnapshotException(
                        "The container was itself restored from a snapshot and cannot be snapshotted again.");
            }
        }
        try (SnapshotDraft draft = store.draft()) {
            Map<String, String> environment = CriuConfig.write(draft.work());
            // A first copy loads classes and links native calls; the container need not stand still for that.
            LayerCopy.copy(draft.work(), draft.upper());
            draft.discardUpper();
            Instant created = Instant.now();
            long upperBytes;
            long started = System.nanoTime();
            freeze(container);
            try {
                dump(container, draft, environment);
                upperBytes = LayerCopy.copy(container.upperdir(), draft.upper());
            } finally {
                thaw(container);
            }
            Duration frozen = Duration.ofNanos(System.nanoTime() - started);
            SnapshotManifest manifest = SnapshotManifest.newBuilder()
                    .setId(key.id())
                    .setKey(dev.coldstart.proto.v1.SnapshotKey.newBuilder()
                            .addAllSubject(fields(key.subject()))
                            .addAllConditions(fields(key.conditions())))
                    .setCreatedAt(Timestamp.newBuilder()
                            .setSeconds(created.getEpochSecond())
                            .setNanos(created.getNano()))
                    .setNamespace(container.namespace())
                    .setContainerId(container.id())
                    .setCheckpointBytes(finish(draft))
                    .setUpperBytes(upperBytes)
                    .setFrozenMs((int) Math.min(frozen.toMillis(), Integer.MAX_VALUE))
                    .setTerminal(container.terminal())
                    .build();
            draft.commit(manifest);
            return manifest;
        } catch (SnapshotException e) {
            throw e;
        } catch (IOException e) {
            throw new SnapshotException("The snapshot could not be stored: " + e.getMessage(), e);
        }
    }

    private void freeze(Container container) throws IOException, InterruptedException {
        RuncResult result;
        try {
            result = runc.run(List.of("pause", container.id()), Map.of(), SHORT);
        } catch (InterruptedException e) {
            thaw(container);
            throw e;
        }
        if (result.succeeded()) {
            return;
        }
        // One that failed by itself left the container as it was, perhaps paused by its user: that stays so.
        if (result.status() >= SIGNALLED) {
            thaw(container);
        }
        throw new SnapshotException("The container could not be paused for its snapshot: " + reason(result) + ".");
    }

    private void dump(Container container, SnapshotDraft draft, Map<String, String> environment)
            throws IOException, InterruptedException {
        List<String> arguments = new ArrayList<>(List.of(
                "checkpoint",
                "--leave-running",
                "--file-locks",
                "--image-path",
                draft.checkpoint().toString(),
                "--work-path",
                draft.work().toString()));
        arguments.add(container.id());
        RuncResult result = runc.run(arguments, environment, LONG);
        if (result.succeeded()) {
            return;
        }
        Path log = draft.work().resolve("dump.log");
        Path kept = container.bundle().resolve("criu-dump.log");
        if (Files.exists(log)) {
            Files.copy(log, kept, StandardCopyOption.REPLACE_EXISTING);
        }
        Optional<CriuLog.Cause> cause = CriuLog.cause(log);
        throw new SnapshotException(
                "The container could not be checkpointed: "
                        + cause.map(CriuLog.Cause::sentence).orElse(reason(result) + "."),
                cause.isPresent() && !cause.get().lasting());
    }

    /** Lets the container go on, whatever happened before, and also when this thread is to stop. */
    private void thaw(Container container) {
        boolean interrupted = Thread.interrupted();
        try {
            RuncResult result = runc.run(List.of("resume", container.id()), Map.of(), SHORT);
            if (!result.succeeded()) {
                LOG.log(
                        System.Logger.Level.WARNING,
                        "Container {0} may still be paused after its snapshot: {1}; runc resume lets it go on.",
                        container.id(),
                        reason(result));
            }
        } catch (IOException e) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "Container {0} may still be paused after its snapshot: {1}",
                    container.id(),
                    e.getMessage());
        } catch (InterruptedException e) {
            interrupted = true;
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Makes the images private and complete; their bytes. */
    private static long finish(SnapshotDraft draft) throws IOException {
        try {
            Files.move(draft.work().resolve("stats-dump"), draft.checkpoint().resolve("stats-dump"));
        } catch (NoSuchFileException e) {
            LOG.log(System.Logger.Level.DEBUG, "CRIU left no figures of the dump");
        }
        long bytes = 0;
        try (DirectoryStream<Path> images = Files.newDirectoryStream(draft.checkpoint())) {
            for (Path image : images) {
                Files.setPosixFilePermissions(image, PosixFilePermissions.fromString(PRIVATE));
                bytes += Files.size(image);
            }
        }
        return bytes;
    }

    private static List<KeyField> fields(List<SnapshotKey.Field> fields) {
        return fields.stream()
                .map(field -> KeyField.newBuilder()
                        .setName(field.name())
                        .setValue(field.value())
                        .build())
                .toList();
    }

    static String reason(RuncResult result) {
        return result.error().isEmpty() ? "runc ended with status " + result.status() : result.error();
    }
}
