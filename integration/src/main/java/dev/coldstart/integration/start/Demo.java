package dev.coldstart.integration.start;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.node.Node;
import java.util.List;

/** {@code integration/demo}: one start in every way, the snapshot it left, and a plan for two nodes. */
public final class Demo {
    private static final String DEMAND = "/etc/coldstart/demand.toml";

    private Demo() {}

    /** Takes no arguments. */
    public static void main(String[] args) {
        try (Comparison comparison = Comparison.prepare(Repository.here())) {
            System.err.println("demo: starting the model server three ways");
            Run run = comparison.run();
            say("The same image from the same registry over 1 Gb/s, seconds to the first correct answer:");
            System.out.println(new Table(List.of(run)).text());
            Prediction answer = run.restore().prediction();
            System.out.println("The restored process answered as the original did; it is instance " + answer.instance()
                    + " and initialised itself " + answer.initialised() + " time(s).");

            Node node = comparison.node();
            say("$ coldstart snapshot ls");
            System.out.println(node.coldstart("snapshot", "ls"));
            String id = node.host().ask("sh", "-c", "ls /var/lib/coldstart/snapshots");
            say("$ coldstart snapshot inspect " + id);
            System.out.println(node.coldstart("snapshot", "inspect", id));

            String second = node.startSecondAgent("node-b");
            node.startPlanner();
            node.host().write(DEMAND, """
                            horizon_seconds = 3600
                            [rates]
                            ram = 8e9
                            disk = 1e9
                            registry = 125e6
                            [[function]]
                            name = "model-server"
                            cold_starts_per_hour = 30
                            fixed_seconds = 0.3
                            image = "%s"
                            snapshot = "%s"
                            """.formatted(comparison.image(), id));
            say("$ coldstart plan --node " + Node.SOCKET + " --node " + second + " --demand " + DEMAND);
            System.out.println(node.coldstart("plan", "--node", Node.SOCKET, "--node", second, "--demand", DEMAND));
        } catch (HostException e) {
            System.err.println("integration/demo: " + e.getMessage());
            System.exit(1);
        }
    }

    private static void say(String line) {
        System.out.println();
        System.out.println(line);
    }
}
