package dev.coldstart.cli.demand;

import java.util.List;
import java.util.Map;

/**
 * A demand table: what is expected to start, and what moving bytes costs.
 *
 * @param horizonSeconds length of the epoch that is planned
 * @param moveCostSecondsPerGib seconds of cold start that moving one GiB must save
 * @param groups bytes by name, of groups that no node holds yet
 * @param nodes nodes that cannot be asked
 */
public record Demand(
        double horizonSeconds,
        double moveCostSecondsPerGib,
        Rates rates,
        List<Function> functions,
        Map<String, Long> groups,
        List<Node> nodes) {
    /** Bytes per second into a starting process. */
    public record Rates(double ram, double disk, double registry) {}

    /**
     * What starts, and what it reads.
     *
     * @param images whose layers it reads; empty or one
     * @param snapshots ids or beginnings of ids; empty or one
     */
    public record Function(
            String name,
            double coldStartsPerHour,
            double fixedSeconds,
            List<String> images,
            List<String> snapshots,
            List<String> groups) {}

    /** A node that cannot be asked. */
    public record Node(String name, long ramBytes, long diskBytes, List<Held> holdings) {}

    /** What such a node holds of a group. */
    public record Held(String group, long bytesTotal, long bytesPresent, boolean inRam) {}
}
