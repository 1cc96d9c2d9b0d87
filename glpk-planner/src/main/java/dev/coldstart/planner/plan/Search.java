package dev.coldstart.planner.plan;

import dev.coldstart.planner.lp.LpException;
import java.time.Duration;
import java.util.Locale;

/** One search for a layout, under a deadline. Single-threaded, used once. */
final class Search {
    /** A relative gap not worth more time. */
    private static final double GOOD_ENOUGH = 1e-4;

    private final Instance instance;
    private final SolverPool solvers;
    private final PatternLp lp;
    private final long start;
    private final long end;
    private Layout best;

    /** A layout with its certificate. */
    record Outcome(Layout layout, double cost, double bound, String method, String note) {}

    Search(Instance instance, SolverPool solvers, Duration budget) {
        this.instance = instance;
        this.solvers = solvers;
        start = System.nanoTime();
        end = start + budget.toNanos();
        best = Layout.asIs(instance);
        lp = new PatternLp(instance, solvers, everythingInTheFastestTier(instance));
    }

    Outcome run() throws InterruptedException {
        Layout greedy = Greedy.plan(instance, at(0.2));
        take(greedy);
        double greedyCost = best.cost();
        String method = "pattern-lp";
        String note;
        try {
            improve(greedy);
            note = String.format(
                    Locale.ROOT,
                    "%d columns in %d rounds on %d classes of nodes; the greedy plan alone costs %.1f s.",
                    lp.columnCount(),
                    lp.rounds(),
                    instance.classes().size(),
                    greedyCost);
        } catch (LpException e) {
            method = "greedy";
            note = e.getMessage() + "; this is the greedy plan.";
        }
        best.settle();
        double cost = best.cost();
        return new Outcome(best, cost, Math.min(lp.bound(), cost), method, note);
    }

    private void improve(Layout greedy) throws LpException, InterruptedException {
        lp.addColumns(greedy);
        lp.addColumns(Layout.asIs(instance));
        lp.startPrices(best, at(0.3), at(0.6));
        lp.generate(target(), at(0.6));
        if (lp.bound() >= target()) {
            return;
        }
        Layout heaviest = lp.heaviest(Duration.ofNanos(Math.max(1, at(0.8) - System.nanoTime())));
        if (heaviest != null) {
            Greedy.improve(instance, heaviest, end);
            take(heaviest);
        }
        if (lp.bound() >= target()) {
            return;
        }
        Duration half = Duration.ofNanos(Math.max(1, (end - System.nanoTime()) / 2));
        Layout rounded = lp.round(half, GOOD_ENOUGH / 2);
        if (rounded != null) {
            Greedy.improve(instance, rounded, end);
            take(rounded);
        }
        polish();
    }

    /** The moment when this share of the time is over. */
    private long at(double share) {
        return start + (long) (share * (end - start));
    }

    private double target() {
        return best.cost() * (1 - GOOD_ENOUGH);
    }

    private void take(Layout candidate) {
        if (candidate.cost() < best.cost()) {
            best = candidate;
        }
    }

    /** Asks the solver for each node's best contents given the others', until that changes nothing or time is up. */
    private void polish() throws LpException, InterruptedException {
        boolean improved = true;
        while (improved) {
            improved = false;
            for (int n = 0; n < instance.nodes(); n++) {
                long left = end - System.nanoTime();
                if (left <= 0 || lp.bound() >= target()) {
                    return;
                }
                NodeClass c = instance.classOf(n);
                double[] reward = best.rewards(n);
                Pricing.Result result =
                        solvers.call(solver -> Pricing.solve(solver, c, reward, Duration.ofNanos(left), GOOD_ENOUGH));
                improved |= best.improve(n, result.pattern(), reward);
            }
        }
    }

    /** A bound without any solver: each start finds everything in the best place any node could have it, for nothing. */
    private static double everythingInTheFastestTier(Instance instance) {
        double sum = 0;
        for (int f = 0; f < instance.functions(); f++) {
            double fastest = instance.unstagedSeconds(f);
            for (NodeClass c : instance.classes()) {
                double seconds = instance.unstagedSeconds(f);
                for (int g : instance.groupsOf(f)) {
                    double saved = 0;
                    for (Option o : c.options(g)) {
                        saved = Math.max(saved, o.saved());
                    }
                    seconds -= saved;
                }
                fastest = Math.min(fastest, seconds);
            }
            sum += instance.starts(f) * fastest;
        }
        return sum;
    }
}
