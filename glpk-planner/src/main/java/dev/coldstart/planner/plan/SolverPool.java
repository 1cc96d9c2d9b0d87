package dev.coldstart.planner.plan;

import dev.coldstart.planner.lp.LpException;
import dev.coldstart.planner.lp.LpSolver;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Supplier;

/** A few solvers that work on separate programmes at the same time. Thread-safe. */
public final class SolverPool implements AutoCloseable {
    private final List<LpSolver> all = new ArrayList<>();
    private final BlockingQueue<LpSolver> free = new LinkedBlockingQueue<>();

    /** Work on one solver. */
    interface Task<T> {
        T run(LpSolver solver) throws LpException, InterruptedException;
    }

    /**
     * Makes the solvers.
     *
     * @param size how many; as many as the machine has processors is enough
     */
    public SolverPool(int size, Supplier<LpSolver> factory) {
        for (int i = 0; i < size; i++) {
            LpSolver solver = factory.get();
            all.add(solver);
            free.add(solver);
        }
    }

    int size() {
        return all.size();
    }

    <T> T call(Task<T> task) throws LpException, InterruptedException {
        LpSolver solver = free.take();
        try {
            return task.run(solver);
        } finally {
            free.add(solver);
        }
    }

    /** Runs all tasks, as many at a time as there are solvers; results in the tasks' order. */
    <T> List<T> callAll(List<Task<T>> tasks) throws LpException, InterruptedException {
        List<T> results = new ArrayList<>();
        try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<T>> futures = new ArrayList<>();
            for (Task<T> task : tasks) {
                futures.add(executor.submit(() -> call(task)));
            }
            for (Future<T> future : futures) {
                try {
                    results.add(future.get());
                } catch (ExecutionException e) {
                    executor.shutdownNow();
                    switch (e.getCause()) {
                        case LpException lp -> throw lp;
                        case RuntimeException r -> throw r;
                        case null, default -> throw new LpException("Pricing failed: " + e.getCause(), e);
                    }
                }
            }
        }
        return results;
    }

    @Override
    public void close() {
        all.forEach(LpSolver::close);
    }
}
