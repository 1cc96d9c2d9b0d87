package dev.coldstart.restore.key;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * What a snapshot depends on that is a fact of this host; read once per process.
 *
 * @param architecture such as {@code amd64}
 * @param cpuFeatures the processor's flags as the kernel names them
 * @param kernel release, such as {@code 6.12.9-amd64}
 * @param criu version, such as {@code 4.2.1}
 * @param runtime name and version, such as {@code runc 1.3.6}
 * @param cgroups {@code v1} or {@code v2}
 */
public record Host(
        String architecture,
        SortedSet<String> cpuFeatures,
        String kernel,
        String criu,
        String runtime,
        String cgroups) {
    /**
     * Flags that the kernel or the hypervisor turns on and off and no user program can see: a snapshot runs without
     * them.
     */
    private static final Set<String> NOT_IN_USER_SPACE =
            Set.of("pti", "ibrs", "ibpb", "stibp", "ssbd", "ibrs_enhanced");

    /** Runs a program and gives what it printed to stdout. */
    @FunctionalInterface
    public interface Program {
        String output(List<String> command) throws IOException, InterruptedException;
    }

    /**
     * Reads the facts: {@code /proc}, {@code criu --version} and {@code RUNTIME --version}. Takes as long as starting
     * the two programs takes, so do it before a container waits for it.
     *
     * @param runtime runc's path or name
     * @throws IOException with one sentence, such as that criu is not installed
     */
    public static Host detect(String runtime, Program program) throws IOException, InterruptedException {
        String criu;
        try {
            criu = criuVersion(program.output(List.of("criu", "--version")));
        } catch (IOException e) {
            throw new IOException(
                    "Snapshots need CRIU, and criu --version failed (" + e.getMessage()
                            + "); install criu 4.2 or newer (4.1 will do before Linux 6.16).",
                    e);
        }
        return new Host(
                System.getProperty("os.arch", "unknown"),
                cpuFeatures(Files.readString(Path.of("/proc/cpuinfo"))),
                Files.readString(Path.of("/proc/sys/kernel/osrelease")).strip(),
                criu,
                runtimeVersion(program.output(List.of(runtime, "--version"))),
                Files.exists(Path.of("/sys/fs/cgroup/cgroup.controllers")) ? "v2" : "v1");
    }

    /** From {@code Version: 4.2.1} and perhaps a line {@code GitID: …}. */
    static String criuVersion(String output) throws IOException {
        return output.lines()
                .filter(line -> line.startsWith("Version:"))
                .map(line -> line.substring("Version:".length()).strip())
                .findFirst()
                .orElseThrow(() -> new IOException("it named no version"));
    }

    /** From {@code runc version 1.3.6+ds1} or {@code crun version 1.21}, the first line. */
    static String runtimeVersion(String output) throws IOException {
        List<String> words =
                output.lines().findFirst().map(line -> List.of(line.split(" "))).orElse(List.of());
        if (words.size() < 3 || !words.get(1).equals("version")) {
            throw new IOException("The OCI runtime's --version named no version.");
        }
        return words.get(0) + " " + words.get(2);
    }

    /** The flags that every processor has; x86 names them {@code flags}, arm64 {@code Features}. */
    static SortedSet<String> cpuFeatures(String cpuinfo) {
        SortedSet<String> common = new TreeSet<>();
        boolean first = true;
        for (String line : cpuinfo.lines().toList()) {
            int colon = line.indexOf(':');
            if (colon < 0) {
                continue;
            }
            String name = line.substring(0, colon).strip();
            if (name.equals("flags") || name.equals("Features")) {
                List<String> flags = Stream.of(line.substring(colon + 1).strip().split(" +"))
                        .filter(flag -> !flag.isEmpty() && !NOT_IN_USER_SPACE.contains(flag))
                        .toList();
                if (first) {
                    common.addAll(flags);
                    first = false;
                } else {
                    common.retainAll(Set.copyOf(flags));
                }
            }
        }
        return common;
    }
}
