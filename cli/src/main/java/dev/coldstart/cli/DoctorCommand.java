package dev.coldstart.cli;

import dev.coldstart.proto.v1.AdminGrpc;
import dev.coldstart.proto.v1.DiagnoseImageRequest;
import dev.coldstart.proto.v1.DiagnoseImageResponse;
import dev.coldstart.proto.v1.DiagnoseRequest;
import dev.coldstart.proto.v1.DiagnoseResponse;
import dev.coldstart.proto.v1.DiagnosedLayer;
import dev.coldstart.proto.v1.Finding;
import dev.coldstart.proto.v1.Severity;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code coldstart doctor [IMAGE]}. */
@Command(
        name = "doctor",
        description = {
            "Show what works on this node, what does not, and why; or of which layers of IMAGE files are fetched when they are read, why not of the others, and what that costs.",
            "Fails if there is a problem, or a layer that is not served lazily."
        })
final class DoctorCommand implements Callable<Integer> {
    /** Registries that do not answer are given up before. */
    private static final long SECONDS = 90;

    @Spec
    private CommandSpec spec = CommandSpec.create();

    @Mixin
    private Main.NodeSocket node = new Main.NodeSocket();

    @Parameters(arity = "0..1", paramLabel = "IMAGE", description = "HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]")
    private String image = "";

    @Override
    public Integer call() {
        return image.isEmpty() ? node() : image();
    }

    private int node() {
        DiagnoseResponse answer;
        try (Connection connection = node.connect()) {
            answer = connection.call(
                    AdminGrpc.newBlockingStub(connection.channel()),
                    SECONDS,
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
        print(table);
        return status;
    }

    private int image() {
        DiagnoseImageResponse answer;
        try (Connection connection = node.connect()) {
            answer = connection.call(
                    AdminGrpc.newBlockingStub(connection.channel()),
                    SECONDS,
                    stub -> stub.diagnoseImage(
                            DiagnoseImageRequest.newBuilder().setImage(image).build()));
        }
        if (!answer.getRegistryFailure().isEmpty()) {
            spec.commandLine()
                    .getErr()
                    .println("coldstart: containerd has this image; its registry was asked first: "
                            + Table.printable(answer.getRegistryFailure()));
        }
        Table table = new Table("", "LAYER", "BLOB", "INDEX", "TREE", "HERE", "TO READ", "FOUND");
        int status = 0;
        for (DiagnosedLayer layer : answer.getLayersList()) {
            table.row(
                    word(layer.getSeverity()),
                    Names.shorten(layer.getLayer()),
                    Sizes.of(layer.getBlobBytes()),
                    layer.getHasIndex() ? "yes" : "no",
                    layer.getHasTree() ? "yes" : "no",
                    layer.getBytesTotal() == 0
                            ? ""
                            : Sizes.of(layer.getBytesPresent()) + " of " + Sizes.of(layer.getBytesTotal()),
                    Sizes.of(layer.getBytesToRead()),
                    Table.printable(layer.getText()));
            status = layer.getSeverity() == Severity.SEVERITY_PROBLEM ? 1 : status;
        }
        print(table);
        return status;
    }

    private void print(Table table) {
        spec.commandLine().getOut().print(table.render(""));
        spec.commandLine().getOut().flush();
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
