package dev.coldstart.integration.files;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.Repository;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;

/** {@code integration/bench fs}: every workload in every way, several times, as a table and as a line {@code RESULT {…}}. */
public final class FileBenchmark {
    private static final int WARM_RUNS = 9;
    /** Of what takes seconds. */
    private static final int LONG_WARM_RUNS = 2;
    /** Of the remote tier with all bytes on disk: what reads, and does not read what would complete the largest file. */
    private static final List<Workload> PARTIAL =
            List.of(Workload.OPEN, Workload.READALL, Workload.SEQ, Workload.RAND, Workload.SMALL);

    private FileBenchmark() {}

    /** Arguments: how many passes, and whether to measure memory with many images ({@code true}, {@code false}). */
    public static void main(String[] args) {
        int passes = Integer.parseInt(args[0]);
        boolean footprint = Boolean.parseBoolean(args[1]);
        try (Roots roots = Roots.prepare(Repository.here())) {
            roots.bringPartialHere();
            Results results = new Results();
            for (int pass = 1; pass <= passes; pass++) {
                for (Workload workload : Workload.values()) {
                    System.err.println("fs: pass " + pass + " of " + passes + ": " + workload.title());
                    pass(roots, workload, results);
                }
            }
            System.out.println(new Table(results).text());
            System.out.println();
            if (!roots.largestIsPartial()) {
                System.out.println(
                        "(the largest file became complete meanwhile: what is said of partial objects is of complete ones)");
            }
            double allocated = allocatedPerRead(roots);
            OptionalDouble resident = OptionalDouble.empty();
            if (footprint) {
                Footprint.Result result = new Footprint(roots).measure();
                System.out.println(result.text());
                resident = OptionalDouble.of(result.residentMib());
            }
            System.out.println("RESULT " + new Table(results).json(resident, allocated));
        } catch (HostException e) {
            System.err.println("integration/bench: " + e.getMessage());
            System.exit(1);
        }
    }

    private static void pass(Roots roots, Workload workload, Results results) {
        List<Way> ways = Arrays.stream(Way.values())
                .filter(way -> roots.has(way) && measures(way, workload))
                .toList();
        for (Way way : ways) {
            results.addFirst(way, workload, roots.first(way, workload));
        }
        roots.warm(ways, workload, workload == Workload.IMPORT ? LONG_WARM_RUNS : WARM_RUNS)
                .forEach((way, loads) -> results.addWarm(way, workload, loads));
        ways.forEach(roots::unmount);
    }

    /** NaN where it cannot be had: the JDK that runs this may need files that a test host lacks. */
    private static double allocatedPerRead(Roots roots) {
        try {
            Allocation.Result allocation = new Allocation(roots).measure();
            System.out.println(allocation.text());
            return allocation.perRead();
        } catch (HostException e) {
            System.out.println("allocation was not measured: " + e.getMessage());
            return Double.NaN;
        }
    }

    private static boolean measures(Way way, Workload workload) {
        return way == Way.PARTIAL ? PARTIAL.contains(workload) : workload != Workload.SMALL || way != Way.REMOTE;
    }
}
