package dev.coldstart.planner.lp;

import java.time.Duration;

/**
 * Solves one programme at a time. Kept this small so that another solver can take GLPK's place.
 *
 * <p>Safe for use by several threads; their calls are answered one after the other.
 */
public interface LpSolver extends AutoCloseable {
    /**
     * Minimises.
     *
     * @param limit wall time after which the best solution so far is returned
     * @param gap for programmes with integer columns: relative distance between solution and bound that is good enough
     * @throws LpException when the solver failed; the next call finds it usable again
     * @throws InterruptedException when the caller was interrupted while waiting; the solve itself ends at its limit
     */
    LpSolution minimize(LinearProgram program, Duration limit, double gap) throws LpException, InterruptedException;

    @Override
    void close();
}
