package dev.coldstart.planner.plan;

import dev.coldstart.planner.lp.LinearProgram;
import dev.coldstart.planner.lp.LpException;
import dev.coldstart.planner.lp.LpSolution;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The pattern (Dantzig–Wolfe) programme, by column generation. A column is a {@link Pattern} on a class of nodes; the
 * master chooses how many nodes get which, so that each function's starts are taken (or left to the registry):
 *
 * <pre>
 * min  Σ cost(p)·w(p) + Σ registry(f)·q(f)
 *      Σ serves(p,f)·w(p) + q(f) ≥ 1     for each function f       price u(f)
 *      Σ w(p)                    = N(k)  for each class k          price v(k)
 * </pre>
 *
 * <p>For any prices 0 ≤ u ≤ registry, Σ u + Σ N(k)·min{cost(p) − Σ u over what p serves} is a lower bound on every
 * plan (Lagrange), whether or not the master is solved to its end. The prices that are asked for columns are pulled
 * towards those of the best bound so far (Wentges' smoothing): raw ones jump in the first rounds.
 *
 * <p>A model that places shares of functions and bytes without patterns looks simpler and is wrong: it spreads the
 * bytes of a function over all nodes and counts every start as if it found all of them.
 *
 * <p>Single-threaded, used once.
 */
final class PatternLp {
    private static final double SMOOTHING = 0.7;
    /** How well columns are priced: roughly while there are many to find, closely at the end. */
    private static final double[] PRICING_GAPS = {0.03, 0.003, 2e-4};

    private static final int MAX_ROUNDS = 500;
    /** With more classes than this a pattern is not tried on the others: the columns would become too many. */
    private static final int SHARING_CLASSES = 12;

    private static final int PRICE_STEPS = 300;
    private static final int STEPS_WITHOUT_PROGRESS = 12;

    private final Instance instance;
    private final SolverPool solvers;
    private final List<Pattern> columns = new ArrayList<>();
    private final Map<Integer, List<Pattern>> known = new HashMap<>();
    private double bound;
    private double[] boundPrices = {};
    private int rounds;

    /** @param startBound a lower bound on every plan that is known already */
    PatternLp(Instance instance, SolverPool solvers, double startBound) {
        this.instance = instance;
        this.solvers = solvers;
        bound = startBound;
        for (NodeClass c : instance.classes()) {
            add(Pattern.empty(c));
        }
    }

    double bound() {
        return bound;
    }

    int rounds() {
        return rounds;
    }

    int columnCount() {
        return columns.size();
    }

    /** Adds the patterns of a layout, each with the starts that go there and with all it could take. */
    void addColumns(Layout layout) {
        for (int n = 0; n < instance.nodes(); n++) {
            Pattern p = layout.at(n);
            addEverywhere(Packing.serving(p.of(), p.choice(), layout.rewards(n)));
            addEverywhere(Packing.serving(p.of(), p.choice(), Packing.registryRewards(instance)));
        }
    }

    private boolean add(Pattern pattern) {
        List<Pattern> same = known.computeIfAbsent(pattern.identity(), k -> new ArrayList<>());
        for (Pattern p : same) {
            if (p.sameAs(pattern)) {
                return false;
            }
        }
        same.add(pattern);
        columns.add(pattern);
        return true;
    }

    private void addEverywhere(Pattern pattern) {
        add(pattern);
        for (NodeClass c : instance.classes().size() > SHARING_CLASSES ? List.<NodeClass>of() : instance.classes()) {
            Pattern there = c == pattern.of() ? null : pattern.on(c);
            if (there != null) {
                add(there);
            }
        }
    }

    private static final class Prices {
        private final double[] rewards;
        private final double[] perClass;
        private final double objective;

        Prices(double[] rewards, double[] perClass, double objective) {
            this.rewards = rewards;
            this.perClass = perClass;
            this.objective = objective;
        }

        double reducedCost(Pattern p, int classIndex) {
            return -Packing.value(p, rewards) - perClass[classIndex];
        }
    }

    /**
     * Generates columns until the bound is reached, nothing is left to gain, or time is up.
     *
     * @param target stop when the bound is at least this
     * @param deadline a {@link System#nanoTime}
     */
    void generate(double target, long deadline) throws LpException, InterruptedException {
        double smoothing = SMOOTHING;
        int closeness = 0;
        while (rounds < MAX_ROUNDS && left(deadline).toMillis() > 5 && bound < target) {
            rounds++;
            Prices prices = master(left(deadline));
            if (prices == null) {
                return;
            }
            double[] asked = smooth(prices.rewards, smoothing);
            if (addGreedyColumns(asked, prices)) {
                continue;
            }
            List<Pricing.Result> results = price(
                    asked, PRICING_GAPS[closeness], deadline - left(deadline).toNanos() / 2);
            boolean exact = true;
            boolean improved = false;
            for (Pricing.Result result : results) {
                exact &= result.exact();
                improved |= offer(result.pattern(), prices);
            }
            if (bound >= prices.objective - 1e-7 * (1 + Math.abs(prices.objective))) {
                return;
            }
            if (improved) {
                smoothing = SMOOTHING;
            } else if (smoothing > 0) {
                // The smoothed prices found nothing: ask with the master's own.
                smoothing = 0;
            } else if (closeness + 1 < PRICING_GAPS.length) {
                closeness++;
            } else if (exact || !addGreedyColumns(prices.rewards, prices)) {
                return;
            }
        }
    }

    private double[] smooth(double[] rewards, double smoothing) {
        if (boundPrices.length == 0) {
            return rewards;
        }
        double[] asked = new double[rewards.length];
        Arrays.setAll(asked, f -> smoothing * boundPrices[f] + (1 - smoothing) * rewards[f]);
        return asked;
    }

    /** Asks the solver for each class's best pattern, and takes the bound that follows. */
    private List<Pricing.Result> price(double[] rewards, double gap, long deadline)
            throws LpException, InterruptedException {
        List<NodeClass> classes = instance.classes();
        int turns = (classes.size() + solvers.size() - 1) / solvers.size();
        Duration limit = left(deadline).dividedBy(turns);
        List<SolverPool.Task<Pricing.Result>> tasks = new ArrayList<>();
        for (NodeClass c : classes) {
            tasks.add(solver -> Pricing.solve(solver, c, rewards, limit, gap));
        }
        List<Pricing.Result> results = solvers.callAll(tasks);
        List<Double> relaxed =
                classes.parallelStream().map(c -> KnapsackBound.of(c, rewards)).toList();
        double lower = Arrays.stream(rewards).sum();
        for (int k = 0; k < classes.size(); k++) {
            double least = Math.max(results.get(k).bound(), relaxed.get(k));
            lower += classes.get(k).members().length * Math.min(0, least);
        }
        if (lower > bound || boundPrices.length == 0) {
            bound = Math.max(bound, lower);
            boundPrices = rewards;
        }
        return results;
    }

    private boolean addGreedyColumns(double[] rewards, Prices prices) {
        boolean improved = false;
        for (Packing.Rule rule : Packing.Rule.values()) {
            for (Pattern pattern : instance.classes().parallelStream()
                    .map(c -> Packing.best(c, rewards, rule))
                    .toList()) {
                improved |= offer(pattern, prices);
            }
        }
        return improved;
    }

    /**
     * Finds prices to begin with, by steps along averaged subgradients of the Lagrangian with greedy patterns. The
     * master's own prices are useless before it has seen hundreds of columns; these are close after a few dozen cheap
     * steps. The patterns met on the way become columns, and the solver turns the prices into a bound.
     *
     * @param best the best layout known
     * @param deadline when to stop stepping
     * @param priceUntil when the solver must have priced the result
     */
    void startPrices(Layout best, long deadline, long priceUntil) throws LpException, InterruptedException {
        int functions = instance.functions();
        double cost = best.cost();
        double[] most = Packing.registryRewards(instance);
        double[] prices = new double[functions];
        for (int f = 0; f < functions; f++) {
            prices[f] = (most[f] + instance.starts(f) * best.bestSeconds(f, -1)) / 2;
        }
        double[] center = prices.clone();
        double centerValue = Double.NEGATIVE_INFINITY;
        double[] direction = new double[functions];
        double step = 0.3;
        int idle = 0;
        for (int i = 0; i < PRICE_STEPS && left(deadline).toMillis() > 0; i++) {
            double value = Arrays.stream(prices).sum();
            double[] slope = new double[functions];
            Arrays.fill(slope, 1);
            double[] asked = prices;
            for (Pattern pattern : instance.classes().parallelStream()
                    .map(c -> Packing.best(c, asked, Packing.Rule.DENSITY))
                    .toList()) {
                int copies = pattern.of().members().length;
                value -= copies * Packing.value(pattern, prices);
                for (int f = pattern.serves().nextSetBit(0);
                        f >= 0;
                        f = pattern.serves().nextSetBit(f + 1)) {
                    slope[f] -= copies;
                }
                add(pattern);
            }
            boolean progress = value > centerValue;
            double weight = i == 0 ? 1 : 0.4;
            double norm = 0;
            for (int f = 0; f < functions; f++) {
                direction[f] = (1 - weight) * direction[f] + weight * slope[f];
                // Measured against what the function costs at most: prices differ by orders of magnitude.
                norm += most[f] * direction[f] * direction[f];
            }
            if (progress) {
                center = prices;
                centerValue = value;
                step = Math.min(1.5, step * 1.2);
                idle = 0;
            } else if (++idle % 3 == 0) {
                step *= 0.7;
            }
            if (norm < 1e-12 || idle > STEPS_WITHOUT_PROGRESS) {
                break;
            }
            double length = step * Math.max(cost - centerValue, 1e-3 * cost) / norm;
            double[] next = new double[functions];
            for (int f = 0; f < functions; f++) {
                next[f] = Math.clamp(center[f] + length * most[f] * direction[f], 0, most[f]);
            }
            prices = next;
        }
        price(center, PRICING_GAPS[0], priceUntil);
    }

    /** Adds the pattern to every class on which the master would want it. */
    private boolean offer(Pattern pattern, Prices prices) {
        boolean improved = false;
        for (int k = 0; k < instance.classes().size(); k++) {
            NodeClass c = instance.classes().get(k);
            if (c != pattern.of() && instance.classes().size() > SHARING_CLASSES) {
                continue;
            }
            Pattern there = c == pattern.of() ? pattern : pattern.on(c);
            if (there != null && prices.reducedCost(there, k) < -1e-7 * (1 + Math.abs(prices.objective))) {
                improved |= add(there);
            }
        }
        return improved;
    }

    private LinearProgram program(boolean whole, int[] columnOf) {
        LinearProgram.Builder program = new LinearProgram.Builder();
        int functions = instance.functions();
        for (int f = 0; f < functions; f++) {
            int row = program.row(instance.starts(f) > 0 ? 1 : 0, Double.POSITIVE_INFINITY);
            int left = program.column(
                    instance.starts(f) * instance.unstagedSeconds(f), 0, Double.POSITIVE_INFINITY, false);
            program.coefficient(row, left, 1);
        }
        Map<NodeClass, Integer> rowOf = new HashMap<>();
        for (NodeClass c : instance.classes()) {
            rowOf.put(c, program.row(c.members().length, c.members().length));
        }
        for (int i = 0; i < columns.size(); i++) {
            Pattern p = columns.get(i);
            columnOf[i] = program.column(p.cost(), 0, p.of().members().length, whole);
            for (int f = p.serves().nextSetBit(0); f >= 0; f = p.serves().nextSetBit(f + 1)) {
                program.coefficient(f, columnOf[i], 1);
            }
            Integer row = rowOf.get(p.of());
            if (row != null) {
                program.coefficient(row, columnOf[i], 1);
            }
        }
        return program.build();
    }

    /** The master's prices; null when time did not suffice. */
    private @Nullable Prices master(Duration limit) throws LpException, InterruptedException {
        LinearProgram program = program(false, new int[columns.size()]);
        LpSolution solution = solvers.call(solver -> solver.minimize(program, limit, 0));
        if (solution.status() != LpSolution.Status.OPTIMAL) {
            return null;
        }
        double[] rewards = new double[instance.functions()];
        for (int f = 0; f < rewards.length; f++) {
            // What the registry costs caps them; rounding may not leave that interval, or the bound would not hold.
            double most = instance.starts(f) * instance.unstagedSeconds(f);
            rewards[f] = Math.clamp(solution.rowDual(f), 0, most);
        }
        double[] perClass = new double[instance.classes().size()];
        Arrays.setAll(perClass, k -> solution.rowDual(rewards.length + k));
        return new Prices(rewards, perClass, solution.objective());
    }

    /** The layout next to the master's fractional one: its heaviest columns; null when time did not suffice. */
    @Nullable
    Layout heaviest(Duration limit) throws LpException, InterruptedException {
        int[] columnOf = new int[columns.size()];
        LinearProgram program = program(false, columnOf);
        LpSolution solution = solvers.call(solver -> solver.minimize(program, limit, 0));
        if (!solution.solved()) {
            return null;
        }
        Integer[] order = new Integer[columns.size()];
        Arrays.setAll(order, i -> i);
        double[] weight = new double[columns.size()];
        Arrays.setAll(weight, i -> solution.column(columnOf[i]));
        Arrays.sort(order, Comparator.comparingDouble((Integer i) -> weight[i]).reversed());
        Pattern[] nodes = new Pattern[instance.nodes()];
        Set<Integer> given = new HashSet<>();
        for (int i : order) {
            Pattern p = columns.get(i);
            long copies = (long) Math.ceil(weight[i] - 0.5);
            for (int n : p.of().members()) {
                if ((copies > 0 || weight[i] == 0) && given.add(n)) {
                    nodes[n] = p;
                    copies--;
                }
            }
        }
        return given.size() == instance.nodes() ? Layout.of(instance, List.of(nodes)) : null;
    }

    /** The best choice of whole columns that is found in the time; null when none is. */
    @Nullable
    Layout round(Duration limit, double gap) throws LpException, InterruptedException {
        int[] columnOf = new int[columns.size()];
        LinearProgram program = program(true, columnOf);
        LpSolution solution = solvers.call(solver -> solver.minimize(program, limit, gap));
        if (!solution.solved()) {
            return null;
        }
        Pattern[] nodes = new Pattern[instance.nodes()];
        Set<Integer> given = new HashSet<>();
        for (int i = 0; i < columns.size(); i++) {
            Pattern p = columns.get(i);
            long copies = Math.round(solution.column(columnOf[i]));
            for (int n : p.of().members()) {
                if (copies > 0 && given.add(n)) {
                    nodes[n] = p;
                    copies--;
                }
            }
        }
        return given.size() == instance.nodes() ? Layout.of(instance, List.of(nodes)) : null;
    }

    private static Duration left(long deadline) {
        return Duration.ofNanos(Math.max(0, deadline - System.nanoTime()));
    }
}
