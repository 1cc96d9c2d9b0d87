package dev.coldstart.planner.plan;

import java.time.Duration;

/**
 * Plans what every node should hold: greedy first, then the pattern programme, its whole-number rounding, and what is
 * left of the time on the nodes one by one. Whatever happens to the solver, the best layout so far is the answer.
 * Thread-safe.
 */
public final class Planner {
    private final SolverPool solvers;
    private final Duration budget;

    /** @param budget wall time of one plan */
    public Planner(SolverPool solvers, Duration budget) {
        this.solvers = solvers;
        this.budget = budget;
    }

    /**
     * The best plan found within the budget.
     *
     * @throws InterruptedException when the caller was interrupted
     */
    public Plan plan(Instance instance) throws InterruptedException {
        return new Explanation(instance, new Search(instance, solvers, budget).run()).plan();
    }
}
