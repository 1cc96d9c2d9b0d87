package dev.coldstart.cli;

import dev.coldstart.proto.v1.AdminGrpc;
import dev.coldstart.proto.v1.DiagnoseRequest;
import dev.coldstart.proto.v1.DiagnoseResponse;
import dev.coldstart.proto.v1.Finding;
import dev.coldstart.proto.v1.Severity;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code coldstart doctor}. */
@Command(
        name = "doctor",
        description = "Show what works on this node, what does not, and why. Fails if there is a problem.")
final class DoctorCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec = CommandSpec.create();

    @Mixin
    private Main.NodeSocket node = new Main.NodeSocket();

    @Override
    public Integer call() {
        DiagnoseResponse answer;
        try (Connection connection = node.connect()) {
            answer = connection.call(
                    AdminGrpc.newBlockingStub(connection.channel()),
                    30,
                    stub -> stub.diagnose(DiagnoseRequest.getDefaultInstance()));
        }
        Table table = new Table("", "WHAT", "FOUND");
        int status = 0;
        for (Finding finding : answer.getFindingsList()) {
            table.row(
                    word(finding.getSeverity()),
                    Table.printable(finding.getSubject()),
                    Table.printable(finding.getText()));
            status = finding.getSeverity() == Severity.SEVERITY_PROBLEM ? 1 : status;
        }
        spec.commandLine().getOut().print(table.render(""));
        spec.commandLine().getOut().flush();
        return status;
    }

    private static String word(Severity severity) {
        return switch (severity) {
            case SEVERITY_FINE -> "ok";
            case SEVERITY_WARNING -> "WARNING";
            case SEVERITY_PROBLEM -> "PROBLEM";
            case SEVERITY_UNKNOWN, UNRECOGNIZED -> "?";
        };
    }
}
