package dev.coldstart.shim.cgroup;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Numbers in the files of a group. A file that is not there (a controller not enabled) holds none. */
final class Values {
    /** What {@code max} stands for: 2^64 - 1. */
    static final long MAX = -1L;

    private Values() {}

    /** Lines of {@code name number}. */
    static Map<String, Long> table(Path file) throws IOException {
        return table(lines(file));
    }

    static Map<String, Long> table(List<String> lines) {
        Map<String, Long> table = new HashMap<>();
        for (String line : lines) {
            int space = line.indexOf(' ');
            if (space > 0) {
                table.put(line.substring(0, space), number(line.substring(space + 1)));
            }
        }
        return table;
    }

    /** A file with one number; 0 if it is not there. */
    static long single(Path file) throws IOException {
        List<String> lines = lines(file);
        return lines.isEmpty() ? 0 : number(lines.getFirst());
    }

    static List<String> lines(Path file) throws IOException {
        try {
            return Files.readAllLines(file);
        } catch (NoSuchFileException e) {
            return List.of();
        }
    }

    static long number(String text) {
        String trimmed = text.trim();
        try {
            return trimmed.equals("max") ? MAX : Long.parseUnsignedLong(trimmed);
        } catch (NumberFormatException e) {
            return 0;
        }
    }

    /** As the kernel prints percents: with two decimals, and no locale of its own. */
    static double percent(String text) {
        try {
            return Double.parseDouble(text);
        } catch (NumberFormatException e) {
            return 0;
        }
    }
}
