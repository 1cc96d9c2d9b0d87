package dev.coldstart.restore;

import dev.coldstart.linux.Loopback;
import dev.coldstart.proto.criu.restore_stats_entry;
import dev.coldstart.proto.v1.KeyField;
import dev.coldstart.restore.criu.CriuConfig;
import dev.coldstart.restore.criu.CriuLog;
import dev.coldstart.restore.criu.CriuStats;
import dev.coldstart.restore.store.StoredSnapshot;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Starts containers from snapshots. */
public final class Restorer {
    private static final Duration LIMIT = Duration.ofMinutes(10);
    private static final System.Logger LOG = System.getLogger(Restorer.class.getName());

    private final RuncCommand runc;

    /**
     * A restorer for one container.
     *
     * @param runc runs {@code runc restore} with the new container's stdin, stdout and stderr (pipes, never a terminal)
     *     as descriptors 0 to 2
     */
    public Restorer(RuncCommand runc) {
        this.runc = runc;
    }

    /**
     * Restores {@code snapshot} as container {@code id}. The bundle's root file system must be mounted with
     * {@link WritableLayer#under}. Nothing is written into the snapshot; it can be restored many times at once.
     *
     * @param pidFile where runc writes the pid
     * @throws RestoreException with one sentence, if the process has not resumed; CRIU's log is then in the bundle as
     *     {@code criu-restore.log}. If the snapshot is to blame it is quarantined on this node until the next boot.
     * @throws InterruptedException if the thread is interrupted; runc has been killed then
     */
    public Restoration restore(StoredSnapshot snapshot, String id, Path bundle, Path pidFile)
            throws RestoreException, InterruptedException {
        long started = System.nanoTime();
        try {
            Path work = Files.createTempDirectory(bundle, "criu-restore-");
            try {
                Map<String, String> environment = CriuConfig.write(work);
                RuncResult result = runc.run(
                        List.of(
                                "restore",
                                "--detach",
                                "--no-subreaper",
                                "--file-locks",
                                "--image-path",
                                snapshot.checkpoint().toString(),
                                "--work-path",
                                work.toString(),
                                "--bundle",
                                bundle.toString(),
                                "--pid-file",
                                pidFile.toString(),
                                id),
                        environment,
                        LIMIT);
                if (!result.succeeded()) {
                    throw failed(snapshot, bundle, work.resolve("restore.log"), result);
                }
                int pid = pid(pidFile);
                if (ownNetwork(snapshot)) {
                    loopback(id, pid);
                }
                Duration total = Duration.ofNanos(System.nanoTime() - started);
                restore_stats_entry stats = stats(work.resolve("stats-restore"));
                return new Restoration(
                        pid, total, Duration.ofMillis(stats.getRestoreTime() / 1000L), stats.getPagesRestored());
            } finally {
                delete(work);
            }
        } catch (RestoreException e) {
            throw e;
        } catch (IOException e) {
            throw new RestoreException("The restore could not be run: " + e.getMessage(), e);
        }
    }

    private static RestoreException failed(StoredSnapshot snapshot, Path bundle, Path log, RuncResult result)
            throws IOException {
        Optional<CriuLog.Cause> cause = CriuLog.cause(log);
        if (Files.exists(log)) {
            Files.copy(log, bundle.resolve("criu-restore.log"), StandardCopyOption.REPLACE_EXISTING);
        }
        String sentence = "The snapshot could not be restored: "
                + cause.map(CriuLog.Cause::sentence).orElse(Checkpointer.reason(result) + ".");
        // Without an error of CRIU's, runc failed before it or was killed: that says nothing about the snapshot.
        if (cause.isPresent() && cause.get().lasting()) {
            snapshot.quarantine(cause.get().sentence());
        }
        return new RestoreException(sentence);
    }

    private static int pid(Path pidFile) throws IOException {
        String text = Files.readString(pidFile).strip();
        try {
            return Integer.parseInt(text);
        } catch (NumberFormatException e) {
            throw new IOException("runc wrote no pid into " + pidFile + ".", e);
        }
    }

    private static boolean ownNetwork(StoredSnapshot snapshot) {
        for (KeyField field : snapshot.manifest().getKey().getConditionsList()) {
            if (field.getName().equals("namespaces")) {
                return field.getValue().lines().anyMatch("network"::equals);
            }
        }
        return false;
    }

    /**
     * runc sets {@code lo} up when it creates a network namespace, but not when it restores into a new one: it leaves
     * all of the network to prestart hooks.
     */
    private static void loopback(String id, int pid) throws InterruptedException {
        try {
            Loopback.up(Path.of("/proc/" + pid + "/ns/net"));
        } catch (IOException e) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "Container {0} was restored without a loopback interface: {1}",
                    id,
                    e.getMessage());
        }
    }

    private static restore_stats_entry stats(Path file) {
        try {
            return CriuStats.read(file).getRestore();
        } catch (IOException e) {
            LOG.log(System.Logger.Level.DEBUG, "CRIU left no figures of the restore: {0}", e.getMessage());
            return restore_stats_entry.getDefaultInstance();
        }
    }

    /** The work directory is flat. */
    private static void delete(Path work) {
        try (DirectoryStream<Path> files = Files.newDirectoryStream(work)) {
            for (Path file : files) {
                Files.delete(file);
            }
            Files.delete(work);
        } catch (IOException e) {
            LOG.log(System.Logger.Level.WARNING, "{0} stays: {1}", work, e.getMessage());
        }
    }
}
