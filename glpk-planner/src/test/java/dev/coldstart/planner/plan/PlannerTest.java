package dev.coldstart.planner.plan;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.coldstart.planner.lp.GlpkSolver;
import dev.coldstart.planner.lp.LinearProgram;
import dev.coldstart.planner.lp.LpException;
import dev.coldstart.planner.lp.LpSolution;
import dev.coldstart.planner.lp.LpSolver;
import dev.coldstart.planner.plan.Plan.Act;
import dev.coldstart.planner.plan.Plan.Where;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

class PlannerTest {
    private static final long GIB = 1L << 30;
    private static final SolverPool SOLVERS = new SolverPool(2, () -> new GlpkSolver("test"));
    private final Planner planner = new Planner(SOLVERS, Duration.ofSeconds(2));

    @AfterAll
    static void close() {
        SOLVERS.close();
    }

    @Test
    void tinyPlansAreWithinTheirBoundAndCloseToTheTrueOptimum() throws Exception {
        int exact = 0;
        for (int seed = 0; seed < 60; seed++) {
            Instance instance = Generated.tiny(seed);
            double optimum = Exhaustive.optimum(instance);
            Search.Outcome found = new Search(instance, SOLVERS, Duration.ofSeconds(8)).run();
            assertThat(found.bound()).as("bound, seed %d", seed).isLessThanOrEqualTo(optimum * (1 + 1e-6));
            assertThat(found.cost()).as("cost, seed %d", seed).isGreaterThanOrEqualTo(optimum * (1 - 1e-6));
            assertThat(found.cost()).as("cost, seed %d", seed).isLessThanOrEqualTo(optimum * 1.02 + 1e-6);
            exact += found.cost() <= optimum * (1 + 3e-4) + 1e-6 ? 1 : 0;
        }
        assertThat(exact).as("plans that are optimal").isGreaterThanOrEqualTo(57);
    }

    @Test
    void theBoundWithoutASolverIsOneAndIsNotFarFromTheTruth() throws Exception {
        Instance instance = Generated.fleet(5, 20, 8, 0.6);
        Layout layout = Greedy.plan(instance, System.nanoTime() + 60_000_000_000L);
        for (int n = 0; n < instance.nodes(); n++) {
            NodeClass c = instance.classOf(n);
            double[] reward = layout.rewards(n);
            double bound = KnapsackBound.of(c, reward);
            Pricing.Result exact =
                    SOLVERS.call(solver -> Pricing.solve(solver, c, reward, Duration.ofSeconds(30), 1e-6));
            double least = -Packing.value(exact.pattern(), reward);
            assertThat(exact.exact()).isTrue();
            assertThat(exact.bound()).isLessThanOrEqualTo(least + 1e-6);
            assertThat(bound).isLessThanOrEqualTo(least + 1e-6).isGreaterThan(2 * least - 1);
        }
    }

    @Test
    void plansOfAFleetFitAndAreNeverWorseThanGreedyOrNothing() throws Exception {
        for (double held : new double[] {0, 0.7}) {
            Instance instance = Generated.fleet(11, 20, 8, held);
            double greedy =
                    Greedy.plan(instance, System.nanoTime() + 60_000_000_000L).cost();
            Search.Outcome found = new Search(instance, SOLVERS, Duration.ofSeconds(8)).run();
            assertThat(found.cost()).isLessThanOrEqualTo(greedy + 1e-6);
            assertThat(found.cost()).isLessThanOrEqualTo(instance.unplannedCost() + 1e-6);
            assertThat(found.bound()).isLessThanOrEqualTo(found.cost());
            assertThat(found.bound()).isGreaterThan(0.85 * found.cost());
            Plan plan = new Explanation(instance, found).plan();
            for (int n = 0; n < instance.nodes(); n++) {
                assertThat(plan.nodes().get(n).ramBytes()).isLessThanOrEqualTo(instance.ramBytes(n));
                assertThat(plan.nodes().get(n).diskBytes()).isLessThanOrEqualTo(instance.diskBytes(n));
            }
        }
    }

    @Test
    void theCertificateIsTheCostOfWhatThePlanSays() throws Exception {
        // Recomputed from the items alone, as a node agent would carry them out.
        Instance instance = Generated.fleet(3, 20, 8, 0.5);
        Plan plan = planner.plan(instance);
        double cost = 0;
        long[][] ram = new long[instance.nodes()][instance.groups()];
        long[][] disk = new long[instance.nodes()][instance.groups()];
        for (int n = 0; n < instance.nodes(); n++) {
            long used = 0;
            for (Plan.Item item : plan.nodes().get(n).items()) {
                int g = groupIndex(instance, item.group());
                long[] tier = item.where() == Where.RAM ? ram[n] : disk[n];
                long present = item.where() == Where.RAM ? instance.presentRam(n, g) : instance.presentDisk(n, g);
                tier[g] = switch (item.act()) {
                    case KEEP -> item.bytes();
                    case FETCH -> present + item.bytes();
                    case DROP -> 0;
                };
                cost += item.act() == Act.FETCH ? instance.moveCost(item.bytes()) : 0;
                used += item.where() == Where.DISK ? tier[g] : 0;
            }
            assertThat(used).isLessThanOrEqualTo(instance.diskBytes(n));
        }
        for (int f = 0; f < instance.functions(); f++) {
            double best = Double.POSITIVE_INFINITY;
            double promised = 0;
            for (int n = 0; n < instance.nodes(); n++) {
                double seconds = instance.unstagedSeconds(f);
                for (int g : instance.groupsOf(f)) {
                    seconds += instance.readSeconds(g, ram[n][g], disk[n][g]) - instance.readSeconds(g, 0, 0);
                }
                best = Math.min(best, seconds);
                promised += plan.nodes().get(n).serves().getOrDefault(instance.function(f), 0.0);
            }
            cost += instance.starts(f) * best;
            assertThat(promised).isIn(0.0, instance.starts(f));
        }
        assertThat(cost).isCloseTo(plan.objective(), within(1e-6 * plan.objective()));
    }

    private static int groupIndex(Instance instance, String name) {
        for (int g = 0; g < instance.groups(); g++) {
            if (instance.group(g).equals(name)) {
                return g;
            }
        }
        throw new AssertionError(name);
    }

    @Test
    void whatIsThereStaysAndOnlyWhatIsInTheWayGoes() throws Exception {
        Instance instance = new Instance(
                List.of(new Instance.Demand("hot", 10, 1, List.of(0))),
                List.of(
                        new Instance.Part("model", 6 * GIB),
                        new Instance.Part("small", GIB),
                        new Instance.Part("large", 4 * GIB)),
                List.of(new Instance.Node("n", 0, 8 * GIB, Map.of(), Map.of(1, GIB, 2, 4 * GIB))),
                new Instance.Speeds(8e9, 2e9, 1e8),
                1);
        Plan plan = planner.plan(instance);
        assertThat(plan.nodes().getFirst().items())
                .extracting(i -> i.act() + " " + i.group())
                .containsExactly("DROP large", "FETCH model", "KEEP small");
        assertThat(plan.nodes().getFirst().items().get(1).reason()).contains("hot");
        assertThat(plan.bound()).isCloseTo(plan.objective(), within(1e-3));
    }

    @Test
    void movesNothingThatDoesNotPayForItself() throws Exception {
        Instance instance = new Instance(
                List.of(new Instance.Demand("rare", 0.01, 1, List.of(0))),
                List.of(new Instance.Part("model", 6 * GIB)),
                List.of(new Instance.Node("n", 8 * GIB, 8 * GIB, Map.of(), Map.of())),
                new Instance.Speeds(8e9, 2e9, 1e8),
                10);
        Plan plan = planner.plan(instance);
        assertThat(plan.nodes().getFirst().items()).isEmpty();
        assertThat(plan.objective()).isCloseTo(plan.unplanned(), within(1e-9));
    }

    @Test
    void withoutASolverThePlanIsGreedyAndSaysWhy() throws Exception {
        LpSolver broken = new LpSolver() {
            @Override
            public LpSolution minimize(LinearProgram program, Duration limit, double gap) throws LpException {
                throw new LpException("GLPK gave up");
            }

            @Override
            public void close() {}
        };
        try (SolverPool pool = new SolverPool(1, () -> broken)) {
            Instance instance = Generated.fleet(11, 20, 8, 0.7);
            Plan plan = new Planner(pool, Duration.ofSeconds(2)).plan(instance);
            assertThat(plan.method()).isEqualTo("greedy");
            assertThat(plan.note()).contains("GLPK gave up");
            assertThat(plan.objective()).isLessThan(plan.unplanned());
            assertThat(plan.bound()).isPositive().isLessThanOrEqualTo(plan.objective());
        }
    }

    @Test
    void keepsToItsTimeOnAFleetTooLargeToSolve() throws Exception {
        Instance instance = Generated.fleet(7, 87, 40, 0.7);
        long start = System.nanoTime();
        Plan plan = planner.plan(instance);
        assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(8));
        assertThat(plan.objective()).isLessThan(plan.unplanned());
    }

    @Test
    void severalPlansAtOnceShareTheSolvers() throws Exception {
        try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            var plans = List.of(1, 2, 3, 4).stream()
                    .map(seed -> threads.submit(() -> planner.plan(Generated.tiny(seed))))
                    .toList();
            for (int i = 0; i < plans.size(); i++) {
                double optimum = Exhaustive.optimum(Generated.tiny(i + 1));
                assertThat(plans.get(i).get().objective()).isLessThanOrEqualTo(optimum * 1.02 + 1e-6);
            }
        }
    }
}
