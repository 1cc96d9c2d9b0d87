package dev.coldstart.integration.start;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.Repository;
import java.util.ArrayList;
import java.util.List;

/** {@code integration/bench start}: every way, several times, as a table and as a line {@code RESULT {…}}. */
public final class StartBenchmark {
    private StartBenchmark() {}

    /** Arguments: how many runs. */
    public static void main(String[] args) {
        int runs = Integer.parseInt(args[0]);
        try (Comparison comparison = Comparison.prepare(Repository.here())) {
            List<Run> measured = new ArrayList<>();
            for (int i = 1; i <= runs; i++) {
                Run run = comparison.run();
                comparison.removeRestored();
                measured.add(run);
                System.err.println("run " + i + " of " + runs + ": " + Table.oneRun(run));
            }
            Table table = new Table(measured);
            System.out.println(table.text());
            System.out.println("RESULT " + table.json());
        } catch (HostException e) {
            System.err.println("integration/bench: " + e.getMessage());
            System.exit(1);
        }
    }
}
