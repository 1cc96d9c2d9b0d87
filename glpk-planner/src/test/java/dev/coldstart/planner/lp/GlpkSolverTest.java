package dev.coldstart.planner.lp;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.coldstart.planner.lp.LpSolution.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;

class GlpkSolverTest {
    private static final Duration LONG = Duration.ofSeconds(20);

    @Test
    void givesTheOptimumAndThePricesOfALinearProgram() throws Exception {
        // min 2x + 3y, x + y >= 4, x <= 3: x = 3, y = 1; one more of the row costs 3.
        LinearProgram.Builder p = new LinearProgram.Builder();
        int row = p.row(4, Double.POSITIVE_INFINITY);
        p.coefficient(row, p.column(2, 0, 3, false), 1);
        p.coefficient(row, p.column(3, 0, Double.POSITIVE_INFINITY, false), 1);
        try (LpSolver solver = new GlpkSolver("test")) {
            LpSolution s = solver.minimize(p.build(), LONG, 0);
            assertThat(s.status()).isEqualTo(Status.OPTIMAL);
            assertThat(s.objective()).isCloseTo(9, within(1e-9));
            assertThat(s.bound()).isCloseTo(9, within(1e-9));
            assertThat(s.column(0)).isCloseTo(3, within(1e-9));
            assertThat(s.rowDual(0)).isCloseTo(3, within(1e-9));
        }
    }

    @Test
    void solvesKnapsacksExactly() throws Exception {
        try (LpSolver solver = new GlpkSolver("test")) {
            for (int seed = 0; seed < 30; seed++) {
                Knapsack k = new Knapsack(seed, 12);
                LpSolution s = solver.minimize(k.program(), LONG, 0);
                assertThat(s.status()).isEqualTo(Status.OPTIMAL);
                assertThat(-s.objective()).as("seed %d", seed).isCloseTo(k.optimum(), within(1e-6));
                assertThat(s.bound()).isLessThanOrEqualTo(s.objective() + 1e-9);
            }
        }
    }

    @Test
    void tellsInfeasibleFromUnbounded() throws Exception {
        LinearProgram.Builder infeasible = new LinearProgram.Builder();
        int row = infeasible.row(2, Double.POSITIVE_INFINITY);
        infeasible.coefficient(row, infeasible.column(1, 0, 1, true), 1);
        LinearProgram.Builder unbounded = new LinearProgram.Builder();
        int free = unbounded.row(0, Double.POSITIVE_INFINITY);
        unbounded.coefficient(free, unbounded.column(-1, 0, Double.POSITIVE_INFINITY, false), 1);
        try (LpSolver solver = new GlpkSolver("test")) {
            assertThat(solver.minimize(infeasible.build(), LONG, 0).status()).isEqualTo(Status.INFEASIBLE);
            assertThat(solver.minimize(unbounded.build(), LONG, 0).status()).isEqualTo(Status.UNBOUNDED);
        }
    }

    @Test
    void anErrorInsideGlpkLeavesTheSolverUsable() throws Exception {
        // The same place of the matrix twice: GLPK aborts in the middle of building the problem.
        LinearProgram.Builder broken = new LinearProgram.Builder();
        int row = broken.row(0, 1);
        int column = broken.column(1, 0, 1, true);
        broken.coefficient(row, column, 1);
        broken.coefficient(row, column, 2);
        Knapsack k = new Knapsack(1, 10);
        try (LpSolver solver = new GlpkSolver("test")) {
            for (int i = 0; i < 200; i++) {
                assertThatThrownBy(() -> solver.minimize(broken.build(), LONG, 0))
                        .isInstanceOf(LpException.class)
                        .hasMessageContaining("1 rows and 1 columns");
                assertThat(-solver.minimize(k.program(), LONG, 0).objective()).isCloseTo(k.optimum(), within(1e-6));
            }
        }
    }

    @Test
    void solversOfFourThreadsDoNotDisturbEachOther() throws Exception {
        try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
            List<Future<Integer>> wrong = new ArrayList<>();
            for (int t = 0; t < 4; t++) {
                int thread = t;
                wrong.add(threads.submit(() -> {
                    int bad = 0;
                    try (LpSolver solver = new GlpkSolver("test-" + thread)) {
                        for (int seed = 0; seed < 50; seed++) {
                            Knapsack k = new Knapsack(1000 * thread + seed, 10);
                            double found =
                                    -solver.minimize(k.program(), LONG, 0).objective();
                            bad += Math.abs(found - k.optimum()) > 1e-6 ? 1 : 0;
                        }
                    }
                    return bad;
                }));
            }
            for (Future<Integer> w : wrong) {
                assertThat(w.get()).isZero();
            }
        }
    }

    @Test
    void stopsAtItsLimitWithAValidBound() throws Exception {
        // A market split: branch and bound needs ages for it.
        Random random = new Random(5);
        LinearProgram.Builder p = new LinearProgram.Builder();
        int[] columns = new int[40];
        for (int j = 0; j < columns.length; j++) {
            columns[j] = p.column(0, 0, 1, true);
        }
        for (int i = 0; i < 5; i++) {
            int sum = 0;
            int[] a = random.ints(columns.length, 0, 100).toArray();
            for (int v : a) {
                sum += v;
            }
            double half = Math.floor(sum / 2.0);
            int row = p.row(half, half);
            for (int j = 0; j < columns.length; j++) {
                p.coefficient(row, columns[j], a[j]);
            }
            p.coefficient(row, p.column(1, 0, Double.POSITIVE_INFINITY, false), 1);
            p.coefficient(row, p.column(1, 0, Double.POSITIVE_INFINITY, false), -1);
        }
        try (LpSolver solver = new GlpkSolver("test")) {
            long start = System.nanoTime();
            LpSolution s = solver.minimize(p.build(), Duration.ofMillis(300), 0);
            assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(5));
            assertThat(s.status()).isIn(Status.FEASIBLE, Status.UNKNOWN);
            assertThat(s.bound()).isLessThanOrEqualTo(1e-6);
        }
    }

    @Test
    void refusesNumbersThatGlpkWouldTakeSilently() {
        LinearProgram.Builder p = new LinearProgram.Builder();
        assertThatThrownBy(() -> p.column(Double.NaN, 0, 1, false)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> p.row(2, 1)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> p.coefficient(0, 0, 1)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void aClosedSolverSaysSo() {
        LpSolver solver = new GlpkSolver("test");
        solver.close();
        assertThatThrownBy(() -> solver.minimize(new LinearProgram.Builder().build(), LONG, 0))
                .isInstanceOf(LpException.class)
                .hasMessage("The solver is closed");
    }

    /** A seeded knapsack with its optimum by enumeration. */
    private static final class Knapsack {
        private final int[] value;
        private final int[] weight;
        private final int room;

        Knapsack(long seed, int items) {
            Random random = new Random(seed);
            value = random.ints(items, 1, 50).toArray();
            weight = random.ints(items, 1, 50).toArray();
            room = 20 + random.nextInt(20 * items);
        }

        LinearProgram program() {
            LinearProgram.Builder p = new LinearProgram.Builder();
            int row = p.row(Double.NEGATIVE_INFINITY, room);
            for (int i = 0; i < value.length; i++) {
                p.coefficient(row, p.column(-value[i], 0, 1, true), weight[i]);
            }
            return p.build();
        }

        double optimum() {
            int best = 0;
            for (int set = 0; set < 1 << value.length; set++) {
                int v = 0;
                int w = 0;
                for (int i = 0; i < value.length; i++) {
                    if ((set & 1 << i) != 0) {
                        v += value[i];
                        w += weight[i];
                    }
                }
                best = w <= room ? Math.max(best, v) : best;
            }
            return best;
        }
    }
}
