package dev.coldstart.integration.start;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;

/** Medians of several runs, for people and for programs. */
final class Table {
    private static final double MIB = 1024.0 * 1024;

    private final List<Run> runs;

    /** @param runs at least one */
    Table(List<Run> runs) {
        this.runs = List.copyOf(runs);
    }

    double median(Way way, ToDoubleFunction<Start> of) {
        double[] values = runs.stream()
                .mapToDouble(run -> of.applyAsDouble(run.of(way)))
                .sorted()
                .toArray();
        int half = values.length / 2;
        return values.length % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
    }

    String text() {
        List<String> lines = new ArrayList<>();
        lines.add(String.format(
                Locale.ROOT,
                "%-30s %14s %10s %14s %14s %12s",
                runs.size() == 1 ? "" : "medians of " + runs.size() + " runs",
                "first answer",
                "pull",
                "create+start",
                "until answer",
                "fetched"));
        for (Way way : Way.values()) {
            lines.add(String.format(
                    Locale.ROOT,
                    "%-30s %12.2f s %8.2f s %12.2f s %12.2f s %8.1f MiB",
                    way.title(),
                    median(way, Start::seconds),
                    median(way, Start::pullSeconds),
                    median(way, Start::createSeconds),
                    median(way, Start::answerSeconds),
                    median(way, Start::bytes) / MIB));
        }
        return String.join("\n", lines);
    }

    /** One JSON object in one line. */
    String json() {
        double overlayfs = median(Way.OVERLAYFS, Start::seconds);
        double lazy = median(Way.LAZY, Start::seconds);
        double restore = median(Way.RESTORE, Start::seconds);
        return String.format(
                Locale.ROOT,
                "{\"lazy_over_overlayfs\": %.4f, \"restore_over_overlayfs\": %.4f,"
                        + " \"overlayfs_s\": %.3f, \"lazy_s\": %.3f, \"restore_s\": %.3f, \"runs\": %d}",
                lazy / overlayfs,
                restore / overlayfs,
                overlayfs,
                lazy,
                restore,
                runs.size());
    }

    static String oneRun(Run run) {
        return String.join(
                ", ",
                Arrays.stream(Way.values())
                        .map(way -> String.format(
                                Locale.ROOT,
                                "%s %.2f s",
                                way.title(),
                                run.of(way).seconds()))
                        .toList());
    }
}
