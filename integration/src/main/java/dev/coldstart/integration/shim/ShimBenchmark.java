package dev.coldstart.integration.shim;

import static dev.coldstart.integration.shim.Runtimes.OURS;
import static dev.coldstart.integration.shim.Runtimes.RUNC;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.Repository;
import java.util.Locale;

/** {@code integration/bench shim}: both shims in turns, as a table and as a line {@code RESULT {…}}. */
public final class ShimBenchmark {
    /** As installed. */
    private static final int POOL = 2;

    private static final int PARALLEL = 32;
    private static final int CONTAINERS = 8;
    /** Of those that boot a JVM, which take much longer. */
    private static final int SHARE_OF_COLD = 4;
    /** What the processes of the shims have in their command lines. */
    private static final String OUR_PROCESS = "[S]himMain -";

    private static final String RUNC_PROCESS = "[c]ontainerd-shim-runc-v2 -namespace";

    private ShimBenchmark() {}

    /** Arguments: how many lives. */
    public static void main(String[] args) {
        int runs = Integer.parseInt(args[0]);
        try (Runtimes runtimes = Runtimes.create(Repository.here(), "pool-bench")) {
            String colds =
                    runtimes.shims("lives", Integer.toString(Math.max(1, runs / SHARE_OF_COLD)), "/none", RUNC, OURS);
            // Alone, and beside those that wait, with which it shares what is read from files.
            double oneAlone = runtimes.pssMebibytes(1, OURS, OUR_PROCESS);
            double eightAlone = runtimes.pssMebibytes(CONTAINERS, OURS, OUR_PROCESS);
            double oneRunc = runtimes.pssMebibytes(1, RUNC, RUNC_PROCESS);
            double eightRunc = runtimes.pssMebibytes(CONTAINERS, RUNC, RUNC_PROCESS);
            runtimes.startPool(POOL);
            double one = runtimes.pssMebibytes(1, OURS, OUR_PROCESS);
            double eight = runtimes.pssMebibytes(CONTAINERS, OURS, OUR_PROCESS);
            runtimes.awaitPool(POOL);
            String warms = runtimes.shims("lives", Integer.toString(runs), Runtimes.POOL, RUNC, OURS);
            runtimes.awaitPool(POOL);
            Samples ourParallel = parallel(runtimes, OURS);
            Samples parallel = parallel(runtimes, RUNC);

            Lives runc = Lives.of(RUNC, warms);
            Lives warm = Lives.of(OURS, warms);
            Lives runcBeside = Lives.of(RUNC, colds);
            Lives cold = Lives.of(OURS, colds);
            System.out.printf(
                    Locale.ROOT,
                    "%-38s %17s %17s %17s%n",
                    "milliseconds, p50 / p99",
                    "runc's",
                    "ours",
                    "ours, no pool");
            line("create and start to the first byte", runc.start(), warm.start(), cold.start());
            line("exec to its end", runc.exec(), warm.exec(), cold.exec());
            line("kill to deletion", runc.stop(), warm.stop(), cold.stop());
            System.out.printf(
                    Locale.ROOT,
                    "%-38s %8.0f /%7.0f %8.0f /%7.0f%n",
                    PARALLEL + " starts at once",
                    parallel.percentile(50),
                    parallel.percentile(99),
                    ourParallel.percentile(50),
                    ourParallel.percentile(99));
            System.out.printf(
                    Locale.ROOT,
                    "%-38s %8.1f /%7.1f %8.1f /%7.1f %8.1f /%7.1f%n",
                    "MiB of a pod with 1 / 8 containers",
                    oneRunc,
                    eightRunc,
                    one,
                    eight,
                    oneAlone,
                    eightAlone);
            System.out.printf(
                    Locale.ROOT,
                    "RESULT {\"create_start_p50_ratio\":%.3f,\"create_start_p99_ratio\":%.3f,\"cold_p50_ratio\":%.3f,"
                            + "\"exec_p50_ratio\":%.3f,\"pss_mib\":%.1f}%n",
                    ratio(warm.start(), runc.start(), 50),
                    ratio(warm.start(), runc.start(), 99),
                    ratio(cold.start(), runcBeside.start(), 50),
                    ratio(warm.exec(), runc.exec(), 50),
                    one);
        } catch (HostException e) {
            System.err.println("integration/bench: " + e.getMessage());
            System.exit(1);
        }
    }

    private static Samples parallel(Runtimes runtimes, String runtime) {
        return new Samples(runtimes.shims("parallel", Integer.toString(PARALLEL), runtime)
                .lines()
                .mapToDouble(Double::parseDouble)
                .toArray());
    }

    private static double ratio(Samples ours, Samples theirs, int percent) {
        return ours.percentile(percent) / theirs.percentile(percent);
    }

    private static void line(String what, Samples runc, Samples warm, Samples cold) {
        System.out.printf(
                Locale.ROOT,
                "%-38s %8.0f /%7.0f %8.0f /%7.0f %8.0f /%7.0f%n",
                what,
                runc.percentile(50),
                runc.percentile(99),
                warm.percentile(50),
                warm.percentile(99),
                cold.percentile(50),
                cold.percentile(99));
    }
}
