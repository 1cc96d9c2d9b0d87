package dev.coldstart.restore;

import dev.coldstart.linux.Hostname;
import dev.coldstart.linux.Loopback;
import dev.coldstart.proto.criu.restore_stats_entry;
import dev.coldstart.restore.criu.CriuConfig;
import dev.coldstart.restore.criu.CriuLog;
import dev.coldstart.restore.criu.CriuStats;
import dev.coldstart.restore.key.ContainerSpec;
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
            ContainerSpec spec = ContainerSpec.read(bundle.resolve("config.json"));
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
                identity(id, spec, pid);
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

    /**
     * What CRIU brings back as it was, but the new container has of its own: its host name; and what runc does only
     * when it creates a network namespace, not when it restores into a new one: setting {@code lo} up. The process runs
     * already, so a failure is no reason to start it anew.
     */
    private static void identity(String id, ContainerSpec spec, int pid) throws InterruptedException {
        Path namespaces = Path.of("/proc", Integer.toString(pid), "ns");
        try {
            if (spec.owns("network")) {
                Loopback.up(namespaces.resolve("net"));
            }
            if (spec.owns("uts") && !spec.hostname().isEmpty()) {
                Hostname.set(namespaces.resolve("uts"), spec.hostname());
            }
        } catch (IOException e) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "Container {0} was restored, but not all of its identity: {1}",
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
