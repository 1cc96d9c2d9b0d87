package dev.coldstart.integration.files;

import dev.coldstart.integration.host.HostException;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * One run of a workload.
 *
 * @param operations how many of what the workload counts
 * @param bytes that were read
 * @param p50Micros median of single operations in µs; 0 where they are not timed one by one
 * @param p99Micros their 99th percentile in µs; 0 likewise
 */
record Load(long operations, long bytes, double seconds, double p50Micros, double p99Micros) {
    private static final Pattern LINE = Pattern.compile("\\{\"workload\": \"[a-z]+\", \"operations\": ([0-9]+),"
            + " \"bytes\": ([0-9]+), \"seconds\": ([0-9.]+)(?:, \"p50_us\": ([0-9.]+), \"p99_us\": ([0-9.]+))?}");

    /** Reads what fileload printed: one run in each line. */
    static List<Load> parse(String text) {
        return text.lines().map(Load::parseLine).toList();
    }

    private static Load parseLine(String line) {
        Matcher matcher = LINE.matcher(line);
        if (!matcher.matches()) {
            throw new HostException("fileload printed: " + line);
        }
        boolean single = matcher.group(4) != null;
        return new Load(
                Long.parseLong(matcher.group(1)),
                Long.parseLong(matcher.group(2)),
                Double.parseDouble(matcher.group(3)),
                single ? Double.parseDouble(matcher.group(4)) : 0,
                single ? Double.parseDouble(matcher.group(5)) : 0);
    }
}
