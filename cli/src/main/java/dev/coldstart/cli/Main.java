package dev.coldstart.cli;

import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The program {@code coldstart}. */
@Command(
        name = "coldstart",
        description = "Containers that serve models start in seconds instead of minutes.",
        subcommands = {
            VersionCommand.class,
            DoctorCommand.class,
            IndexCommand.class,
            SnapshotCommand.class,
            PinCommand.class,
            PlanCommand.class,
        },
        synopsisSubcommandLabel = "COMMAND",
        exitCodeListHeading = "%nExit status:%n",
        exitCodeList = {"0:done", "1:it could not be done; one sentence on stderr says why", "2:wrong arguments"})
public final class Main {
    /** Name of the daemon behind {@code --node-socket}. */
    static final String SNAPSHOTTER = "coldstart-snapshotter";

    static final String PLANNER = "coldstart-planner";

    /** Where the daemon of this node listens. */
    static final class NodeSocket {
        @Option(
                names = "--node-socket",
                paramLabel = "SOCKET",
                defaultValue = "/run/coldstart/node.sock",
                description = "Where coldstart-snapshotter listens. Default: ${DEFAULT-VALUE}")
        private Path socket = Path.of("/run/coldstart/node.sock");

        Connection connect() {
            return Connection.open(SNAPSHOTTER, socket);
        }
    }

    /** Runs one command and ends the process with its exit status. */
    public static void main(String[] args) {
        PrintWriter out = new PrintWriter(System.out, true, StandardCharsets.UTF_8);
        PrintWriter err = new PrintWriter(System.err, true, StandardCharsets.UTF_8);
        System.exit(run(out, err, args));
    }

    /** Runs one command; returns its exit status. */
    static int run(PrintWriter out, PrintWriter err, String... args) {
        CommandLine commandLine = new CommandLine(new Main());
        addHelp(commandLine);
        commandLine.setOut(out);
        commandLine.setErr(err);
        commandLine.setCaseInsensitiveEnumValuesAllowed(true);
        commandLine.setExecutionExceptionHandler((e, command, parsed) -> {
            String message = e instanceof CliException ? e.getMessage() : "Internal error: " + e;
            command.getErr().println("coldstart: " + Table.printable(String.valueOf(message)));
            return 1;
        });
        return commandLine.execute(args);
    }

    private static void addHelp(CommandLine command) {
        command.getCommandSpec()
                .addOption(CommandLine.Model.OptionSpec.builder("-h", "--help")
                        .usageHelp(true)
                        .description("Show this help and exit.")
                        .build());
        command.getSubcommands().values().forEach(Main::addHelp);
    }
}
