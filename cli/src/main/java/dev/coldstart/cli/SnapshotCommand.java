package dev.coldstart.cli;

import com.google.protobuf.Any;
import com.google.protobuf.Timestamp;
import dev.coldstart.proto.containerd.runc.CheckpointOptions;
import dev.coldstart.proto.containerd.services.tasks.CheckpointTaskRequest;
import dev.coldstart.proto.containerd.services.tasks.TasksGrpc;
import dev.coldstart.proto.v1.AdminGrpc;
import dev.coldstart.proto.v1.GetSnapshotRequest;
import dev.coldstart.proto.v1.KeyField;
import dev.coldstart.proto.v1.ListSnapshotsRequest;
import dev.coldstart.proto.v1.RemoveSnapshotRequest;
import dev.coldstart.proto.v1.SnapshotManifest;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code coldstart snapshot}. */
@Command(
        name = "snapshot",
        description = "Take, list, show and remove the snapshots of this node.",
        synopsisSubcommandLabel = "COMMAND",
        subcommands = {
            SnapshotCommand.Create.class,
            SnapshotCommand.Ls.class,
            SnapshotCommand.Inspect.class,
            SnapshotCommand.Rm.class,
        })
final class SnapshotCommand {
    private static final int SECONDS = 10;
    /** A container with hundreds of GiB takes minutes to write out. */
    private static final int CHECKPOINT_SECONDS = 1800;

    private static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss'Z'").withZone(ZoneOffset.UTC);

    private SnapshotCommand() {}

    /** {@code coldstart snapshot create}. */
    @Command(
            name = "create",
            description = {
                "Take a snapshot of a running container, which goes on afterwards. Prints the snapshot's id.",
                "The container must run under the runtime io.containerd.coldstart.v1."
            })
    static final class Create implements Callable<Integer> {
        @Spec
        private CommandSpec spec = CommandSpec.create();

        @Mixin
        private Main.NodeSocket node = new Main.NodeSocket();

        @Parameters(paramLabel = "CONTAINER", description = "The container's id.")
        private String container = "";

        @Option(
                names = {"-n", "--namespace"},
                paramLabel = "NS",
                defaultValue = "default",
                description = "containerd's namespace. Default: ${DEFAULT-VALUE}")
        private String namespace = "default";

        @Option(
                names = {"-a", "--address"},
                paramLabel = "SOCKET",
                defaultValue = "/run/containerd/containerd.sock",
                description = "Where containerd listens. Default: ${DEFAULT-VALUE}")
        private Path address = Path.of("/run/containerd/containerd.sock");

        @Override
        public Integer call() {
            // containerd 2 passes on no type of options that it does not know, so a word in one that it knows asks for
            // ours.
            CheckpointOptions how = CheckpointOptions.newBuilder()
                    .setImagePath("coldstart.dev/snapshot")
                    .build();
            Any options = Any.newBuilder()
                    .setTypeUrl(CheckpointOptions.getDescriptor().getFullName())
                    .setValue(how.toByteString())
                    .build();
            CheckpointTaskRequest request = CheckpointTaskRequest.newBuilder()
                    .setContainerId(container)
                    .setOptions(options)
                    .build();
            Instant before = Instant.now();
            try (Connection containerd = Connection.open("containerd", address)) {
                TasksGrpc.TasksBlockingStub tasks =
                        Connection.inNamespace(TasksGrpc.newBlockingStub(containerd.channel()), namespace);
                var _ = containerd.call(tasks, CHECKPOINT_SECONDS, stub -> stub.checkpoint(request));
            }
            SnapshotManifest taken;
            try {
                taken = list(node).stream()
                        .filter(s -> s.getContainerId().equals(container)
                                && s.getNamespace().equals(namespace))
                        .max(Comparator.comparing(s -> instant(s.getCreatedAt())))
                        .orElse(SnapshotManifest.getDefaultInstance());
            } catch (CliException e) {
                throw new CliException("The checkpoint was taken, but its id is not known: " + e.getMessage(), e);
            }
            // The clocks are one; a second covers what a file's time may be rounded by.
            if (taken.getId().isEmpty() || instant(taken.getCreatedAt()).isBefore(before.minusSeconds(1))) {
                throw new CliException("containerd took a checkpoint of " + container
                        + ", but no snapshot came of it; does the container run under io.containerd.coldstart.v1?");
            }
            spec.commandLine().getOut().println(taken.getId());
            return 0;
        }
    }

    /** {@code coldstart snapshot ls}. */
    @Command(name = "ls", description = "List the snapshots of this node, newest first.")
    static final class Ls implements Callable<Integer> {
        @Spec
        private CommandSpec spec = CommandSpec.create();

        @Mixin
        private Main.NodeSocket node = new Main.NodeSocket();

        @Override
        public Integer call() {
            Table table = new Table("ID", "NAMESPACE", "CONTAINER", "CREATED", "MEMORY", "WRITTEN", "FROZEN");
            list(node).stream()
                    .sorted(Comparator.comparing((SnapshotManifest s) -> instant(s.getCreatedAt()))
                            .reversed())
                    .forEach(s -> table.row(
                            Names.shorten(s.getId()),
                            s.getNamespace(),
                            s.getContainerId(),
                            TIME.format(instant(s.getCreatedAt())),
                            Sizes.of(s.getCheckpointBytes()),
                            Sizes.of(s.getUpperBytes()),
                            Integer.toUnsignedString(s.getFrozenMs()) + " ms"));
            PrintWriter out = spec.commandLine().getOut();
            out.print(table.render(""));
            out.flush();
            return 0;
        }
    }

    /** {@code coldstart snapshot inspect}. */
    @Command(name = "inspect", description = "Show a snapshot, what it is of, and what must hold where it is restored.")
    static final class Inspect implements Callable<Integer> {
        @Spec
        private CommandSpec spec = CommandSpec.create();

        @Mixin
        private Main.NodeSocket node = new Main.NodeSocket();

        @Parameters(paramLabel = "ID", description = "A snapshot's id, or the beginning of one.")
        private String id = "";

        @Override
        public Integer call() {
            SnapshotManifest s;
            try (Connection connection = node.connect()) {
                s = connection.call(
                        AdminGrpc.newBlockingStub(connection.channel()),
                        SECONDS,
                        stub -> stub.getSnapshot(
                                GetSnapshotRequest.newBuilder().setId(id).build()));
            }
            PrintWriter out = spec.commandLine().getOut();
            print(out, "id", s.getId());
            print(out, "container", s.getNamespace() + "/" + s.getContainerId());
            print(out, "created", TIME.format(instant(s.getCreatedAt())));
            print(out, "memory", Sizes.of(s.getCheckpointBytes()) + " (" + s.getCheckpointBytes() + " bytes)");
            print(out, "written", Sizes.of(s.getUpperBytes()) + " (" + s.getUpperBytes() + " bytes)");
            print(out, "frozen", Integer.toUnsignedString(s.getFrozenMs()) + " ms");
            print(out, "terminal", s.getTerminal() ? "yes" : "no");
            out.println("of:");
            fields(out, s.getKey().getSubjectList());
            out.println("restorable where:");
            fields(out, s.getKey().getConditionsList());
            return 0;
        }

        private static void print(PrintWriter out, String name, String value) {
            out.println(name + ": " + Table.printable(value));
        }

        private static void fields(PrintWriter out, List<KeyField> fields) {
            for (KeyField field : fields) {
                print(
                        out,
                        "  " + Table.printable(field.getName()),
                        field.getValue().replace("\n", ", "));
            }
        }
    }

    /** {@code coldstart snapshot rm}. */
    @Command(name = "rm", description = "Remove a snapshot. Prints its id.")
    static final class Rm implements Callable<Integer> {
        @Spec
        private CommandSpec spec = CommandSpec.create();

        @Mixin
        private Main.NodeSocket node = new Main.NodeSocket();

        @Parameters(paramLabel = "ID", description = "A snapshot's id, or the beginning of one.")
        private String id = "";

        @Override
        public Integer call() {
            try (Connection connection = node.connect()) {
                String removed = connection
                        .call(
                                AdminGrpc.newBlockingStub(connection.channel()),
                                SECONDS,
                                stub -> stub.removeSnapshot(RemoveSnapshotRequest.newBuilder()
                                        .setId(id)
                                        .build()))
                        .getId();
                spec.commandLine().getOut().println(Table.printable(removed));
            }
            return 0;
        }
    }

    private static List<SnapshotManifest> list(Main.NodeSocket node) {
        try (Connection connection = node.connect()) {
            return connection
                    .call(
                            AdminGrpc.newBlockingStub(connection.channel()),
                            SECONDS,
                            stub -> stub.listSnapshots(ListSnapshotsRequest.getDefaultInstance()))
                    .getSnapshotsList();
        }
    }

    private static Instant instant(Timestamp t) {
        return Instant.ofEpochSecond(t.getSeconds(), t.getNanos());
    }
}
