package dev.coldstart.shim;

import static java.lang.System.Logger.Level.WARNING;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.proto.containerd.runc.Options;
import dev.coldstart.proto.containerd.runtime.bootstrap.BootstrapParams;
import dev.coldstart.proto.containerd.runtime.bootstrap.Extension;
import dev.coldstart.proto.containerd.task.CreateTaskRequest;
import dev.coldstart.shim.event.Publisher;
import dev.coldstart.shim.log.LateLogger;
import dev.coldstart.shim.pool.Caller;
import dev.coldstart.shim.pool.Rehearsal;
import dev.coldstart.shim.pool.Request;
import dev.coldstart.shim.pool.Slot;
import dev.coldstart.shim.process.Reaper;
import dev.coldstart.shim.runc.SealedRuntime;
import dev.coldstart.shim.snapshot.ShimConfig;
import dev.coldstart.shim.snapshot.Snapshots;
import dev.coldstart.shim.task.Node;
import dev.coldstart.shim.task.TaskOptions;
import dev.coldstart.shim.task.TaskService;
import dev.coldstart.shim.ttrpc.Server;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * The shim's daemon: one for each pod, started by the script {@code containerd-shim-coldstart-v1}, which waits for the
 * address on its stdout, or beforehand by {@code coldstart-shim-pool}, to be taken by that script. Its working directory
 * is the bundle of the pod's first container.
 */
public final class ShimMain {
    private static final System.Logger LOG = new LateLogger(ShimMain.class);
    private static final Duration FLUSH = Duration.ofSeconds(5);
    private static final Duration FIRST_RETRY = Duration.ofSeconds(1);
    private static final int MAX_OPTIONS_BYTES = 10 << 20;

    private ShimMain() {}

    /**
     * Serves until containerd says {@code Shutdown}.
     *
     * @param arguments {@code -namespace NS -id ID -address GRPC_SOCKET -socket PATH [-debug]}, and task options as a
     *     google.protobuf.Any on stdin; or {@code -pool DIRECTORY -rehearsal SCRIPT}, to wait there for all that; or
     *     {@code -pool-settings}, to print what the pool's keeper wants to know, for a shell
     */
    public static void main(String[] arguments) throws InterruptedException {
        Arguments flags = Arguments.parse(List.of(arguments));
        try {
            if (flags.flags().containsKey("pool-settings")) {
                ShimConfig config = ShimConfig.read(config(System.getenv()));
                System.out.println("size=" + config.pool() + " ceiling=" + config.poolMemory() / 1024);
                System.exit(0);
            }
            CompletableFuture<Reaper> reaper = reaperBesideAllElse();
            if (flags.flags().containsKey("pool")) {
                waitAndServe(Path.of(flags.required("pool")), Path.of(flags.required("rehearsal")), reaper);
            } else {
                new Daemon(
                                flags.required("namespace"),
                                flags.required("id"),
                                Path.of(flags.required("socket")),
                                Path.of("").toAbsolutePath(),
                                System.getenv(),
                                new SealedRuntime(pool(System.getenv())))
                        .serve(System.in.readNBytes(MAX_OPTIONS_BYTES), Optional.empty(), reaper);
            }
        } catch (IOException | IllegalArgumentException e) {
            // Stdout is the answer of `start`, which shows it as the reason.
            System.out.println("The shim cannot start: " + e.getMessage());
            System.exit(1);
        }
        System.exit(0);
    }

    /** Linking what it needs takes as long as all else until the answer, and has a processor of its own. */
    private static CompletableFuture<Reaper> reaperBesideAllElse() {
        CompletableFuture<Reaper> reaper = new CompletableFuture<>();
        Thread.ofPlatform().daemon().name("link").start(() -> {
            try {
                Descriptor.nonBlockingStandardError();
                reaper.complete(Reaper.start());
            } catch (LinuxException e) {
                LOG.log(WARNING, "No container can run: {0}", e.getMessage());
                reaper.completeExceptionally(e);
            }
        });
        return reaper;
    }

    private static Path config(Map<String, String> environment) {
        return Path.of(environment.getOrDefault("COLDSTART_CONFIG", "/etc/coldstart/config.toml"));
    }

    private static Path pool(Map<String, String> environment) {
        return Path.of(environment.getOrDefault("COLDSTART_POOL", "/run/coldstart/pool"));
    }

    private static void waitAndServe(Path pool, Path rehearsal, CompletableFuture<Reaper> reaper)
            throws IOException, InterruptedException {
        SealedRuntime sealed = new SealedRuntime(pool);
        try (Slot slot = Slot.open(pool)) {
            seal(sealed);
            new Rehearsal(pool.resolve(ProcessHandle.current().pid() + ".rehearsal"), rehearsal, reaper.join(), sealed)
                    .run();
            Request request = slot.await();
            try {
                Caller caller = new Caller(request.caller());
                Map<String, String> environment = caller.environment();
                byte[] options = caller.options();
                Path bundle = caller.bundle();
                Path socket = request.path();
                if (answers(socket)) {
                    writeAddress(bundle, "unix://" + socket);
                    slot.answer("unix://" + socket);
                    return;
                }
                Files.deleteIfExists(socket);
                caller.inherit();
                caller.log();
                Descriptor.nonBlockingStandardError();
                new Daemon(request.namespace(), request.id(), socket, bundle, environment, sealed)
                        .serve(options, Optional.of(slot), reaper);
            } catch (IOException e) {
                // The caller starts a JVM of its own, which has no such trouble, or tells of it.
                slot.answer("The pool is of no use here: " + e.getMessage());
                throw e;
            }
        }
    }

    private static void seal(SealedRuntime sealed) {
        try {
            sealed.provide("runc", System.getenv().getOrDefault("PATH", ""));
        } catch (IOException e) {
            LOG.log(WARNING, "Containers start without a sealed copy of runc: {0}", e.getMessage());
        }
    }

    private static boolean answers(Path socket) {
        if (!Files.exists(socket)) {
            return false;
        }
        try (SocketChannel _ = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    /** A shim that knows whom it serves. */
    private record Daemon(
            String namespace,
            String id,
            Path socket,
            Path bundle,
            Map<String, String> environment,
            SealedRuntime sealed) {
        /**
         * @param stdin the options
         * @param slot where the caller waits for the address; empty if it reads it from stdout
         */
        void serve(byte[] stdin, Optional<Slot> slot, CompletableFuture<Reaper> reaper)
                throws IOException, InterruptedException {
            joinCgroup(id, namespace, stdin);
            Optional<Path> events = Optional.ofNullable(environment.get("TTRPC_ADDRESS"))
                    .filter(address -> !address.isEmpty())
                    .map(Path::of);
            Publisher publisher = Publisher.start(events, namespace, FIRST_RETRY);
            Snapshots snapshots = new Snapshots(config(environment));
            CompletableFuture<Node> node =
                    reaper.thenApply(ready -> new Node(namespace, environment, ready, sealed, publisher, snapshots));
            TaskService tasks = new TaskService(node::join);
            Server server = Server.start(socket, tasks.methods());
            Runtime.getRuntime().addShutdownHook(new Thread(() -> end(server, publisher), "end"));
            String address = "unix://" + socket;
            writeAddress(bundle, address);
            if (slot.isPresent()) {
                slot.get().answer(address);
            } else {
                answer(address);
                // The first message to be parsed initialises what all share, while containerd connects.
                var _ = CreateTaskRequest.getDefaultInstance();
            }
            tasks.awaitEnd(bundle);
        }
    }

    private static void answer(String address) throws IOException {
        FileOutputStream stdout = new FileOutputStream(FileDescriptor.out);
        // Concatenation would generate classes.
        stdout.write(address.concat("\n").getBytes(StandardCharsets.UTF_8));
        // The reader waits for the end of the stream; the JDK puts /dev/null in the place of descriptor 1.
        stdout.close();
        System.in.close();
    }

    /** containerd 1.6 and 1.7 find the shim by this file after their restart. */
    private static void writeAddress(Path bundle, String address) throws IOException {
        Path temporary = bundle.resolve(".address");
        Files.writeString(temporary, address);
        Files.move(temporary, bundle.resolve("address"), StandardCopyOption.ATOMIC_MOVE);
    }

    private static void end(Server server, Publisher publisher) {
        try {
            server.drain(FLUSH);
            publisher.close(FLUSH);
            server.close();
        } catch (IOException e) {
            LOG.log(WARNING, "The shim did not clean up: {0}", e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Either message also parses as the other; only BootstrapParams repeats the flags. */
    static Options options(String id, String namespace, byte[] stdin) throws InvalidProtocolBufferException {
        BootstrapParams bootstrap = BootstrapParams.parseFrom(stdin);
        if (!bootstrap.getInstanceId().equals(id) || !bootstrap.getNamespace().equals(namespace)) {
            return TaskOptions.runc(Any.parseFrom(stdin));
        }
        for (Extension extension : bootstrap.getExtensionsList()) {
            Options options = TaskOptions.runc(extension.getValue());
            if (!options.equals(Options.getDefaultInstance())) {
                return options;
            }
        }
        return Options.getDefaultInstance();
    }

    /** The options on stdin may name a control group for the shim itself. */
    private static void joinCgroup(String id, String namespace, byte[] stdin) throws IOException {
        if (stdin.length == 0) {
            return;
        }
        Options options;
        try {
            options = options(id, namespace, stdin);
        } catch (InvalidProtocolBufferException e) {
            LOG.log(WARNING, "The options on stdin cannot be parsed and are not used: {0}", e.getMessage());
            return;
        }
        String group = options.getShimCgroup();
        if (group.isEmpty()) {
            return;
        }
        Path unified = Path.of("/sys/fs/cgroup/cgroup.controllers");
        List<Path> hierarchies;
        if (Files.exists(unified)) {
            hierarchies = List.of(Path.of("/sys/fs/cgroup"));
        } else {
            try (var controllers = Files.list(Path.of("/sys/fs/cgroup"))) {
                hierarchies = controllers
                        .filter(path -> !path.endsWith("unified") && !path.endsWith("systemd"))
                        .filter(Files::isDirectory)
                        .toList();
            }
        }
        for (Path hierarchy : hierarchies) {
            Path directory = Files.createDirectories(hierarchy.resolve(group.replaceFirst("^/+", "")));
            Files.writeString(
                    directory.resolve("cgroup.procs"),
                    Long.toString(ProcessHandle.current().pid()),
                    StandardOpenOption.WRITE);
        }
    }
}
