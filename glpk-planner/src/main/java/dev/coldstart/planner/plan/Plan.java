package dev.coldstart.planner.plan;

import java.util.List;
import java.util.Map;

/**
 * What every node should hold, with its certificate.
 *
 * @param nodes one per node of the instance, in its order
 * @param objective cold-start seconds of the epoch plus the price of moved bytes
 * @param bound no plan has a smaller objective
 * @param unplanned the objective of the nodes as they are
 * @param method {@code pattern-lp} or {@code greedy}
 * @param note one sentence on how the plan came about
 */
public record Plan(
        List<NodeContents> nodes, double objective, double bound, double unplanned, String method, String note) {
    /**
     * One node's part of the plan.
     *
     * @param items what to drop, then what to fetch (most seconds saved per byte first), then what to keep
     * @param serves by function, the starts of the epoch that this node should take
     * @param ramBytes bytes of the items in RAM
     * @param diskBytes bytes of the items on disk
     */
    public record NodeContents(
            String node, List<Item> items, Map<String, Double> serves, long ramBytes, long diskBytes) {}

    /** A tier. */
    public enum Where {
        RAM,
        DISK
    }

    /** What to do. */
    public enum Act {
        KEEP,
        FETCH,
        DROP
    }

    /**
     * What to do with one group in one tier.
     *
     * @param bytes bytes kept, to be written, or to be given up
     * @param reason one sentence
     */
    public record Item(String group, Where where, Act act, long bytes, String reason) {}
}
