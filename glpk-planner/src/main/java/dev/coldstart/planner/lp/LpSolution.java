package dev.coldstart.planner.lp;

/** What a solver found. Immutable. */
public final class LpSolution {
    private static final double[] NONE = {};

    private final Status status;
    private final double objective;
    private final double bound;
    private final double[] columns;
    private final double[] rowDuals;

    /** How far a solver came. */
    public enum Status {
        /** Solved to the end, or to the gap that was asked for. */
        OPTIMAL,
        /** Stopped by the limit with a solution in hand. */
        FEASIBLE,
        INFEASIBLE,
        UNBOUNDED,
        /** Stopped by the limit without a solution. */
        UNKNOWN
    }

    /** Takes the arrays over. */
    LpSolution(Status status, double objective, double bound, double[] columns, double[] rowDuals) {
        this.status = status;
        this.objective = objective;
        this.bound = bound;
        this.columns = columns;
        this.rowDuals = rowDuals;
    }

    static LpSolution without(Status status, double bound) {
        return new LpSolution(status, Double.NaN, bound, NONE, NONE);
    }

    public Status status() {
        return status;
    }

    /** Whether there is a feasible point. */
    public boolean solved() {
        return status == Status.OPTIMAL || status == Status.FEASIBLE;
    }

    /** The value of the solution; NaN without one. */
    public double objective() {
        return objective;
    }

    /** No feasible point has a smaller objective; negative infinity when nothing is known. */
    public double bound() {
        return bound;
    }

    /** The value of a column of a {@link #solved} programme. */
    public double column(int number) {
        return columns[number];
    }

    /** The price of a row of an optimal programme without integer columns. */
    public double rowDual(int number) {
        return rowDuals[number];
    }
}
