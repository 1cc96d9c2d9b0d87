package dev.coldstart.shim.pool;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Empty;
import com.google.protobuf.MessageLite;
import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.SpecialFile;
import dev.coldstart.proto.containerd.runc.Options;
import dev.coldstart.proto.containerd.runtime.bootstrap.BootstrapParams;
import dev.coldstart.proto.containerd.task.ConnectRequest;
import dev.coldstart.proto.containerd.task.CreateTaskRequest;
import dev.coldstart.proto.containerd.task.DeleteRequest;
import dev.coldstart.proto.containerd.task.ExecProcessRequest;
import dev.coldstart.proto.containerd.task.KillRequest;
import dev.coldstart.proto.containerd.task.StartRequest;
import dev.coldstart.proto.containerd.task.StateRequest;
import dev.coldstart.proto.containerd.task.WaitRequest;
import dev.coldstart.proto.containerd.types.Mount;
import dev.coldstart.shim.event.Publisher;
import dev.coldstart.shim.process.Reaper;
import dev.coldstart.shim.runc.SealedRuntime;
import dev.coldstart.shim.snapshot.Snapshots;
import dev.coldstart.shim.task.Node;
import dev.coldstart.shim.task.TaskOptions;
import dev.coldstart.shim.task.TaskService;
import dev.coldstart.shim.ttrpc.Client;
import dev.coldstart.shim.ttrpc.Methods;
import dev.coldstart.shim.ttrpc.Server;
import dev.coldstart.shim.ttrpc.StatusException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * A container's life before the first container: it loads and compiles code and links native handles, which the first
 * start would wait for otherwise. The container is a {@code sleep} behind a script in runc's place.
 */
public final class Rehearsal {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final String ID = "rehearsal";
    /** The first links and loads; the others are for the interpreter and the compiler. */
    private static final int LIVES = 3;

    private static final int S_IFIFO = 0010000;
    private static final String CONFIG = """
            {"ociVersion":"1.2.0","process":{"args":["sleep","1000"],"cwd":"/","env":["PATH=/usr/bin:/bin"]},
             "root":{"path":"rootfs"},"annotations":{},
             "linux":{"cgroupsPath":"/rehearsal","namespaces":[{"type":"pid"},{"type":"network"}]}}
            """;

    private final Path directory;
    private final Path runtime;
    private final Reaper reaper;
    private final SealedRuntime sealed;

    /**
     * @param directory where it may work; made, and gone afterwards
     * @param runtime the script in runc's place
     * @param reaper of this process
     * @param sealed where the pool has its copy of the runtime
     */
    public Rehearsal(Path directory, Path runtime, Reaper reaper, SealedRuntime sealed) {
        this.directory = directory;
        this.runtime = runtime;
        this.reaper = reaper;
        this.sealed = sealed;
    }

    /**
     * Goes through it.
     *
     * @throws IOException if that goes wrong; real containers may still run
     */
    public void run() throws IOException, InterruptedException {
        Path bundle = Files.createDirectories(directory.resolve("bundle"));
        Files.writeString(bundle.resolve("config.json"), CONFIG);
        Path output = directory.resolve("out");
        SpecialFile.make(output, S_IFIFO | 0600, 0);
        Path socket = directory.resolve("s");
        Publisher publisher = Publisher.start(Optional.of(socket), ID, LIMIT);
        Node node = new Node(ID, System.getenv(), reaper, sealed, publisher, new Snapshots(directory.resolve("none")));
        TaskService tasks = new TaskService(() -> node);
        // Who takes the events and reads the output, which containerd is otherwise.
        Methods methods = tasks.methods()
                .add("containerd.services.events.ttrpc.v1.Events", "Forward", _ -> Empty.getDefaultInstance());
        try (Descriptor _ = Descriptor.open(output.toString(), Descriptor.O_RDWR, 0);
                Server _ = Server.start(socket, methods);
                Client client = Client.connect(socket)) {
            refusedMount(client, bundle);
            for (int i = 0; i < LIVES; i++) {
                live(client, bundle, output);
            }
            Caller self = new Caller((int) ProcessHandle.current().pid());
            self.inherit();
            var _ = self.environment();
            var _ = new Request(0, ID, ID, "", directory + "/").path();
            // What containerd's options on stdin are read as.
            var _ = BootstrapParams.parseFrom(options().toByteArray());
            var _ = TaskOptions.runc(Any.parseFrom(options().toByteArray()));
            // The last event may be on its way yet, and would wait for a server that has closed.
            publisher.close(LIMIT);
        } catch (StatusException e) {
            throw new IOException(e.getMessage(), e);
        } finally {
            publisher.close(LIMIT);
            remove();
            // Or the first start would wait until what is left of this is collected.
            System.gc();
        }
    }

    /**
     * A root file system as containers have it, which the kernel does not mount, as there is no such place. It looks at the
     * place first: what it finds wrong with an overlay itself, it would write into its log.
     */
    private void refusedMount(Client client, Path bundle) throws IOException, InterruptedException {
        String layers = "lowerdir=" + directory.resolve("upper") + ":" + directory.resolve("lower");
        Mount mount = Mount.newBuilder()
                .setType("overlay")
                .setSource("overlay")
                .setTarget("missing")
                .addOptions(layers)
                .build();
        try {
            call(client, "Create", create(bundle).addRootfs(mount).build());
            throw new IOException("the kernel mounted what is not there");
        } catch (StatusException e) {
            // What was to be rehearsed: all of a mount but its success.
        }
    }

    private CreateTaskRequest.Builder create(Path bundle) {
        return CreateTaskRequest.newBuilder()
                .setId(ID)
                .setBundle(bundle.toString())
                .setOptions(options());
    }

    private void live(Client client, Path bundle, Path output)
            throws StatusException, IOException, InterruptedException {
        call(client, "Create", create(bundle).setStdout(output.toString()).build());
        call(client, "Start", StartRequest.newBuilder().setId(ID).build());
        call(client, "State", StateRequest.newBuilder().setId(ID).build());
        call(client, "Connect", ConnectRequest.newBuilder().setId(ID).build());
        call(
                client,
                "Exec",
                ExecProcessRequest.newBuilder()
                        .setId(ID)
                        .setExecId("e")
                        .setStdout(output.toString())
                        .setSpec(Any.newBuilder().setValue(ByteString.copyFromUtf8("{\"args\":[\"x\"]}")))
                        .build());
        call(client, "Start", StartRequest.newBuilder().setId(ID).setExecId("e").build());
        call(client, "Wait", WaitRequest.newBuilder().setId(ID).setExecId("e").build());
        call(
                client,
                "Delete",
                DeleteRequest.newBuilder().setId(ID).setExecId("e").build());
        call(client, "Kill", KillRequest.newBuilder().setId(ID).setSignal(9).build());
        call(client, "Wait", WaitRequest.newBuilder().setId(ID).build());
        call(client, "Delete", DeleteRequest.newBuilder().setId(ID).build());
    }

    private Any options() {
        return Any.newBuilder()
                .setTypeUrl("containerd.runc.v1.Options")
                .setValue(Options.newBuilder()
                        .setBinaryName(runtime.toString())
                        .build()
                        .toByteString())
                .build();
    }

    private static void call(Client client, String method, MessageLite request)
            throws StatusException, IOException, InterruptedException {
        var _ = client.call("containerd.task.v2.Task", method, request, Map.of(), LIMIT);
    }

    private void remove() throws IOException {
        List<Path> files;
        try (Stream<Path> all = Files.walk(directory)) {
            files = all.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path file : files) {
            Files.deleteIfExists(file);
        }
    }
}
