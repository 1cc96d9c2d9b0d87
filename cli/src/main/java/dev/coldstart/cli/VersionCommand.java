package dev.coldstart.cli;

import dev.coldstart.proto.v1.AdminGrpc;
import dev.coldstart.proto.v1.VersionRequest;
import dev.coldstart.proto.v1.VersionResponse;
import java.io.PrintWriter;
import java.util.Objects;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code coldstart version}. */
@Command(name = "version", description = "Show the version of this program, and of the node's daemon if it answers.")
final class VersionCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec = CommandSpec.create();

    @Mixin
    private Main.NodeSocket node = new Main.NodeSocket();

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        out.println("coldstart " + own());
        try (Connection connection = node.connect()) {
            VersionResponse answer = connection.call(
                    AdminGrpc.newBlockingStub(connection.channel()),
                    5,
                    stub -> stub.version(VersionRequest.getDefaultInstance()));
            out.println(Main.SNAPSHOTTER + " " + Table.printable(answer.getVersion()));
            if (!answer.getServing().isBlank()) {
                out.println("serving: " + Table.printable(answer.getServing()));
            }
        } catch (CliException e) {
            // The question was which version this is; that it has an answer.
            spec.commandLine().getErr().println("coldstart: " + e.getMessage());
        }
        return 0;
    }

    /** From the jar's manifest. */
    static String own() {
        return Objects.requireNonNullElse(Main.class.getPackage().getImplementationVersion(), "(not packaged)");
    }
}
