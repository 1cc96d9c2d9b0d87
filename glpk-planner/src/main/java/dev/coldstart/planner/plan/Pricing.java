package dev.coldstart.planner.plan;

import dev.coldstart.planner.lp.LinearProgram;
import dev.coldstart.planner.lp.LpException;
import dev.coldstart.planner.lp.LpSolution;
import dev.coldstart.planner.lp.LpSolver;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * The best contents of one node for given rewards, as a mixed-integer programme: a binary column per group and way to
 * hold it, one per function whose starts may be taken, and one per shared group, way and function for the seconds
 * saved. Built for one class and one set of rewards.
 */
final class Pricing {
    private static final double GIB = 1L << 30;
    private static final double EPSILON = 1e-9;

    /**
     * @param pattern the best that was found; the empty one when nothing is worth while
     * @param bound no pattern of this class has a smaller cost less rewards; at most 0
     * @param exact whether {@code pattern} reaches {@code bound} to within the gap
     */
    record Result(Pattern pattern, double bound, boolean exact) {}

    private record Held(int group, Option option, int column) {}

    private final NodeClass of;
    private final Instance instance;
    private final double[] reward;
    private final LinearProgram.Builder program = new LinearProgram.Builder();
    private final List<Held> holdings = new ArrayList<>();

    private Pricing(NodeClass of, double[] reward) {
        this.of = of;
        this.instance = of.instance();
        this.reward = reward;
    }

    static Result solve(LpSolver solver, NodeClass of, double[] reward, Duration limit, double gap)
            throws LpException, InterruptedException {
        Pricing pricing = new Pricing(of, reward);
        double constant = pricing.build();
        if (pricing.holdings.isEmpty()) {
            return new Result(Packing.serving(of, new byte[of.instance().groups()], reward), constant, true);
        }
        LpSolution solution = solver.minimize(pricing.program.build(), limit, gap);
        if (!solution.solved()) {
            double bound = Double.isFinite(solution.bound()) ? solution.bound() + constant : Double.NEGATIVE_INFINITY;
            return new Result(Pattern.empty(of), bound, false);
        }
        byte[] choice = new byte[of.instance().groups()];
        for (Held h : pricing.holdings) {
            if (solution.column(h.column()) > 0.5) {
                choice[h.group()] = (byte) h.option().index();
            }
        }
        return new Result(
                Packing.serving(of, choice, reward),
                solution.bound() + constant,
                solution.status() == LpSolution.Status.OPTIMAL);
    }

    /** Returns the part of the objective that is no column's. */
    private double build() {
        double constant = 0;
        int functions = instance.functions();
        // What a function costs at least before its savings, and whether they can make up for it.
        double[] fee = new double[functions];
        int[] taken = new int[functions];
        boolean[] active = new boolean[functions];
        for (int f = 0; f < functions; f++) {
            taken[f] = -1;
            if (instance.starts(f) <= 0) {
                continue;
            }
            fee[f] = instance.starts(f) * instance.unstagedSeconds(f) - reward[f];
            double most = 0;
            for (int g : instance.groupsOf(f)) {
                double saved = 0;
                for (Option o : of.options(g)) {
                    saved = Math.max(saved, o.saved());
                }
                most += instance.starts(f) * saved;
            }
            active[f] = most - fee[f] > EPSILON;
            if (active[f] && fee[f] > EPSILON) {
                taken[f] = program.column(fee[f], 0, 1, true);
            } else if (active[f]) {
                // Worth taking in any case.
                constant += fee[f];
            }
        }
        int ramRow = program.row(Double.NEGATIVE_INFINITY, of.ramBytes() / GIB);
        int diskRow = program.row(Double.NEGATIVE_INFINITY, of.diskBytes() / GIB);
        for (int g = 0; g < instance.groups(); g++) {
            addGroup(g, active, taken, ramRow, diskRow);
        }
        return constant;
    }

    private void addGroup(int g, boolean[] active, int[] taken, int ramRow, int diskRow) {
        double freeStarts = 0;
        double allStarts = 0;
        List<Integer> paying = new ArrayList<>();
        for (int f : instance.usersOf(g)) {
            if (active[f]) {
                allStarts += instance.starts(f);
                if (taken[f] < 0) {
                    freeStarts += instance.starts(f);
                } else {
                    paying.add(f);
                }
            }
        }
        boolean onlyUser = freeStarts == 0 && paying.size() == 1;
        int oneWay = -1;
        List<Held> ways = new ArrayList<>();
        for (Option o : of.options(g)) {
            if (allStarts * o.saved() - o.moveCost() <= EPSILON) {
                continue;
            }
            double direct = onlyUser ? allStarts : freeStarts;
            int x = program.column(o.moveCost() - direct * o.saved(), 0, 1, true);
            if (oneWay < 0) {
                oneWay = program.row(Double.NEGATIVE_INFINITY, onlyUser ? 0 : 1);
                if (onlyUser) {
                    program.coefficient(oneWay, taken[paying.getFirst()], -1);
                }
            }
            program.coefficient(oneWay, x, 1);
            if (o.ramBytes() > 0) {
                program.coefficient(ramRow, x, o.ramBytes() / GIB);
            }
            if (o.diskBytes() > 0) {
                program.coefficient(diskRow, x, o.diskBytes() / GIB);
            }
            ways.add(new Held(g, o, x));
        }
        holdings.addAll(ways);
        if (onlyUser || ways.isEmpty()) {
            return;
        }
        for (int f : paying) {
            int onlyIfTaken = program.row(Double.NEGATIVE_INFINITY, 0);
            program.coefficient(onlyIfTaken, taken[f], -1);
            for (Held w : ways) {
                int y = program.column(-instance.starts(f) * w.option().saved(), 0, 1, false);
                program.coefficient(onlyIfTaken, y, 1);
                int onlyIfHeld = program.row(Double.NEGATIVE_INFINITY, 0);
                program.coefficient(onlyIfHeld, y, 1);
                program.coefficient(onlyIfHeld, w.column(), -1);
            }
        }
    }
}
