package dev.coldstart.shim.pool;

import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.Inheritance;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The process that wants a shim, which this JVM makes itself a child of in all that is inherited. */
public final class Caller {
    private static final int MAX_OPTIONS_BYTES = 10 << 20;
    /** Of /proc/PID/status: what a child has from its parent, and this process cannot take on later. */
    private static final Set<String> CONFINEMENT = Set.of(
            "Uid",
            "Gid",
            "CapPrm",
            "CapEff",
            "CapBnd",
            "CapAmb",
            "NoNewPrivs",
            "Seccomp",
            "Cpus_allowed_list",
            "Mems_allowed_list");

    private static final List<String> NAMESPACES = List.of("mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time");

    private final int pid;
    private final Path process;

    public Caller(int pid) {
        this.pid = pid;
        process = Path.of("/proc/" + pid);
    }

    /**
     * Takes on what a child of the caller's would have: working directory, resource limits and the killer's score. Not the control group: the pool's is neither a pod's nor a container's.
     *
     * @throws IOException with the reason if this process cannot become such a child
     */
    public void inherit() throws IOException {
        Path self = Path.of("/proc/self");
        for (String namespace : NAMESPACES) {
            Path link = Path.of("ns", namespace);
            if (Files.exists(self.resolve(link), LinkOption.NOFOLLOW_LINKS)
                    && !Files.readSymbolicLink(self.resolve(link))
                            .equals(Files.readSymbolicLink(process.resolve(link)))) {
                throw new IOException("the pool lives in another namespace than containerd: " + namespace);
            }
        }
        // The same kernel writes both, with the same lines.
        Iterator<String> theirs = Files.readAllLines(process.resolve("status")).iterator();
        for (String line : Files.readAllLines(self.resolve("status"))) {
            if (!theirs.hasNext() || (!line.equals(theirs.next()) && CONFINEMENT.contains(name(line)))) {
                throw new IOException("the pool has not the rights of containerd, or not its processors");
            }
        }
        Inheritance.limitsOf(pid);
        String score = Files.readString(process.resolve("oom_score_adj"));
        // Lowering it is a privilege.
        if (!Files.readString(self.resolve("oom_score_adj")).equals(score)) {
            Files.writeString(self.resolve("oom_score_adj"), score.strip());
        }
        Inheritance.workingDirectory(bundle());
    }

    /** Makes containerd's log of the bundle standard error. */
    public void log() throws IOException {
        Path bundle = bundle();
        // Opened for reading too, so that it never blocks and never breaks.
        Path log = bundle.resolve("log");
        boolean fifo = Files.exists(log) && !Files.isRegularFile(log) && !Files.isDirectory(log);
        try (Descriptor error = Descriptor.open(fifo ? log.toString() : "/dev/null", Descriptor.O_RDWR, 0)) {
            Inheritance.standardError(error);
        }
    }

    /** Of a line {@code name: value}. */
    private static String name(String line) {
        return line.substring(0, Math.max(0, line.indexOf(':')));
    }

    /** The container's bundle: the caller's working directory. */
    public Path bundle() throws IOException {
        return Files.readSymbolicLink(process.resolve("cwd"));
    }

    /** What the caller was started with, less what is meant for containerd alone. */
    public Map<String, String> environment() throws IOException {
        Map<String, String> variables = new HashMap<>();
        String all = new String(Files.readAllBytes(process.resolve("environ")), StandardCharsets.UTF_8);
        for (String variable : all.split("\0", -1)) {
            int equals = variable.indexOf('=');
            if (equals > 0) {
                variables.put(variable.substring(0, equals), variable.substring(equals + 1));
            }
        }
        variables.remove("NOTIFY_SOCKET");
        return Map.copyOf(variables);
    }

    /** All of what came on the caller's stdin, which the script has as descriptor 8: dash reads with 0. */
    public byte[] options() throws IOException {
        try (InputStream in = Files.newInputStream(process.resolve("fd/8"))) {
            return in.readNBytes(MAX_OPTIONS_BYTES);
        }
    }
}
