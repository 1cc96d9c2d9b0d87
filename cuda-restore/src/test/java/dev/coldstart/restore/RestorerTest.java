package dev.coldstart.restore;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.restore.store.Lookup;
import dev.coldstart.restore.store.SnapshotStore;
import dev.coldstart.restore.store.StoredSnapshot;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RestorerTest {
    @TempDir
    Path directory;

    private Path bundle() throws Exception {
        Path bundle = Files.createDirectories(directory.resolve("new"));
        Files.writeString(bundle.resolve("config.json"), "{\"process\":{\"args\":[\"serve\"]}}");
        return bundle;
    }

    private List<String> inBundle() throws Exception {
        try (Stream<Path> files = Files.list(bundle())) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    private RuncCommand failing(String log) {
        return (arguments, environment, limit) -> {
            Files.writeString(Path.of(arguments.get(arguments.indexOf("--work-path") + 1), "restore.log"), log);
            return new RuncResult(1, "criu failed: type RESTORE errno 0");
        };
    }

    @Test
    void aRestoredContainerHasItsPidAndLeavesNoWorkFiles() throws Exception {
        Path pidFile = bundle().resolve("init.pid");
        RuncCommand runc = (arguments, environment, limit) -> {
            assertThat(arguments)
                    .startsWith("restore", "--detach", "--no-subreaper")
                    .endsWith("c2");
            Files.writeString(pidFile, "4711");
            return new RuncResult(0, "");
        };
        try (StoredSnapshot snapshot = Snapshots.stored(directory)) {
            Restoration restoration = new Restorer(runc).restore(snapshot, "c2", bundle(), pidFile);

            assertThat(restoration.pid()).isEqualTo(4711);
        }
        assertThat(inBundle()).containsExactly("config.json", "init.pid");
    }

    @Test
    void aSnapshotThatCannotWorkHereIsQuarantinedAndItsLogKept() throws Exception {
        SnapshotStore store = new SnapshotStore(directory.resolve("snapshots"));
        try (StoredSnapshot snapshot = Snapshots.stored(directory)) {
            RuncCommand runc = failing("(0.1) Error (criu/mount.c:1): mnt: No mapping for 12:/data mountpoint\n");

            assertThatThrownBy(() -> new Restorer(runc).restore(snapshot, "c2", bundle(), bundle().resolve("pid")))
                    .isInstanceOf(RestoreException.class)
                    .hasMessage("The snapshot could not be restored: The container's mounts differ from the snapshot's:"
                            + " 12:/data has no counterpart.");
        }
        assertThat(inBundle()).containsExactly("config.json", "criu-restore.log");
        assertThat(store.find(Snapshots.KEY)).isInstanceOf(Lookup.Refused.class);
    }

    @Test
    void aFailureOfTheMomentIsNotHeldAgainstTheSnapshot() throws Exception {
        SnapshotStore store = new SnapshotStore(directory.resolve("snapshots"));
        try (StoredSnapshot snapshot = Snapshots.stored(directory)) {
            for (RuncCommand runc : List.<RuncCommand>of(
                    failing("(0.1) Error (criu/x.c:1): Can't fork for 7: File exists\n"),
                    (arguments, environment, limit) -> new RuncResult(137, ""))) {
                assertThatThrownBy(() -> new Restorer(runc).restore(snapshot, "c2", bundle(), bundle().resolve("pid")))
                        .isInstanceOf(RestoreException.class);
            }
        }
        assertThat(store.find(Snapshots.KEY)).isInstanceOf(Lookup.Found.class);
    }
}
