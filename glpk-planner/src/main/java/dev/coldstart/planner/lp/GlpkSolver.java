package dev.coldstart.planner.lp;

import static org.gnu.glpk.GLPKConstants.GLP_BV;
import static org.gnu.glpk.GLPKConstants.GLP_DB;
import static org.gnu.glpk.GLPKConstants.GLP_DUALP;
import static org.gnu.glpk.GLPKConstants.GLP_EMIPGAP;
import static org.gnu.glpk.GLPKConstants.GLP_ENODFS;
import static org.gnu.glpk.GLPKConstants.GLP_ENOPFS;
import static org.gnu.glpk.GLPKConstants.GLP_ETMLIM;
import static org.gnu.glpk.GLPKConstants.GLP_FEAS;
import static org.gnu.glpk.GLPKConstants.GLP_FR;
import static org.gnu.glpk.GLPKConstants.GLP_FX;
import static org.gnu.glpk.GLPKConstants.GLP_IV;
import static org.gnu.glpk.GLPKConstants.GLP_LO;
import static org.gnu.glpk.GLPKConstants.GLP_MIN;
import static org.gnu.glpk.GLPKConstants.GLP_MSG_OFF;
import static org.gnu.glpk.GLPKConstants.GLP_NOFEAS;
import static org.gnu.glpk.GLPKConstants.GLP_OFF;
import static org.gnu.glpk.GLPKConstants.GLP_ON;
import static org.gnu.glpk.GLPKConstants.GLP_OPT;
import static org.gnu.glpk.GLPKConstants.GLP_UNBND;
import static org.gnu.glpk.GLPKConstants.GLP_UP;

import dev.coldstart.planner.lp.LpSolution.Status;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import org.gnu.glpk.GLPK;
import org.gnu.glpk.GlpkException;
import org.gnu.glpk.SWIGTYPE_p_double;
import org.gnu.glpk.SWIGTYPE_p_int;
import org.gnu.glpk.glp_iocp;
import org.gnu.glpk.glp_prob;
import org.gnu.glpk.glp_smcp;

/**
 * GLPK through glpk-java.
 *
 * <p>GLPK keeps its environment per thread: a problem must be built, solved and deleted on the thread that made it.
 * Each solver therefore owns one platform thread and does everything there. An error inside GLPK frees that thread's
 * whole environment and arrives as a {@link GlpkException}; no object made before may be touched afterwards, not even
 * to delete it. So no native object outlives a call, and a failed call leaves nothing behind but its exception.
 *
 * <p>The interior-point method is never called: it takes no time limit.
 */
public final class GlpkSolver implements LpSolver {
    private final ExecutorService thread;

    /**
     * A solver with its thread.
     *
     * @param name name of the thread
     */
    public GlpkSolver(String name) {
        thread = Executors.newSingleThreadExecutor(
                Thread.ofPlatform().name(name).daemon(true).factory());
    }

    @Override
    public LpSolution minimize(LinearProgram program, Duration limit, double gap)
            throws LpException, InterruptedException {
        int millis = Math.clamp(limit.toMillis(), 1, Integer.MAX_VALUE);
        try {
            return thread.submit(() -> solve(program, millis, gap)).get();
        } catch (RejectedExecutionException e) {
            throw new LpException("The solver is closed", e);
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case GlpkException g ->
                    throw new LpException("GLPK gave up on " + size(program) + ": " + g.getMessage(), g);
                case LinkageError l ->
                    throw new LpException(
                            "GLPK's Java binding cannot be loaded (" + l.getMessage()
                                    + "); install libglpk-java and pass its folder in -Djava.library.path",
                            l);
                case null, default -> throw new LpException("Solving " + size(program) + " failed: " + e.getCause(), e);
            }
        }
    }

    @Override
    public void close() {
        // A running solve ends at its limit; nobody waits for it.
        thread.shutdown();
    }

    private static String size(LinearProgram p) {
        return "a programme of " + p.rows() + " rows and " + p.columns() + " columns";
    }

    private static LpSolution solve(LinearProgram p, int millis, double gap) {
        // Per thread, and forgotten with the environment after an error: so each time.
        GLPK.glp_term_out(GLP_OFF);
        glp_prob problem = GLPK.glp_create_prob();
        load(problem, p);
        long deadline = System.nanoTime() + millis * 1_000_000L;
        LpSolution solution = relaxation(problem, p, millis);
        if (p.mixedInteger() && solution.status() == Status.OPTIMAL) {
            int left = (int) Math.max(1, (deadline - System.nanoTime()) / 1_000_000);
            solution = integer(problem, p, left, gap, solution.objective());
        } else if (p.mixedInteger() && solution.solved()) {
            solution = LpSolution.without(Status.UNKNOWN, solution.bound());
        }
        // Only reached without an exception: after one the problem is gone already.
        GLPK.glp_delete_prob(problem);
        return solution;
    }

    private static void load(glp_prob problem, LinearProgram p) {
        GLPK.glp_set_obj_dir(problem, GLP_MIN);
        if (p.rows() > 0) {
            GLPK.glp_add_rows(problem, p.rows());
        }
        if (p.columns() > 0) {
            GLPK.glp_add_cols(problem, p.columns());
        }
        for (int i = 0; i < p.rows(); i++) {
            double lower = p.rowLower(i);
            double upper = p.rowUpper(i);
            GLPK.glp_set_row_bnds(problem, i + 1, kind(lower, upper), finite(lower), finite(upper));
        }
        for (int j = 0; j < p.columns(); j++) {
            double lower = p.columnLower(j);
            double upper = p.columnUpper(j);
            GLPK.glp_set_obj_coef(problem, j + 1, p.cost(j));
            if (p.integer(j)) {
                boolean binary = lower == 0 && upper == 1;
                GLPK.glp_set_col_kind(problem, j + 1, binary ? GLP_BV : GLP_IV);
            }
            GLPK.glp_set_col_bnds(problem, j + 1, kind(lower, upper), finite(lower), finite(upper));
        }
        int entries = p.entries();
        // SWIG's arrays are plain memory; element 0 is not used.
        SWIGTYPE_p_int rows = GLPK.new_intArray(entries + 1);
        SWIGTYPE_p_int columns = GLPK.new_intArray(entries + 1);
        SWIGTYPE_p_double values = GLPK.new_doubleArray(entries + 1);
        try {
            for (int e = 0; e < entries; e++) {
                GLPK.intArray_setitem(rows, e + 1, p.entryRow(e) + 1);
                GLPK.intArray_setitem(columns, e + 1, p.entryColumn(e) + 1);
                GLPK.doubleArray_setitem(values, e + 1, p.entryValue(e));
            }
            GLPK.glp_load_matrix(problem, entries, rows, columns, values);
        } finally {
            GLPK.delete_intArray(rows);
            GLPK.delete_intArray(columns);
            GLPK.delete_doubleArray(values);
        }
    }

    private static int kind(double lower, double upper) {
        if (lower == upper) {
            return GLP_FX;
        }
        if (Double.isInfinite(lower)) {
            return Double.isInfinite(upper) ? GLP_FR : GLP_UP;
        }
        return Double.isInfinite(upper) ? GLP_LO : GLP_DB;
    }

    private static double finite(double bound) {
        return Double.isInfinite(bound) ? 0 : bound;
    }

    /** The programme without its integer conditions, by the dual simplex from scratch. */
    private static LpSolution relaxation(glp_prob problem, LinearProgram p, int millis) {
        glp_smcp parameters = new glp_smcp();
        int code;
        try {
            GLPK.glp_init_smcp(parameters);
            parameters.setMsg_lev(GLP_MSG_OFF);
            parameters.setMeth(GLP_DUALP);
            parameters.setPresolve(GLP_ON);
            parameters.setTm_lim(millis);
            code = GLPK.glp_simplex(problem, parameters);
        } finally {
            parameters.delete();
        }
        if (code == GLP_ENOPFS) {
            return LpSolution.without(Status.INFEASIBLE, Double.POSITIVE_INFINITY);
        }
        if (code == GLP_ENODFS) {
            return LpSolution.without(Status.UNBOUNDED, Double.NEGATIVE_INFINITY);
        }
        int status = GLPK.glp_get_status(problem);
        if (status == GLP_NOFEAS) {
            return LpSolution.without(Status.INFEASIBLE, Double.POSITIVE_INFINITY);
        }
        if (status == GLP_UNBND) {
            return LpSolution.without(Status.UNBOUNDED, Double.NEGATIVE_INFINITY);
        }
        if (code != 0 || (status != GLP_OPT && status != GLP_FEAS)) {
            return LpSolution.without(Status.UNKNOWN, Double.NEGATIVE_INFINITY);
        }
        double[] columns = new double[p.columns()];
        for (int j = 0; j < columns.length; j++) {
            columns[j] = GLPK.glp_get_col_prim(problem, j + 1);
        }
        double objective = GLPK.glp_get_obj_val(problem);
        if (status == GLP_FEAS) {
            return new LpSolution(Status.FEASIBLE, objective, Double.NEGATIVE_INFINITY, columns, new double[0]);
        }
        double[] duals = new double[p.rows()];
        for (int i = 0; i < duals.length; i++) {
            duals[i] = GLPK.glp_get_row_dual(problem, i + 1);
        }
        return new LpSolution(Status.OPTIMAL, objective, objective, columns, duals);
    }

    /** Branch and bound from the optimal basis that {@link #relaxation} left. */
    private static LpSolution integer(glp_prob problem, LinearProgram p, int millis, double gap, double relaxed) {
        glp_iocp parameters = new glp_iocp();
        int code;
        try {
            GLPK.glp_init_iocp(parameters);
            parameters.setMsg_lev(GLP_MSG_OFF);
            parameters.setTm_lim(millis);
            parameters.setMip_gap(gap);
            parameters.setMir_cuts(GLP_ON);
            parameters.setCov_cuts(GLP_ON);
            code = GLPK.glp_intopt(problem, parameters);
        } finally {
            parameters.delete();
        }
        int status = GLPK.glp_mip_status(problem);
        if (status == GLP_NOFEAS) {
            return LpSolution.without(Status.INFEASIBLE, Double.POSITIVE_INFINITY);
        }
        if (status != GLP_OPT && status != GLP_FEAS) {
            return LpSolution.without(Status.UNKNOWN, relaxed);
        }
        double[] columns = new double[p.columns()];
        for (int j = 0; j < columns.length; j++) {
            double value = GLPK.glp_mip_col_val(problem, j + 1);
            columns[j] = p.integer(j) ? Math.rint(value) : value;
        }
        double objective = GLPK.glp_mip_obj_val(problem);
        // GLPK measures the gap against the solution (ios_relative_gap), and drops nodes within tol_obj of it.
        double slack = code == GLP_EMIPGAP ? gap : 1e-7;
        double proven = objective - slack * Math.abs(objective);
        if (code == 0 || code == GLP_EMIPGAP) {
            return new LpSolution(Status.OPTIMAL, objective, Math.max(relaxed, proven), columns, new double[0]);
        }
        if (code == GLP_ETMLIM) {
            return new LpSolution(Status.FEASIBLE, objective, relaxed, columns, new double[0]);
        }
        return LpSolution.without(Status.UNKNOWN, relaxed);
    }
}
