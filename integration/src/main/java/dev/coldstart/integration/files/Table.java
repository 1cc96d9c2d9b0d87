package dev.coldstart.integration.files;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.function.ToDoubleFunction;

/** {@link Results} for people and for programs. */
final class Table {
    private static final List<Workload> COMPARED = List.of(
            Workload.WALK,
            Workload.OPEN,
            Workload.MISSING,
            Workload.READALL,
            Workload.SEQ,
            Workload.RAND,
            Workload.MMAP,
            Workload.IMPORT);

    private final Results results;

    Table(Results results) {
        this.results = results;
    }

    String text() {
        List<String> lines = new ArrayList<>();
        passes(lines, "first pass: seconds p50, p99 (throughput over native)", true);
        passes(lines, "warm: seconds p50, p99 (throughput over native)", false);
        operations(lines, "first pass, single operations: µs p50, p99", true);
        operations(lines, "warm, single operations: µs p50, p99", false);
        return String.join("\n", lines);
    }

    private void passes(List<String> lines, String title, boolean firstPass) {
        head(lines, title);
        for (Workload workload : Workload.values()) {
            row(
                    lines,
                    workload,
                    way -> String.format(
                            Locale.ROOT,
                            "%.4f %.4f%s",
                            results.seconds(firstPass, way, workload),
                            results.quantile(firstPass, way, workload, 0.99, Load::seconds),
                            Double.isNaN(results.ratio(firstPass, way, workload))
                                    ? ""
                                    : String.format(Locale.ROOT, " (%.2f)", results.ratio(firstPass, way, workload))));
        }
    }

    private void operations(List<String> lines, String title, boolean firstPass) {
        head(lines, title);
        for (Workload workload : List.of(Workload.OPEN, Workload.MISSING, Workload.RAND, Workload.SMALL)) {
            row(
                    lines,
                    workload,
                    way -> String.format(
                            Locale.ROOT,
                            "%.1f %.1f",
                            median(firstPass, way, workload, Load::p50Micros),
                            median(firstPass, way, workload, Load::p99Micros)));
        }
    }

    private void head(List<String> lines, String title) {
        lines.add("");
        lines.add(title);
        StringBuilder head = new StringBuilder(String.format(Locale.ROOT, "%-15s", ""));
        for (Way way : Way.values()) {
            head.append(String.format(Locale.ROOT, "%24s", way.title()));
        }
        lines.add(head.toString());
    }

    private interface Cell {
        String of(Way way);
    }

    private void row(List<String> lines, Workload workload, Cell cell) {
        StringBuilder line = new StringBuilder(String.format(Locale.ROOT, "%-15s", workload.title()));
        for (Way way : Way.values()) {
            line.append(String.format(Locale.ROOT, "%24s", results.has(way, workload) ? cell.of(way) : "–"));
        }
        lines.add(line.toString());
    }

    private double median(boolean firstPass, Way way, Workload workload, ToDoubleFunction<Load> of) {
        return results.quantile(firstPass, way, workload, 0.5, of);
    }

    /**
     * One JSON object in one line.
     *
     * @param rssMib resident memory of the server, if it was measured
     * @param bytesPerRead allocated in the server for a read of the remote tier
     */
    String json(OptionalDouble rssMib, double bytesPerRead) {
        double least = COMPARED.stream()
                .mapToDouble(workload -> results.ratio(true, Way.LOCAL, workload))
                .min()
                .orElse(Double.NaN);
        double sequential =
                results.quantile(true, Way.PARTIAL, Workload.SEQ, 0.5, load -> load.bytes() / load.seconds() / 1e9);
        return "{" + pair("walk_ratio", results.ratio(false, Way.LOCAL, Workload.WALK))
                + ", " + pair("open_ratio", results.ratio(false, Way.LOCAL, Workload.OPEN))
                + ", " + pair("missing_ratio", results.ratio(false, Way.LOCAL, Workload.MISSING))
                + ", " + pair("readall_ratio", results.ratio(false, Way.LOCAL, Workload.READALL))
                + ", " + pair("seq_ratio", results.ratio(false, Way.LOCAL, Workload.SEQ))
                + ", " + pair("rand_ratio", results.ratio(false, Way.LOCAL, Workload.RAND))
                + ", " + pair("mmap_ratio", results.ratio(false, Way.LOCAL, Workload.MMAP))
                + ", " + pair("import_ratio", results.ratio(false, Way.LOCAL, Workload.IMPORT))
                + ", " + pair("first_pass_ratio_min", least)
                + ", " + pair("remote_seq_gb_s", sequential)
                + ", "
                + pair("remote_small_open_read_us", median(true, Way.PARTIAL, Workload.SMALL, Load::p50Micros))
                + ", " + pair("remote_read_allocated_bytes", bytesPerRead)
                + ", " + pair("jnr_open_ratio", results.ratio(false, Way.JNR, Workload.OPEN))
                + ", " + pair("cfuse_open_ratio", results.ratio(false, Way.SQUASHFUSE, Workload.OPEN))
                + ", " + pair("rss_mib", rssMib.orElse(Double.NaN)) + "}";
    }

    private static String pair(String key, double value) {
        return "\"" + key + "\": " + (Double.isNaN(value) ? "null" : String.format(Locale.ROOT, "%.4f", value));
    }
}
