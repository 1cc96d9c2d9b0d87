package dev.coldstart.shim;

import static java.lang.System.Logger.Level.WARNING;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.proto.containerd.runc.Options;
import dev.coldstart.proto.containerd.runtime.bootstrap.BootstrapParams;
import dev.coldstart.proto.containerd.runtime.bootstrap.Extension;
import dev.coldstart.shim.event.Publisher;
import dev.coldstart.shim.process.Reaper;
import dev.coldstart.shim.snapshot.Snapshots;
import dev.coldstart.shim.task.Node;
import dev.coldstart.shim.task.TaskOptions;
import dev.coldstart.shim.task.TaskService;
import dev.coldstart.shim.ttrpc.Server;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
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
 * address on its stdout. Its working directory is the bundle of the pod's first container.
 */
public final class ShimMain {
    private static final System.Logger LOG = System.getLogger(ShimMain.class.getName());
    private static final Duration FLUSH = Duration.ofSeconds(5);
    private static final Duration FIRST_RETRY = Duration.ofSeconds(1);
    private static final Path ADDRESS_FILE = Path.of("address");

    private ShimMain() {}

    /**
     * Serves until containerd says {@code Shutdown}.
     *
     * @param arguments {@code -namespace NS -id ID -address GRPC_SOCKET -socket PATH [-debug]}, and task options as a
     *     google.protobuf.Any on stdin
     */
    public static void main(String[] arguments) throws InterruptedException {
        try {
            serve(Arguments.parse(List.of(arguments)), System.getenv());
        } catch (IOException | IllegalArgumentException e) {
            // Stdout is the answer of `start`, which shows it as the reason.
            System.out.println("The shim cannot start: " + e.getMessage());
            System.exit(1);
        }
        System.exit(0);
    }

    private static void serve(Arguments arguments, Map<String, String> environment)
            throws IOException, InterruptedException {
        String namespace = arguments.required("namespace");
        Path socket = Path.of(arguments.required("socket"));
        joinCgroup(arguments, System.in.readNBytes(10 << 20));
        Optional<Path> events = Optional.ofNullable(environment.get("TTRPC_ADDRESS"))
                .filter(address -> !address.isEmpty())
                .map(Path::of);
        CompletableFuture<Node> node = new CompletableFuture<>();
        TaskService tasks = new TaskService(node::join);
        Server server = Server.start(socket, tasks.methods());
        Publisher publisher = Publisher.start(events, namespace, FIRST_RETRY);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> end(server, publisher), "end"));
        String address = "unix://" + socket;
        writeAddress(address);
        answer(address);

        // What takes its time (native handles are linked when first used) comes after the answer.
        Path config = Path.of(environment.getOrDefault("COLDSTART_CONFIG", "/etc/coldstart/config.toml"));
        try {
            Descriptor.nonBlockingStandardError();
            node.complete(new Node(namespace, environment, Reaper.start(), publisher, new Snapshots(config)));
        } catch (LinuxException e) {
            node.completeExceptionally(e);
            LOG.log(WARNING, "No container can run: {0}", e.getMessage());
        }
        tasks.awaitEnd(Path.of("").toAbsolutePath());
    }

    private static void answer(String address) throws IOException {
        FileOutputStream stdout = new FileOutputStream(FileDescriptor.out);
        stdout.write((address + "\n").getBytes(StandardCharsets.UTF_8));
        // The reader waits for the end of the stream; the JDK puts /dev/null in the place of descriptor 1.
        stdout.close();
        System.in.close();
    }

    /** containerd 1.6 and 1.7 find the shim by this file after their restart. */
    private static void writeAddress(String address) throws IOException {
        Path temporary = Path.of(".address");
        Files.writeString(temporary, address);
        Files.move(temporary, ADDRESS_FILE, StandardCopyOption.ATOMIC_MOVE);
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
    static Options options(Arguments arguments, byte[] stdin) throws InvalidProtocolBufferException {
        BootstrapParams bootstrap = BootstrapParams.parseFrom(stdin);
        if (!bootstrap.getInstanceId().equals(arguments.optional("id"))
                || !bootstrap.getNamespace().equals(arguments.optional("namespace"))) {
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
    private static void joinCgroup(Arguments arguments, byte[] stdin) throws IOException {
        if (stdin.length == 0) {
            return;
        }
        Options options;
        try {
            options = options(arguments, stdin);
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
