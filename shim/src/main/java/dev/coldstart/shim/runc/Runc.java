package dev.coldstart.shim.runc;

import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Pipe;
import dev.coldstart.linux.Spawn;
import dev.coldstart.restore.RuncCommand;
import dev.coldstart.restore.RuncResult;
import dev.coldstart.restore.key.Host;
import dev.coldstart.shim.process.Child;
import dev.coldstart.shim.process.Exit;
import dev.coldstart.shim.process.Reaper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** runc (or crun) for one container. */
public final class Runc {
    /** How long a command that does not wait for anything may take. */
    public static final Duration LIMIT = Duration.ofMinutes(2);

    private static final Duration LIMIT_OF_QUERIES = Duration.ofSeconds(20);
    /** Where execvp(3) looks if there is no PATH. */
    private static final String DEFAULT_PATH = "/bin:/usr/bin";

    private final String binary;
    private final Path root;
    private final Path bundle;
    private final boolean systemdCgroup;
    private final Reaper reaper;
    private final SealedRuntime sealed;
    private final Map<String, String> environment;
    private final AtomicInteger sequence = new AtomicInteger();

    /**
     * @param binary a path, or a name to look up in PATH
     * @param root the runtime's state directory, with the namespace in it
     * @param bundle where its logs go
     * @param sealed where a sealed copy of the runtime may be
     * @param environment of the commands, normally the shim's own
     */
    public Runc(
            String binary,
            Path root,
            Path bundle,
            boolean systemdCgroup,
            Reaper reaper,
            SealedRuntime sealed,
            Map<String, String> environment) {
        this.binary = binary;
        this.root = root;
        this.bundle = bundle;
        this.systemdCgroup = systemdCgroup;
        this.reaper = reaper;
        this.sealed = sealed;
        this.environment = new HashMap<>(environment);
        // It would tell systemd that containerd is ready.
        this.environment.remove("NOTIFY_SOCKET");
    }

    public String binary() {
        return binary;
    }

    public Path root() {
        return root;
    }

    /**
     * What a command gets as descriptors 0 to 2; null for {@code /dev/null}.
     */
    public record Stdio(
            @Nullable Descriptor stdin,
            @Nullable Descriptor stdout,
            @Nullable Descriptor stderr) {
        /** {@code /dev/null} for all three. */
        public static Stdio none() {
            return new Stdio(null, null, null);
        }
    }

    /** Runs a command to its end with nothing for stdio. */
    public RuncResult run(String... arguments) throws IOException, InterruptedException {
        return run(List.of(arguments), Map.of(), LIMIT, Stdio.none());
    }

    /** The same runtime, as the checkpoint engine calls it. */
    public RuncCommand command(Stdio stdio) {
        return (arguments, variables, limit) -> run(arguments, variables, limit, stdio);
    }

    /**
     * Runs a command to its end.
     *
     * @throws IOException when the runtime cannot be run
     */
    public RuncResult run(List<String> arguments, Map<String, String> variables, Duration limit, Stdio stdio)
            throws IOException, InterruptedException {
        return run(arguments, variables, limit, stdio, () -> {});
    }

    /**
     * Runs a command to its end.
     *
     * @param meanwhile what is done beside it, once it has been started
     * @throws IOException when the runtime cannot be run
     */
    public RuncResult run(
            List<String> arguments, Map<String, String> variables, Duration limit, Stdio stdio, Runnable meanwhile)
            throws IOException, InterruptedException {
        // A log of its own, because commands for one container overlap (kill during exec).
        Path log = bundle.resolve("log." + sequence.incrementAndGet() + ".json");
        List<String> command = new ArrayList<>(
                List.of(binary, "--root", root.toString(), "--log", log.toString(), "--log-format", "json"));
        if (systemdCgroup) {
            command.add("--systemd-cgroup");
        }
        command.addAll(arguments);
        Spawn spawn = new Spawn(command).environment(environment).environment(variables);
        if (Files.isDirectory(bundle)) {
            spawn.directory(bundle);
        }
        give(spawn, 0, stdio.stdin());
        give(spawn, 1, stdio.stdout());
        give(spawn, 2, stdio.stderr());
        try {
            Child child = spawn(spawn);
            meanwhile.run();
            Exit exit = child.awaitOrKill(limit);
            if (exit.status() == 0) {
                return new RuncResult(0, "");
            }
            String error = CommandLog.lastError(log);
            if (Files.exists(log)) {
                // The last failure stays, under the name that containerd's own shim uses.
                Files.move(log, bundle.resolve("log.json"), StandardCopyOption.REPLACE_EXISTING);
            }
            return new RuncResult(exit.status(), error);
        } finally {
            Files.deleteIfExists(log);
        }
    }

    private static void give(Spawn spawn, int number, @Nullable Descriptor descriptor) {
        if (descriptor != null) {
            spawn.descriptor(number, descriptor);
        }
    }

    private Child spawn(Spawn spawn) throws IOException {
        String path = environment.getOrDefault("PATH", DEFAULT_PATH);
        String file = sealed.find(binary, path);
        try {
            return reaper.spawn(spawn.executable(file));
        } catch (LinuxException e) {
            sealed.forbid();
            String plain = sealed.find(binary, path);
            if (!plain.equals(file)) {
                return again(spawn.executable(plain));
            }
            throw missing(e);
        }
    }

    private Child again(Spawn spawn) throws IOException {
        try {
            return reaper.spawn(spawn);
        } catch (LinuxException e) {
            throw missing(e);
        }
    }

    private IOException missing(LinuxException e) {
        return new IOException(
                "The OCI runtime \"" + binary + "\" cannot be run (" + e.getMessage()
                        + "); install runc, or name another one in the runtime's options (BinaryName).",
                e);
    }

    /** Runs any program and gives what it printed to stdout, for {@link Host#detect}. */
    public String output(List<String> command) throws IOException, InterruptedException {
        try (Pipe pipe = Pipe.open();
                Arena arena = Arena.ofConfined()) {
            Child child =
                    reaper.spawn(new Spawn(command).environment(environment).descriptor(1, pipe.write()));
            pipe.write().close();
            MemorySegment capture = Descriptor.errnoIn(arena);
            MemorySegment buffer = arena.allocate(8192);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            for (int read; (read = pipe.read().read(buffer, capture)) > 0; ) {
                out.writeBytes(buffer.asSlice(0, read).toArray(ValueLayout.JAVA_BYTE));
            }
            Exit exit = child.awaitOrKill(LIMIT_OF_QUERIES);
            if (exit.status() != 0) {
                throw new IOException(String.join(" ", command) + " ended with status " + exit.status());
            }
            return out.toString(StandardCharsets.UTF_8);
        }
    }
}
