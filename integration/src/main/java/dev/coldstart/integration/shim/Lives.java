package dev.coldstart.integration.shim;

import java.util.List;

/**
 * What one runtime took for several containers, one after the other.
 *
 * @param start from the request to create it to its first byte of output
 * @param exec from the request to the end of a process
 * @param stop from the kill to the deletion
 */
record Lives(Samples start, Samples exec, Samples stop) {
    /** From lines {@code RUNTIME START EXEC STOP}. */
    static Lives of(String runtime, String lines) {
        List<String[]> ours = lines.lines()
                .map(line -> line.split(" ", -1))
                .filter(fields -> fields[0].equals(runtime))
                .toList();
        return new Lives(column(ours, 1), column(ours, 2), column(ours, 3));
    }

    private static Samples column(List<String[]> lines, int column) {
        return new Samples(lines.stream()
                .mapToDouble(fields -> Double.parseDouble(fields[column]))
                .toArray());
    }
}
