package dev.coldstart.restore;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.proto.v1.SnapshotManifest;
import dev.coldstart.restore.store.SnapshotStore;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The order of what is done to a container, with a runc that fails where the test wants it to. */
class CheckpointerTest {
    @TempDir
    Path directory;

    private final List<String> calls = new ArrayList<>();

    private interface Dump {
        RuncResult run(Path images, Path work) throws IOException, InterruptedException;
    }

    private RuncCommand runc(Dump dump) {
        return (arguments, environment, limit) -> {
            calls.add(arguments.getFirst());
            if (!arguments.getFirst().equals("checkpoint")) {
                // A thaw must get through although the thread is to stop.
                assertThat(Thread.currentThread().isInterrupted()).isFalse();
                return new RuncResult(0, "");
            }
            assertThat(arguments).contains("--leave-running", "--file-locks");
            assertThat(Files.readString(Path.of(environment.getOrDefault("CRIU_CONFIG_FILE", ""))))
                    .contains("tcp-close");
            return dump.run(
                    Path.of(arguments.get(arguments.indexOf("--image-path") + 1)),
                    Path.of(arguments.get(arguments.indexOf("--work-path") + 1)));
        };
    }

    private SnapshotStore store() {
        return new SnapshotStore(directory.resolve("snapshots"));
    }

    private long left() throws IOException {
        try (Stream<Path> entries = Files.list(store().root())) {
            return entries.count();
        }
    }

    @Test
    void theContainerIsFrozenWhileMemoryAndFilesAreTaken() throws Exception {
        Container container = Snapshots.container(directory);
        Files.writeString(container.upperdir().resolve("file"), "before");
        RuncCommand runc = runc((images, work) -> {
            Files.writeString(images.resolve("pages-1.img"), "12345");
            Files.writeString(work.resolve("stats-dump"), "s");
            return new RuncResult(0, "");
        });

        SnapshotManifest manifest = new Checkpointer(runc, store()).snapshot(container, Snapshots.KEY);

        assertThat(calls).containsExactly("pause", "checkpoint", "resume");
        assertThat(manifest.getId()).isEqualTo(Snapshots.KEY.id());
        assertThat(manifest.getCheckpointBytes()).isEqualTo(6);
        assertThat(manifest.getUpperBytes()).isEqualTo(6);
        assertThat(store().list()).containsExactly(manifest);
        Path stored = store().root().resolve(manifest.getId());
        assertThat(stored.resolve("upper")).isDirectoryContaining(path -> path.endsWith("file"));
        assertThat(stored.resolve("upper").toFile().list()).hasSize(1);
        assertThat(stored.resolve("checkpoint/stats-dump")).exists();
        assertThat(stored.toFile().list()).hasSize(3);
    }

    @Test
    void aFailedDumpThawsTellsWhyKeepsTheLogAndLeavesNothing() throws Exception {
        Container container = Snapshots.container(directory);
        RuncCommand runc = runc((images, work) -> {
            Files.writeString(
                    work.resolve("dump.log"),
                    "(0.1) Error (criu/files-reg.c:1): Can't lookup mount=8 for fd=1 path=/out\n");
            return new RuncResult(1, "criu failed: type NOTIFY errno 0");
        });

        assertThatThrownBy(() -> new Checkpointer(runc, store()).snapshot(container, Snapshots.KEY))
                .isInstanceOf(SnapshotException.class)
                .hasMessage("The container could not be checkpointed: A process has the file /out open as descriptor 1,"
                        + " and that is outside the container.");
        assertThat(calls).containsExactly("pause", "checkpoint", "resume");
        assertThat(container.bundle().resolve("criu-dump.log")).content().contains("lookup mount");
        assertThat(left()).isZero();
    }

    @Test
    void aConnectionBeingMadePassesAndIoUringDoesNot() throws Exception {
        Container container = Snapshots.container(directory);
        for (Map.Entry<String, Boolean> error : Map.of(
                        "In-flight connection (l) for 3e8", true, "io_uring: not supported", false)
                .entrySet()) {
            RuncCommand runc = runc((images, work) -> {
                Files.writeString(work.resolve("dump.log"), "(0.1) Error (criu/sk-inet.c:1): " + error.getKey() + "\n");
                return new RuncResult(1, "criu failed");
            });
            assertThatThrownBy(() -> new Checkpointer(runc, store()).snapshot(container, Snapshots.KEY))
                    .isInstanceOfSatisfying(
                            SnapshotException.class,
                            e -> assertThat(e.passing()).as(error.getKey()).isEqualTo(error.getValue()));
        }
    }

    @Test
    void aFailedCopyThaws() throws Exception {
        Container container = Snapshots.container(directory);
        RuncCommand runc = runc((images, work) -> {
            Files.delete(container.upperdir());
            return new RuncResult(0, "");
        });

        assertThatThrownBy(() -> new Checkpointer(runc, store()).snapshot(container, Snapshots.KEY))
                .isInstanceOf(SnapshotException.class)
                .hasMessageContaining("could not be stored");
        assertThat(calls).containsExactly("pause", "checkpoint", "resume");
        assertThat(left()).isZero();
    }

    @Test
    void anInterruptThaws() throws Exception {
        Container container = Snapshots.container(directory);
        RuncCommand runc = runc((images, work) -> {
            Thread.currentThread().interrupt();
            throw new InterruptedException();
        });

        try {
            assertThatThrownBy(() -> new Checkpointer(runc, store()).snapshot(container, Snapshots.KEY))
                    .isInstanceOf(InterruptedException.class);
            assertThat(Thread.currentThread().isInterrupted()).isTrue();
        } finally {
            boolean ignored = Thread.interrupted();
        }
        assertThat(calls).containsExactly("pause", "checkpoint", "resume");
        assertThat(left()).isZero();
    }

    @Test
    void aContainerThatItsUserPausedStaysPaused() throws Exception {
        Container container = Snapshots.container(directory);
        RuncCommand runc = (arguments, environment, limit) -> {
            calls.add(arguments.getFirst());
            return new RuncResult(1, "container not running");
        };

        assertThatThrownBy(() -> new Checkpointer(runc, store()).snapshot(container, Snapshots.KEY))
                .hasMessage("The container could not be paused for its snapshot: container not running.");
        assertThat(calls).containsExactly("pause");
    }

    @Test
    void whatCannotBeSnapshottedIsNotTouched() throws Exception {
        Container plain = Snapshots.container(directory);
        Container terminal = new Container("default", "c1", plain.bundle(), plain.lowerdirs(), plain.upperdir(), true);
        Container restored = new Container(
                "default", "c1", plain.bundle(), List.of(store().root().resolve("a/upper")), plain.upperdir(), false);
        RuncCommand runc = runc((images, work) -> new RuncResult(0, ""));

        for (Map.Entry<Container, String> refused : Map.of(terminal, "terminal", restored, "restored from a snapshot")
                .entrySet()) {
            assertThatThrownBy(() -> new Checkpointer(runc, store()).snapshot(refused.getKey(), Snapshots.KEY))
                    .isInstanceOf(SnapshotException.class)
                    .hasMessageContaining(refused.getValue());
        }
        assertThat(calls).isEmpty();
    }
}
