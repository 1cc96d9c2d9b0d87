import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import dev.coldstart.proto.containerd.runc.Options;
import dev.coldstart.proto.containerd.task.ConnectRequest;
import dev.coldstart.proto.containerd.task.CreateTaskRequest;
import dev.coldstart.proto.containerd.task.DeleteRequest;
import dev.coldstart.proto.containerd.task.ExecProcessRequest;
import dev.coldstart.proto.containerd.task.KillRequest;
import dev.coldstart.proto.containerd.task.PidsRequest;
import dev.coldstart.proto.containerd.task.ShutdownRequest;
import dev.coldstart.proto.containerd.task.StartRequest;
import dev.coldstart.proto.containerd.task.StateRequest;
import dev.coldstart.proto.containerd.task.StatsRequest;
import dev.coldstart.proto.containerd.task.WaitRequest;
import dev.coldstart.proto.containerd.types.Mount;
import dev.coldstart.shim.ttrpc.Client;
import dev.coldstart.shim.ttrpc.StatusException;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * Leads the shim's daemon through its wait in a pool and a container's life, so that the JVM can record what an AOT cache needs.
 * The container is a {@code sleep} behind a script in runc's place, and needs no rights.
 */
final class ShimLife {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    /** Starts a shim as coldstart-shim-pool does. */
    private static final String WAIT = """
            cd / && mkfifo "$1/$$.in" "$1/$$.out" &&
                exec "$2/bin/.train-coldstart-shim" -pool "$1" -rehearsal "$2/bin/coldstart-shim-rehearsal"
            """;

    /**
     * Runs the daemon and ends it.
     *
     * @param arguments the programs' directory, and an empty directory to work in
     */
    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[1]).toAbsolutePath();
        Path bundle = Files.createDirectories(directory.resolve("bundle"));
        Files.createDirectories(bundle.resolve("rootfs"));
        Files.writeString(bundle.resolve("config.json"), """
                {"ociVersion":"1.2.0","annotations":{"coldstart.dev/snapshot":"auto","coldstart.dev/ready":"after:60s"},
                 "process":{"args":["sleep","1000"],"cwd":"/","env":["PATH=/usr/bin:/bin"]},"root":{"path":"rootfs"},
                 "linux":{"cgroupsPath":"/t","namespaces":[{"type":"pid"},{"type":"network","path":"/proc/1/ns/net"}]}}
                """);
        Path programs = Path.of(arguments[0]).toAbsolutePath();
        Path runtime = programs.resolve("bin/coldstart-shim-rehearsal");
        Path output = Files.createFile(directory.resolve("out"));
        Path pool = Files.createDirectories(directory.resolve("pool"));
        Files.createSymbolicLink(pool.resolve("home"), programs);
        Process daemon = new ProcessBuilder("sh", "-c", WAIT, "sh", pool.toString(), programs.toString())
                .redirectInput(ProcessBuilder.Redirect.from(new File("/dev/null")))
                .redirectOutput(ProcessBuilder.Redirect.INHERIT)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        try {
            awaitReady(daemon, pool.resolve(daemon.pid() + ".ready"));
            String address = start(programs, pool, bundle, directory);
            try (Client client = Client.connect(Path.of(address.substring("unix://".length())))) {
                live(client, bundle, runtime, output);
            }
            if (!daemon.waitFor(LIMIT.toSeconds(), TimeUnit.SECONDS)) {
                throw new IOException("the daemon did not end");
            }
            Files.delete(Path.of(address.substring("unix://".length())).getParent());
        } finally {
            daemon.destroyForcibly();
        }
    }

    private static void awaitReady(Process daemon, Path ready) throws IOException, InterruptedException {
        long end = System.nanoTime() + LIMIT.toNanos();
        while (!Files.exists(ready)) {
            if (!daemon.isAlive() || System.nanoTime() > end) {
                throw new IOException("the daemon did not get ready");
            }
            Thread.sleep(50);
        }
    }

    /** As containerd does; the shim's address. */
    private static String start(Path programs, Path pool, Path bundle, Path directory) throws IOException {
        // Of a short name: a socket's may have 107 bytes, and has a digest in it.
        Path sockets = Files.createTempDirectory("shim");
        ProcessBuilder start = new ProcessBuilder(
                        programs.resolve("bin/containerd-shim-coldstart-v1").toString(),
                        "-namespace",
                        "training",
                        "-id",
                        "t",
                        "-address",
                        directory.resolve("containerd.sock").toString(),
                        "start")
                .directory(bundle.toFile())
                .redirectInput(ProcessBuilder.Redirect.from(new File("/dev/null")))
                .redirectError(ProcessBuilder.Redirect.INHERIT);
        start.environment()
                .putAll(Map.of(
                        "COLDSTART_POOL", pool.toString(),
                        "COLDSTART_POOL_LIMIT", Long.toString(LIMIT.toSeconds()),
                        "COLDSTART_SOCKETS", sockets.toString()));
        try (BufferedReader answer = start.start().inputReader()) {
            String address = answer.readLine();
            if (address == null || !address.startsWith("unix://")) {
                throw new IOException("the shim did not start: " + address);
            }
            return address;
        }
    }

    private static void live(Client client, Path bundle, Path runtime, Path output)
            throws StatusException, IOException, InterruptedException {
        CreateTaskRequest.Builder create = CreateTaskRequest.newBuilder()
                .setId("t")
                .setBundle(bundle.toString())
                .setStdout("file://" + output)
                .setOptions(Any.newBuilder()
                        .setTypeUrl("containerd.runc.v1.Options")
                        .setValue(Options.newBuilder()
                                .setBinaryName(runtime.toString())
                                .build()
                                .toByteString()));
        try {
            call(
                    client,
                    "Create",
                    create.clone()
                            .addRootfs(Mount.newBuilder().setType("tmpfs").setSource("tmpfs"))
                            .build());
        } catch (StatusException e) {
            // Without the right to mount, a build still gets all else.
            call(client, "Create", create.build());
        }
        call(client, "Start", StartRequest.newBuilder().setId("t").build());
        call(client, "State", StateRequest.newBuilder().setId("t").build());
        call(client, "Connect", ConnectRequest.newBuilder().setId("t").build());
        call(client, "Pids", PidsRequest.newBuilder().setId("t").build());
        call(client, "Stats", StatsRequest.newBuilder().setId("t").build());
        call(
                client,
                "Exec",
                ExecProcessRequest.newBuilder()
                        .setId("t")
                        .setExecId("e")
                        .setSpec(Any.newBuilder().setValue(ByteString.copyFromUtf8("{\"args\":[\"x\"]}")))
                        .build());
        call(
                client,
                "Start",
                StartRequest.newBuilder().setId("t").setExecId("e").build());
        call(client, "Wait", WaitRequest.newBuilder().setId("t").setExecId("e").build());
        call(
                client,
                "Delete",
                DeleteRequest.newBuilder().setId("t").setExecId("e").build());
        call(client, "Kill", KillRequest.newBuilder().setId("t").setSignal(9).build());
        call(client, "Wait", WaitRequest.newBuilder().setId("t").build());
        call(client, "Delete", DeleteRequest.newBuilder().setId("t").build());
        call(client, "Shutdown", ShutdownRequest.newBuilder().setId("t").build());
    }

    private static void call(Client client, String method, MessageLite request)
            throws StatusException, IOException, InterruptedException {
        var _ = client.call("containerd.task.v2.Task", method, request, Map.of(), LIMIT);
    }
}
