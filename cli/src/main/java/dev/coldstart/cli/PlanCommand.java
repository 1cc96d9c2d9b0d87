package dev.coldstart.cli;

import dev.coldstart.cli.demand.Demand;
import dev.coldstart.cli.demand.DemandException;
import dev.coldstart.cli.demand.DemandFile;
import dev.coldstart.proto.v1.IndexProgress;
import dev.coldstart.proto.v1.InventoryRequest;
import dev.coldstart.proto.v1.NodeAgentGrpc;
import dev.coldstart.proto.v1.NodeInventory;
import dev.coldstart.proto.v1.PlanRequest;
import dev.coldstart.proto.v1.PlanResponse;
import dev.coldstart.proto.v1.PlannerGrpc;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code coldstart plan}. */
@Command(
        name = "plan",
        description = "Ask the planner what each node should hold for the starts you expect.",
        footerHeading = "%nThe demand table:%n",
        footer = {
            "  horizon_seconds = 3600            # the time that is planned; default 3600",
            "  move_cost_seconds_per_gib = 1.0   # what moving a GiB must save; default 1",
            "  [rates]                           # bytes per second into a starting process",
            "  ram = 8e9",
            "  disk = 2e9",
            "  registry = 125e6",
            "  [[function]]",
            "  name = \"resnet\"",
            "  cold_starts_per_hour = 12",
            "  fixed_seconds = 0.8               # of a start, whatever is staged; default 0",
            "  image = \"HOST/REPOSITORY:TAG\"     # reads its layers, and/or:",
            "  snapshot = \"0a1b2c\"               # a snapshot's id or its beginning, and/or:",
            "  groups = [\"layer:sha256:…\"]       # as nodes report them",
            "  [[group]]                         # only for what no node holds yet",
            "  name = \"layer:sha256:…\"",
            "  bytes = \"1.5 GiB\"",
            "  [[node]]                          # only for a node that cannot be asked",
            "  name = \"node-b\"",
            "  ram_bytes = 0",
            "  disk_bytes = \"80 GiB\"",
            "  [[node.holding]]",
            "  group = \"layer:sha256:…\"",
            "  bytes_total = \"1.5 GiB\"",
            "  bytes_present = 0                 # default: all",
            "  tier = \"disk\"                     # or ram",
            "",
            "For a function with an image the first node is asked for its layers, and indexes it if need be."
        })
final class PlanCommand implements Callable<Integer> {
    private static final int SECONDS = 10;
    private static final int PLAN_SECONDS = 60;

    @Spec
    private CommandSpec spec = CommandSpec.create();

    @Option(
            names = "--node",
            paramLabel = "SOCKET",
            description = "Where a node's coldstart-snapshotter listens. Once per node.")
    private List<Path> nodes = new ArrayList<>();

    @Option(names = "--demand", required = true, paramLabel = "FILE", description = "The demand table, TOML; below.")
    private Path demandFile = Path.of("");

    @Option(
            names = "--planner-socket",
            paramLabel = "SOCKET",
            defaultValue = "/run/coldstart/planner.sock",
            description = "Where coldstart-planner listens. Default: ${DEFAULT-VALUE}")
    private Path planner = Path.of("/run/coldstart/planner.sock");

    @Option(names = "--json", description = "Print the plan as one JSON object.")
    private boolean json;

    @Override
    public Integer call() {
        Demand demand = readDemand();
        List<NodeInventory> inventories = new ArrayList<>();
        for (Path node : nodes) {
            try (Connection connection = Connection.open(Main.SNAPSHOTTER, node)) {
                inventories.add(connection.call(
                        NodeAgentGrpc.newBlockingStub(connection.channel()),
                        SECONDS,
                        stub -> stub.inventory(InventoryRequest.getDefaultInstance())));
            }
        }
        PlanRequest request = PlanQuestion.ask(demand, inventories, this::layers);
        PlanResponse plan;
        try (Connection connection = Connection.open(Main.PLANNER, planner)) {
            plan = connection.call(
                    PlannerGrpc.newBlockingStub(connection.channel()), PLAN_SECONDS, stub -> stub.plan(request));
        }
        PrintWriter out = spec.commandLine().getOut();
        out.print(json ? PlanAnswer.json(plan) + "\n" : PlanAnswer.text(plan, demand.horizonSeconds()));
        out.flush();
        return 0;
    }

    private Demand readDemand() {
        try {
            return DemandFile.parse(Files.readString(demandFile), demandFile.toString());
        } catch (NoSuchFileException e) {
            throw new CliException("There is no demand table " + demandFile + ".", e);
        } catch (IOException e) {
            throw new CliException("Cannot read the demand table " + demandFile + ": " + e.getMessage() + ".", e);
        } catch (DemandException e) {
            throw new CliException(String.valueOf(e.getMessage()), e);
        }
    }

    private Map<String, Long> layers(String image) {
        if (nodes.isEmpty()) {
            throw new CliException("To learn the layers of " + image + " a node must be asked: give --node SOCKET,"
                    + " or name the layers in groups.");
        }
        Map<String, Long> layers = new LinkedHashMap<>();
        try (Connection connection = Connection.open(Main.SNAPSHOTTER, nodes.getFirst())) {
            for (Map.Entry<String, IndexProgress> layer :
                    IndexCommand.index(connection, image, null).entrySet()) {
                layers.put(layer.getKey(), layer.getValue().getDone().getUncompressedBytes());
            }
        }
        return layers;
    }
}
