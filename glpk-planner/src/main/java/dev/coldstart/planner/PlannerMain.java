package dev.coldstart.planner;

import dev.coldstart.planner.lp.GlpkSolver;
import dev.coldstart.planner.plan.Planner;
import dev.coldstart.planner.plan.SolverPool;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;

/** The program {@code coldstart-planner}. */
public final class PlannerMain {
    private static final Logger LOG = System.getLogger(PlannerMain.class.getName());
    /** Wall time of one plan. */
    private static final Duration BUDGET = Duration.ofSeconds(2);

    private PlannerMain() {}

    /** Exit status 143 after SIGTERM, 1 when the service cannot start, 2 for wrong arguments. */
    public static void main(String[] args) {
        Path config = PlannerConfig.DEFAULT_FILE;
        if (args.length == 2 && args[0].equals("--config")) {
            config = Path.of(args[1]);
        } else if (args.length != 0) {
            System.err.println("Usage: coldstart-planner [--config PATH]   (default " + config + ")");
            System.exit(2);
        }
        try {
            serve(PlannerConfig.read(config));
        } catch (ConfigException | IOException e) {
            System.err.println("coldstart-planner: " + e.getMessage());
            System.exit(1);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void serve(PlannerConfig config) throws IOException, InterruptedException {
        AtomicInteger number = new AtomicInteger();
        try (SolverPool solvers = new SolverPool(
                        Runtime.getRuntime().availableProcessors(),
                        () -> new GlpkSolver("glpk-" + number.getAndIncrement()));
                PlannerServer server = PlannerServer.start(config.socket(), new Planner(solvers, BUDGET))) {
            Runtime.getRuntime().addShutdownHook(new Thread(server::close, "shutdown"));
            LOG.log(Level.INFO, "Planning on {0}", config.socket());
            server.awaitTermination();
        }
    }
}
