package dev.coldstart.integration.pull;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.function.ToDoubleFunction;

/** {@link Results} for people and for programs. */
final class Table {
    private static final double MIB = 1024.0 * 1024;

    private final Results results;

    Table(Results results) {
        this.results = results;
    }

    String text() {
        List<String> lines = new ArrayList<>();
        lines.add(String.format(
                Locale.ROOT,
                "%-24s %5s | %7s %7s %7s %7s %6s %8s | %8s %6s %8s | %10s %11s %8s",
                "medians, seconds",
                "runs",
                "pull",
                "run",
                "wait",
                "answer",
                "ratio",
                "fetched",
                "all read",
                "ratio",
                "fetched",
                "containerd",
                "snapshotter",
                "registry"));
        for (Cell cell : results.cells()) {
            lines.add(cell.title());
            for (Way way : Way.values()) {
                if (results.runs(cell, way) > 0) {
                    lines.add(row(cell, way));
                }
            }
        }
        lines.add(
                "ratio: over overlayfs in the same cell; fetched: MiB; the last three: seconds of processor until all is read");
        return String.join("\n", lines);
    }

    private String row(Cell cell, Way way) {
        return String.format(
                Locale.ROOT,
                "  %-22s %5d | %7.2f %7.2f %7.2f %7.2f %6.2f %8.1f | %8.2f %6.2f %8.1f | %10.2f %11.2f %8.2f",
                way.title(),
                results.runs(cell, way),
                median(cell, way, measurement -> measurement.start().pullSeconds()),
                median(cell, way, measurement -> measurement.start().createSeconds()),
                median(cell, way, measurement -> measurement.start().answerSeconds()),
                median(cell, way, Measurement::answerSeconds),
                results.ratio(cell, way, Way.OVERLAYFS, Measurement::answerSeconds),
                median(cell, way, measurement -> measurement.start().bytes() / MIB),
                median(cell, way, Measurement::allReadSeconds),
                results.ratio(cell, way, Way.OVERLAYFS, Measurement::allReadSeconds),
                median(cell, way, measurement -> measurement.allReadBytes() / MIB),
                median(cell, way, Measurement::containerdSeconds),
                median(cell, way, Measurement::snapshotterSeconds),
                median(cell, way, Measurement::registrySeconds));
    }

    private double median(Cell cell, Way way, ToDoubleFunction<Measurement> of) {
        return results.median(cell, way, of);
    }

    /**
     * One JSON object in one line: ratios of seconds over overlayfs', each the greatest of all cells, and as {@code …_mean} their
     * geometric mean; {@code replay_saving} is the share of seconds to the first answer that the trace saves, as a geometric mean.
     */
    String json() {
        OptionalDouble replayed = results.mean(Way.SECOND_NODE, Way.NO_TRACE, Measurement::answerSeconds);
        return "{"
                + pair(
                        "first_ever_over_overlayfs",
                        results.greatest(Way.FIRST_EVER, Way.OVERLAYFS, Measurement::answerSeconds))
                + ", "
                + pair(
                        "first_ever_over_overlayfs_mean",
                        results.mean(Way.FIRST_EVER, Way.OVERLAYFS, Measurement::answerSeconds))
                + ", "
                + pair(
                        "second_node_over_overlayfs_1gbit",
                        known(results.ratio(
                                new Cell(Size.MEDIUM, Link.GBIT_1),
                                Way.SECOND_NODE,
                                Way.OVERLAYFS,
                                Measurement::answerSeconds)))
                + ", "
                + pair(
                        "second_node_over_overlayfs_mean",
                        results.mean(Way.SECOND_NODE, Way.OVERLAYFS, Measurement::answerSeconds))
                + ", "
                + pair(
                        "replay_saving",
                        replayed.isPresent() ? known(1 - replayed.getAsDouble()) : OptionalDouble.empty())
                + ", "
                + pair(
                        "full_read_over_overlayfs",
                        greater(
                                results.greatest(Way.FIRST_EVER, Way.OVERLAYFS, Measurement::allReadSeconds),
                                results.greatest(Way.SECOND_NODE, Way.OVERLAYFS, Measurement::allReadSeconds)))
                + ", "
                + pair(
                        "full_read_first_ever_mean",
                        results.mean(Way.FIRST_EVER, Way.OVERLAYFS, Measurement::allReadSeconds))
                + ", "
                + pair(
                        "full_read_second_node_mean",
                        results.mean(Way.SECOND_NODE, Way.OVERLAYFS, Measurement::allReadSeconds))
                + "}";
    }

    private static OptionalDouble greater(OptionalDouble one, OptionalDouble other) {
        return known(Math.max(one.orElse(Double.NaN), other.orElse(Double.NaN)));
    }

    private static OptionalDouble known(double value) {
        return Double.isNaN(value) ? OptionalDouble.empty() : OptionalDouble.of(value);
    }

    private static String pair(String key, OptionalDouble value) {
        return "\"" + key + "\": "
                + (value.isPresent() ? String.format(Locale.ROOT, "%.4f", value.getAsDouble()) : "null");
    }
}
