package dev.coldstart.planner.plan;

import dev.coldstart.planner.lp.GlpkSolver;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Solve time and gap on generated fleets; not a test. With the path of a requests.csv (columns as in
 * cluster-trace-v2026-GenAI) as argument it first prints how the trace's popularity compares with the generator's.
 */
final class PlanBench {
    private PlanBench() {}

    public static void main(String[] args) throws IOException, InterruptedException {
        if (args.length == 1) {
            popularity(Path.of(args[0]));
        }
        System.out.println(
                "functions nodes held  classes   greedy     plan    bound unplanned   gap%  s      method note");
        try (SolverPool pool =
                new SolverPool(Runtime.getRuntime().availableProcessors(), () -> new GlpkSolver("glpk"))) {
            for (int[] size : new int[][] {{12, 4}, {12, 4}, {20, 8}, {50, 20}, {87, 8}, {87, 40}, {200, 100}}) {
                for (double holding : new double[] {0, 0.7}) {
                    Instance instance = Generated.fleet(7, size[0], size[1], holding);
                    Layout greedy = Greedy.plan(instance, System.nanoTime() + 60_000_000_000L);
                    long start = System.nanoTime();
                    Search.Outcome o = new Search(instance, pool, Duration.ofSeconds(2)).run();
                    double seconds = (System.nanoTime() - start) / 1e9;
                    System.out.printf(
                            Locale.ROOT,
                            "%9d %5d %4.1f %8d %8.1f %8.1f %8.1f %9.1f %6.2f  %.2f  %s %s%n",
                            size[0],
                            size[1],
                            holding,
                            instance.classes().size(),
                            greedy.cost(),
                            o.cost(),
                            o.bound(),
                            instance.unplannedCost(),
                            100 * (o.cost() - o.bound()) / o.cost(),
                            seconds,
                            o.method(),
                            o.note());
                }
            }
        }
    }

    private static void popularity(Path requests) throws IOException {
        List<String> lines = Files.readAllLines(requests);
        int column = Arrays.asList(lines.getFirst().split(",", -1)).indexOf("checkpoint_model_version_id");
        Map<String, Integer> counts = new HashMap<>();
        for (String line : lines.subList(1, lines.size())) {
            counts.merge(line.split(",", -1)[column], 1, Integer::sum);
        }
        int[] sorted = counts.values().stream()
                .sorted((a, b) -> b - a)
                .mapToInt(Integer::intValue)
                .toArray();
        double all = Arrays.stream(sorted).sum();
        for (int top : new int[] {1, 2, 5, 10, 20, 50}) {
            double share = Arrays.stream(sorted).limit(top).sum() / all;
            double generated = 0;
            double scale = 0;
            for (int f = 0; f < sorted.length; f++) {
                scale += Math.pow(f + 1, -1.3);
                generated += f < top ? Math.pow(f + 1, -1.3) : 0;
            }
            System.out.printf(
                    Locale.ROOT, "top %d of %d: %.2f, generated %.2f%n", top, sorted.length, share, generated / scale);
        }
    }
}
