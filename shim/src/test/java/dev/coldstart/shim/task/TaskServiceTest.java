package dev.coldstart.shim.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import dev.coldstart.linux.Spawn;
import dev.coldstart.proto.containerd.events.TaskExit;
import dev.coldstart.proto.containerd.services.events.ttrpc.Envelope;
import dev.coldstart.proto.containerd.task.CloseIORequest;
import dev.coldstart.proto.containerd.task.ConnectRequest;
import dev.coldstart.proto.containerd.task.ConnectResponse;
import dev.coldstart.proto.containerd.task.CreateTaskRequest;
import dev.coldstart.proto.containerd.task.CreateTaskResponse;
import dev.coldstart.proto.containerd.task.DeleteRequest;
import dev.coldstart.proto.containerd.task.DeleteResponse;
import dev.coldstart.proto.containerd.task.ExecProcessRequest;
import dev.coldstart.proto.containerd.task.KillRequest;
import dev.coldstart.proto.containerd.task.PauseRequest;
import dev.coldstart.proto.containerd.task.PidsRequest;
import dev.coldstart.proto.containerd.task.PidsResponse;
import dev.coldstart.proto.containerd.task.ResumeRequest;
import dev.coldstart.proto.containerd.task.ShutdownRequest;
import dev.coldstart.proto.containerd.task.StartRequest;
import dev.coldstart.proto.containerd.task.StartResponse;
import dev.coldstart.proto.containerd.task.StateRequest;
import dev.coldstart.proto.containerd.task.StateResponse;
import dev.coldstart.proto.containerd.task.StatsRequest;
import dev.coldstart.proto.containerd.task.StatsResponse;
import dev.coldstart.proto.containerd.task.UpdateTaskRequest;
import dev.coldstart.proto.containerd.task.WaitRequest;
import dev.coldstart.proto.containerd.task.WaitResponse;
import dev.coldstart.proto.containerd.types.Mount;
import dev.coldstart.proto.containerd.v1.types.ProcessInfo;
import dev.coldstart.proto.containerd.v1.types.Status;
import dev.coldstart.shim.event.EventsReceiver;
import dev.coldstart.shim.event.Publisher;
import dev.coldstart.shim.process.Children;
import dev.coldstart.shim.process.Reaper;
import dev.coldstart.shim.runc.SealedRuntime;
import dev.coldstart.shim.snapshot.Snapshots;
import dev.coldstart.shim.ttrpc.Client;
import dev.coldstart.shim.ttrpc.Code;
import dev.coldstart.shim.ttrpc.Server;
import dev.coldstart.shim.ttrpc.StatusException;
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The service over its socket, with a scripted runtime and containerd's end of the events. */
@Timeout(60)
class TaskServiceTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    private final Reaper reaper = Children.reaper();

    @TempDir
    Path directory;

    private ScriptedRuntime runtime;
    private EventsReceiver events;
    private Publisher publisher;
    private TaskService service;
    private Server server;
    private Client client;

    @BeforeEach
    void start() throws IOException {
        runtime = ScriptedRuntime.in(directory);
        events = new EventsReceiver(directory.resolve("events"));
        publisher = Publisher.start(Optional.of(directory.resolve("events")), "ns", Duration.ofMillis(50));
        Node node = new Node(
                "ns",
                System.getenv(),
                reaper,
                new SealedRuntime(directory.resolve("none")),
                publisher,
                new Snapshots(directory.resolve("none")));
        service = new TaskService(() -> node);
        server = Server.start(directory.resolve("s"), service.methods());
        client = Client.connect(directory.resolve("s"));
    }

    @AfterEach
    void stop() throws Exception {
        try {
            call("Kill", KillRequest.newBuilder().setId("c").setSignal(9).build());
        } catch (StatusException e) {
            assertThat(e.code()).isIn(Code.NOT_FOUND, Code.UNKNOWN);
        }
        client.close();
        server.close();
        publisher.close(LIMIT);
        events.close();
    }

    private ByteString call(String method, MessageLite request) throws Exception {
        return client.call("containerd.task.v3.Task", method, request, Map.of(), LIMIT);
    }

    private CreateTaskRequest.Builder create() {
        return CreateTaskRequest.newBuilder()
                .setId("c")
                .setBundle(runtime.bundle().toString())
                .setOptions(runtime.options());
    }

    private int created() throws Exception {
        return CreateTaskResponse.parseFrom(call("Create", create().build())).getPid();
    }

    private int started(String exec) throws Exception {
        return StartResponse.parseFrom(call(
                        "Start",
                        StartRequest.newBuilder().setId("c").setExecId(exec).build()))
                .getPid();
    }

    private void exec(String id) throws Exception {
        exec(id, "");
    }

    private void exec(String id, String stdout) throws Exception {
        call(
                "Exec",
                ExecProcessRequest.newBuilder()
                        .setId("c")
                        .setExecId(id)
                        .setStdout(stdout)
                        .setSpec(Any.newBuilder().setValue(ByteString.copyFromUtf8("{\"args\":[\"a\"]}")))
                        .build());
    }

    private StateResponse state(String exec) throws Exception {
        return StateResponse.parseFrom(call(
                "State", StateRequest.newBuilder().setId("c").setExecId(exec).build()));
    }

    private int waited(String exec) throws Exception {
        return WaitResponse.parseFrom(call(
                        "Wait",
                        WaitRequest.newBuilder().setId("c").setExecId(exec).build()))
                .getExitStatus();
    }

    private DeleteResponse deleted(String exec) throws Exception {
        return DeleteResponse.parseFrom(call(
                "Delete", DeleteRequest.newBuilder().setId("c").setExecId(exec).build()));
    }

    private void kill(String exec, int signal) throws Exception {
        call(
                "Kill",
                KillRequest.newBuilder()
                        .setId("c")
                        .setExecId(exec)
                        .setSignal(signal)
                        .build());
    }

    private List<String> topics(int count) throws Exception {
        List<String> topics = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            topics.add(events.next().getTopic());
        }
        return topics;
    }

    private static void assertCode(int code, org.assertj.core.api.ThrowableAssert.ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        StatusException.class, e -> assertThat(e.code()).isEqualTo(code));
    }

    @Test
    void livesAndDies() throws Exception {
        runtime.init("exit 7");
        int pid = created();
        assertThat(state("").getStatus()).isEqualTo(Status.CREATED);
        assertThat(state("").getPid()).isEqualTo(pid).isPositive();
        assertThat(started("")).isEqualTo(pid);
        assertThat(waited("")).isEqualTo(7);
        assertThat(waited("")).isEqualTo(7);
        StateResponse state = state("");
        assertThat(state.getStatus()).isEqualTo(Status.STOPPED);
        assertThat(state.getExitStatus()).isEqualTo(7);
        assertThat(state.getExitedAt().getSeconds()).isPositive();
        DeleteResponse deleted = deleted("");
        assertThat(deleted.getExitStatus()).isEqualTo(7);
        assertThat(deleted.getPid()).isEqualTo(pid);
        assertCode(Code.NOT_FOUND, () -> state(""));
        assertCode(Code.NOT_FOUND, () -> deleted(""));
        assertThat(topics(4)).containsExactly("/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete");
    }

    @Test
    void aProcessThatEndsAtOnceStillStartsFirst() throws Exception {
        for (int i = 0; i < 10; i++) {
            runtime.init("exit 0");
            created();
            started("");
            waited("");
            deleted("");
            Files.delete(runtime.bundle().resolve("started"));
            assertThat(topics(4)).containsExactly("/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete");
        }
    }

    @Test
    void aFailedCreateLeavesNothing() throws Exception {
        runtime.failAt("create", "no such binary");
        assertThatThrownBy(this::created)
                .hasMessage("OCI runtime create failed: no such binary")
                .isInstanceOfSatisfying(
                        StatusException.class, e -> assertThat(e.code()).isEqualTo(Code.UNKNOWN));
        assertCode(Code.NOT_FOUND, () -> state(""));
        Files.delete(runtime.bundle().resolve("fail-create"));
        created();
        assertThat(topics(1)).containsExactly("/tasks/create");
        assertThat(events.isEmpty()).isTrue();
    }

    @Test
    void whatIsAskedDuringCreateWaitsForIt() throws Exception {
        runtime.holdAt("create");
        CompletableFuture<Integer> pid = new CompletableFuture<>();
        Thread.ofVirtual().start(() -> {
            try {
                pid.complete(created());
            } catch (Exception e) {
                pid.completeExceptionally(e);
            }
        });
        while (!runtime.holds("create")) {
            Thread.sleep(10);
        }
        CompletableFuture<Status> status = new CompletableFuture<>();
        Thread.ofVirtual().start(() -> {
            try {
                status.complete(state("").getStatus());
            } catch (Exception e) {
                status.completeExceptionally(e);
            }
        });
        Thread.sleep(50);
        runtime.release("create");
        assertThat(status.get()).isEqualTo(Status.CREATED);
        assertThat(pid.get()).isPositive();
    }

    @Test
    void aContainerThatIsGivenUpDuringCreateIsNotLeft() throws Exception {
        runtime.holdAt("create");
        CompletableFuture<Throwable> failure = new CompletableFuture<>();
        Thread.ofVirtual().start(() -> {
            try {
                failure.complete(new AssertionError("created as " + created()));
            } catch (Exception e) {
                failure.complete(e);
            }
        });
        while (!runtime.holds("create")) {
            Thread.sleep(10);
        }
        call("Shutdown", ShutdownRequest.newBuilder().setId("other").build());
        call("Shutdown", ShutdownRequest.newBuilder().setId("c").build());
        assertThat(service.shutdown()).isNotDone();
        runtime.release("create");
        assertThat(failure.get())
                .isInstanceOfSatisfying(
                        StatusException.class, e -> assertThat(e.code()).isEqualTo(Code.UNAVAILABLE));
        service.shutdown().get();
        assertThat(runtime.calls())
                .satisfiesExactly(
                        call -> assertThat(call).contains(" create "),
                        call -> assertThat(call).contains(" delete "));
        assertCode(Code.UNAVAILABLE, this::created);
        assertThat(events.isEmpty()).isTrue();
    }

    @Test
    void aShimEndsWhenItsBundleIsGone() throws Exception {
        Thread waiting = Thread.ofVirtual().start(() -> {
            try {
                service.awaitEnd(directory.resolve("gone"));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        assertThat(waiting.join(LIMIT)).isTrue();
    }

    @Test
    void aShimEndsWhoseContainersAreGoneAndThatNobodyEnds() throws Exception {
        created();
        started("");
        kill("", 9);
        assertThat(waited("")).isEqualTo(137);
        deleted("");
        Thread waiting = Thread.ofVirtual().start(() -> {
            try {
                service.awaitEnd(runtime.bundle());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        assertThat(waiting.join(LIMIT.multipliedBy(2))).isTrue();
        assertCode(Code.UNAVAILABLE, this::created);
    }

    @Test
    void anExecWhoseClientIsGoneDoesNotHoldUpItsContainer() throws Exception {
        Path fifo = fifo("out");
        created();
        started("");
        exec("e", fifo.toString());
        CompletableFuture<Throwable> failure = new CompletableFuture<>();
        Thread.ofVirtual().start(() -> {
            try {
                failure.complete(new AssertionError("started as " + started("e")));
            } catch (Exception e) {
                failure.complete(e);
            }
        });
        while (!Files.exists(runtime.bundle().resolve("e.pid"))) {
            Thread.sleep(10);
        }
        Thread.sleep(50);
        Files.delete(fifo);
        assertThat(failure.get()).hasMessageContaining("stdio cannot be opened");
        kill("", 9);
        assertThat(waited("")).isEqualTo(137);
        deleted("");
    }

    @Test
    void allThatAnExecWroteIsReadAfterItsDeletion() throws Exception {
        Path fifo = fifo("out");
        created();
        started("");
        // More than the fifo holds, and less than fifo and pipe: it ends while nobody reads.
        runtime.exec("head -c 100000 /dev/zero");
        exec("e", fifo.toString());
        CompletableFuture<InputStream> reader = new CompletableFuture<>();
        Thread.ofPlatform().daemon().start(() -> {
            try {
                reader.complete(new FileInputStream(fifo.toFile()));
            } catch (IOException e) {
                reader.completeExceptionally(e);
            }
        });
        started("e");
        assertThat(waited("e")).isZero();
        CompletableFuture<DeleteResponse> deletion = new CompletableFuture<>();
        Thread.ofVirtual().start(() -> {
            try {
                deletion.complete(deleted("e"));
            } catch (Exception e) {
                deletion.completeExceptionally(e);
            }
        });
        Thread.sleep(200);
        try (InputStream in = reader.get()) {
            assertThat(in.readAllBytes()).hasSize(100000);
        }
        assertThat(deletion.get().getExitStatus()).isZero();
    }

    @Test
    void inputMayEndBeforeItsProcessBegins() throws Exception {
        Path fifo = fifo("in");
        created();
        started("");
        runtime.exec("exec cat");
        call(
                "Exec",
                ExecProcessRequest.newBuilder()
                        .setId("c")
                        .setExecId("e")
                        .setStdin(fifo.toString())
                        .setSpec(Any.newBuilder().setValue(ByteString.copyFromUtf8("{\"args\":[\"a\"]}")))
                        .build());
        call(
                "CloseIO",
                CloseIORequest.newBuilder()
                        .setId("c")
                        .setExecId("e")
                        .setStdin(true)
                        .build());
        started("e");
        assertThat(waited("e")).isZero();
    }

    @Test
    void aMissingRuntimeIsSaid() {
        assertThatThrownBy(() -> call(
                        "Create",
                        create().setOptions(new ScriptedRuntime(Path.of("/nowhere/runc"), runtime.bundle()).options())
                                .build()))
                .hasMessageContaining("The OCI runtime \"/nowhere/runc\" cannot be run")
                .hasMessageContaining("ENOENT");
    }

    @Test
    void aFailedStartCanBeDeleted() throws Exception {
        runtime.failAt("start", "broken");
        created();
        assertThatThrownBy(() -> started("")).hasMessage("OCI runtime start failed: broken");
        assertThat(state("").getStatus()).isEqualTo(Status.CREATED);
        assertThat(deleted("").getExitStatus()).isEqualTo(137);
        assertThat(topics(3)).containsExactly("/tasks/create", "/tasks/exit", "/tasks/delete");
    }

    @Test
    void killedBeforeItsStart() throws Exception {
        created();
        kill("", 9);
        assertThat(waited("")).isEqualTo(137);
        assertThat(state("").getStatus()).isEqualTo(Status.STOPPED);
        assertCode(Code.UNKNOWN, () -> started(""));
        deleted("");
        assertThat(topics(3)).containsExactly("/tasks/create", "/tasks/exit", "/tasks/delete");
    }

    @Test
    void theFirstProcessEndsLast() throws Exception {
        created();
        started("");
        for (String id : List.of("x1", "x2", "x3")) {
            exec(id);
            started(id);
        }
        kill("", 9);
        // The kernel ends them with their pid namespace; the scripted runtime has none.
        for (String id : List.of("x1", "x2", "x3")) {
            kill(id, 9);
        }
        assertThat(waited("")).isEqualTo(137);
        List<Envelope> exits = new ArrayList<>();
        while (exits.size() < 4) {
            Envelope event = events.next();
            if (event.getTopic().equals("/tasks/exit")) {
                exits.add(event);
            }
        }
        List<String> ids = new ArrayList<>();
        for (Envelope exit : exits) {
            ids.add(TaskExit.parseFrom(exit.getEvent().getValue()).getId());
        }
        assertThat(ids).containsExactlyInAnyOrder("x1", "x2", "x3", "c").endsWith("c");
    }

    @Test
    void execsHaveTheirOwnLives() throws Exception {
        runtime.exec("exit 3");
        created();
        started("");
        exec("x");
        assertCode(Code.ALREADY_EXISTS, () -> exec("x"));
        assertCode(Code.ALREADY_EXISTS, () -> exec("c"));
        assertCode(Code.FAILED_PRECONDITION, () -> kill("x", 9));
        assertCode(Code.NOT_FOUND, () -> started("y"));
        int pid = started("x");
        assertThat(waited("x")).isEqualTo(3);
        assertThat(state("x").getStatus()).isEqualTo(Status.STOPPED);
        assertCode(Code.NOT_FOUND, () -> kill("x", 9));
        assertThat(deleted("x").getPid()).isEqualTo(pid);
        assertCode(Code.NOT_FOUND, () -> state("x"));
        assertThat(topics(5))
                .containsExactly(
                        "/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started", "/tasks/exit");
    }

    @Test
    void aFailedExecStaysCreatedAndHoldsNobodyUp() throws Exception {
        runtime.failAt("exec", "no such file");
        created();
        started("");
        exec("x");
        assertThatThrownBy(() -> started("x")).hasMessage("OCI runtime exec failed: no such file");
        assertThat(state("x").getStatus()).isEqualTo(Status.CREATED);
        assertThat(waited("x")).isZero();
        assertThat(deleted("x").getExitStatus()).isZero();
    }

    @Test
    void anExecOfADeadContainerIsRefused() throws Exception {
        created();
        started("");
        exec("x");
        kill("", 9);
        waited("");
        assertThatThrownBy(() -> started("x"))
                .isInstanceOfSatisfying(
                        StatusException.class, e -> assertThat(e.code()).isEqualTo(Code.FAILED_PRECONDITION))
                .hasMessageContaining("init process is not running");
    }

    @Test
    void pausesAndResumes() throws Exception {
        created();
        started("");
        call("Pause", PauseRequest.newBuilder().setId("c").build());
        assertThat(state("").getStatus()).isEqualTo(Status.PAUSED);
        assertCode(
                Code.UNKNOWN,
                () -> call("Pause", PauseRequest.newBuilder().setId("c").build()));
        assertCode(Code.UNKNOWN, () -> deleted(""));
        call("Resume", ResumeRequest.newBuilder().setId("c").build());
        assertThat(state("").getStatus()).isEqualTo(Status.RUNNING);
        runtime.failAt("pause", "cannot freeze");
        assertThatThrownBy(
                        () -> call("Pause", PauseRequest.newBuilder().setId("c").build()))
                .hasMessage("OCI runtime pause failed: cannot freeze");
        assertThat(state("").getStatus()).isEqualTo(Status.RUNNING);
    }

    @Test
    void killMapsTheRuntimesWords() throws Exception {
        created();
        started("");
        runtime.failAt("kill", "container not running");
        assertCode(Code.NOT_FOUND, () -> kill("", 15));
        runtime.failAt("kill", "invalid signal");
        assertCode(Code.UNKNOWN, () -> kill("", 15));
        Files.delete(runtime.bundle().resolve("fail-kill"));
        kill("", 9);
        waited("");
        runtime.failAt("kill", "words of another runtime");
        assertCode(Code.NOT_FOUND, () -> kill("", 9));
    }

    @Test
    void connectKnowsAnybodyAndShutdownWaitsForTheLast() throws Exception {
        ConnectResponse connect = ConnectResponse.parseFrom(
                call("Connect", ConnectRequest.newBuilder().setId("unknown").build()));
        assertThat(connect.getShimPid()).isEqualTo((int) ProcessHandle.current().pid());
        assertThat(connect.getTaskPid()).isZero();
        created();
        call("Shutdown", ShutdownRequest.newBuilder().setId("c").build());
        assertThat(service.shutdown()).isNotDone();
        deleted("");
        call("Shutdown", ShutdownRequest.newBuilder().setId("c").build());
        assertThat(service.shutdown()).isDone();
    }

    @Test
    void runtimesFindTheirWayInDelete() throws Exception {
        created();
        assertThat(runtime.bundle().resolve("runtime"))
                .hasContent(runtime.binary().toString());
        assertThat(runtime.bundle().resolve("runtime-root"))
                .hasContent(runtime.bundle().resolve("root/ns").toString());
    }

    @Test
    void outputGoesToFifosAndFiles() throws Exception {
        Path log = directory.resolve("logs/out");
        runtime.init("echo out; echo err >&2; exit 0");
        call(
                "Create",
                create().setStdout("file://" + log).setStderr("file://" + log).build());
        started("");
        waited("");
        deleted("");
        assertThat(log).hasContent("out\nerr\n");
        Files.delete(runtime.bundle().resolve("started"));

        Path fifo = fifo("fifo");
        runtime.init("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
        var lines = java.util.concurrent.CompletableFuture.supplyAsync(() -> {
            try {
                return Files.readAllLines(fifo);
            } catch (IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        });
        call("Create", create().setStdout(fifo.toString()).build());
        started("");
        waited("");
        deleted("");
        assertThat(lines.get()).hasSize(20000).endsWith("line 19999");
    }

    @Test
    void logFilesGrow() throws Exception {
        Path log = Files.writeString(directory.resolve("log"), "before\n");
        runtime.init("echo after; exit 0");
        call("Create", create().setStdout("file://" + log).build());
        started("");
        waited("");
        deleted("");
        assertThat(log).hasContent("before\nafter\n");
    }

    private Path fifo(String name) throws Exception {
        Path fifo = directory.resolve(name);
        assertThat(reaper.spawn(new Spawn(List.of("mkfifo", fifo.toString())))
                        .await(LIMIT)
                        .orElseThrow()
                        .status())
                .isZero();
        return fifo;
    }

    private static void await(BooleanSupplier condition) throws InterruptedException {
        for (long end = System.nanoTime() + LIMIT.toNanos(); !condition.getAsBoolean(); Thread.sleep(10)) {
            assertThat(System.nanoTime()).isLessThan(end);
        }
    }

    private static <T> CompletableFuture<T> meanwhile(Callable<T> task) {
        CompletableFuture<T> result = new CompletableFuture<>();
        Thread.ofPlatform().daemon().start(() -> {
            try {
                result.complete(task.call());
            } catch (Exception e) {
                result.completeExceptionally(e);
            }
        });
        return result;
    }

    @Test
    void aClientMayGoAndAnotherCome() throws Exception {
        Path fifo = fifo("out");
        runtime.init("""
                echo one
                while [ ! -e gone ]; do sleep 0.01; done
                echo two || exit 9
                : >said
                while [ ! -e back ]; do sleep 0.01; done
                echo three || exit 9
                exit 0
                """);
        CompletableFuture<String> first = meanwhile(() -> {
            try (BufferedReader reader = Files.newBufferedReader(fifo)) {
                return String.valueOf(reader.readLine());
            }
        });
        call("Create", create().setStdout(fifo.toString()).build());
        started("");
        assertThat(first.get()).isEqualTo("one");
        Files.createFile(runtime.bundle().resolve("gone"));
        await(() -> Files.exists(runtime.bundle().resolve("said")));
        CompletableFuture<List<String>> second = meanwhile(() -> {
            try (BufferedReader reader = Files.newBufferedReader(fifo)) {
                Files.createFile(runtime.bundle().resolve("back"));
                return reader.lines().toList();
            }
        });
        assertThat(waited("")).isZero();
        deleted("");
        assertThat(second.get()).containsExactly("two", "three");
    }

    @Test
    void aLoggerIsReadyBeforeTheContainerAndWritesAllItSays() throws Exception {
        Path logger = Files.writeString(directory.resolve("logger"), """
                #!/bin/sh
                cd "$(dirname "$0")"
                echo "$# $1 $2 $CONTAINER_NAMESPACE $CONTAINER_ID ${PATH:+}" >logger-began
                sleep 0.2
                : >logger-ready
                exec 5>&-
                cat <&4 >logger-err &
                cat <&3 >logger-out
                wait
                """);
        Files.setPosixFilePermissions(logger, PosixFilePermissions.fromString("rwx------"));
        runtime.init("echo out; echo err >&2; exit 0");
        String uri = "binary://" + logger + "?key=a%20value";
        call("Create", create().setStdout(uri).setStderr(uri).build());
        assertThat(directory.resolve("logger-ready")).exists();
        assertThat(directory.resolve("logger-began")).hasContent("2 key a value ns c \n");
        started("");
        assertThat(waited("")).isZero();
        deleted("");
        assertThat(directory.resolve("logger-out")).hasContent("out\n");
        assertThat(directory.resolve("logger-err")).hasContent("err\n");
    }

    @Test
    void aLoggerThatCannotRunIsSaid() {
        assertThatThrownBy(() -> call(
                        "Create", create().setStdout("binary:///nowhere/logger").build()))
                .hasMessageContaining("/nowhere/logger");
        assertCode(Code.NOT_FOUND, () -> state(""));
    }

    @Test
    void stateWaitsForNoRuntime() throws Exception {
        created();
        started("");
        runtime.holdAt("pause");
        try (Client other = Client.connect(directory.resolve("s"))) {
            CompletableFuture<ByteString> pause = meanwhile(() -> other.call(
                    "containerd.task.v2.Task",
                    "Pause",
                    PauseRequest.newBuilder().setId("c").build(),
                    Map.of(),
                    LIMIT));
            await(() -> runtime.holds("pause"));
            assertThat(state("").getStatus()).isEqualTo(Status.PAUSING);
            assertThat(PidsResponse.parseFrom(call(
                                    "Pids", PidsRequest.newBuilder().setId("c").build()))
                            .getProcessesList())
                    .extracting(ProcessInfo::getPid)
                    .contains(state("").getPid());
            assertThat(pause).isNotDone();
            runtime.release("pause");
            pause.get();
        }
        assertThat(state("").getStatus()).isEqualTo(Status.PAUSED);
    }

    @Test
    void statsAreThereBeforeTheStart() throws Exception {
        created();
        Any stats = StatsResponse.parseFrom(
                        call("Stats", StatsRequest.newBuilder().setId("c").build()))
                .getStats();
        assertThat(stats.getTypeUrl()).matches("io\\.containerd\\.cgroups\\.v[12]\\.Metrics");
        assertThat(stats.getValue().isEmpty()).isFalse();
    }

    @Test
    void anUpdateMayNameAFewLimitsOnly() throws Exception {
        created();
        started("");
        String resources = "{\"cpu\":{\"shares\":512}}";
        UpdateTaskRequest update = UpdateTaskRequest.newBuilder()
                .setId("c")
                .setResources(Any.newBuilder().setValue(ByteString.copyFromUtf8(resources)))
                .build();
        call("Update", update);
        assertThat(runtime.bundle().resolve("updated")).hasContent(resources);
        kill("", 9);
        waited("");
        assertCode(Code.UNKNOWN, () -> call("Update", update));
    }

    @Test
    void systemdManagesTheGroupIfItsPathSaysSo() throws Exception {
        created();
        assertThat(runtime.calls()).noneMatch(call -> call.contains("--systemd-cgroup"));
        deleted("");
        Files.writeString(
                runtime.bundle().resolve("config.json"),
                "{\"linux\":{\"cgroupsPath\":\"kubepods-pod1.slice:cri-containerd:c\",\"namespaces\":[{\"type\":\"pid\"}]}}");
        Files.delete(runtime.bundle().resolve("calls"));
        created();
        deleted("");
        assertThat(runtime.calls()).isNotEmpty().allMatch(call -> call.contains("--systemd-cgroup"));
    }

    @Test
    void anExecThatNeverStartedIsDeletedWithStatusZero() throws Exception {
        created();
        started("");
        exec("x");
        assertThat(deleted("x").getExitStatus()).isZero();
        exec("x");
    }

    @Test
    void manyWaitForOneEnd() throws Exception {
        runtime.init("while [ ! -e go ]; do sleep 0.01; done; exit 5");
        created();
        started("");
        List<CompletableFuture<Integer>> waiting = new ArrayList<>();
        for (int i = 0; i < 16; i++) {
            waiting.add(meanwhile(() -> waited("")));
        }
        Files.createFile(runtime.bundle().resolve("go"));
        for (CompletableFuture<Integer> one : waiting) {
            assertThat(one.get()).isEqualTo(5);
        }
    }

    @Test
    void theRootFileSystemIsMountedWhileTheContainerIs() throws Exception {
        assumeTrue("root".equals(System.getProperty("user.name")), "needs root: mounts");
        Path layer = Files.createDirectories(directory.resolve("layer"));
        Files.createFile(layer.resolve("file"));
        Path inside = runtime.bundle().resolve("rootfs/file");
        CreateTaskRequest request = create().addRootfs(Mount.newBuilder()
                        .setType("bind")
                        .setSource(layer.toString())
                        .addOptions("bind"))
                .build();
        try {
            runtime.failAt("create", "broken");
            assertCode(Code.UNKNOWN, () -> call("Create", request));
            assertThat(inside).doesNotExist();
            Files.delete(runtime.bundle().resolve("fail-create"));
            call("Create", request);
            assertThat(inside).exists();
            deleted("");
            assertThat(inside).doesNotExist();
        } finally {
            new Rootfs(runtime.bundle()).unmount();
        }
    }

    /** Descriptors and threads of this process. */
    private static int held() throws IOException {
        int count = 0;
        for (String kind : List.of("fd", "task")) {
            try (var all = Files.list(Path.of("/proc/self", kind))) {
                count += (int) all.count();
            }
        }
        return count;
    }

    @Test
    @Timeout(600)
    void aThousandContainersLeaveNothing() throws Exception {
        ExecutorService eight = Executors.newFixedThreadPool(8);
        try {
            runThrough(eight, 0, 100);
            int before = held();
            runThrough(eight, 100, 1100);
            // Threads of the pools that all share come and go.
            await(() -> {
                try {
                    return held() <= before + 8;
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
        } finally {
            eight.shutdownNow();
        }
    }

    private void runThrough(ExecutorService threads, int from, int to) throws Exception {
        List<Future<?>> all = new ArrayList<>();
        for (int i = from; i < to; i++) {
            String id = "c" + i;
            all.add(threads.submit(() -> runThrough(id)));
        }
        for (Future<?> one : all) {
            one.get();
        }
        for (int i = from; i < to; i++) {
            topics(4);
        }
    }

    private Void runThrough(String id) throws Exception {
        ScriptedRuntime own = ScriptedRuntime.in(Files.createDirectory(directory.resolve(id)));
        own.init("exit 0");
        call(
                "Create",
                CreateTaskRequest.newBuilder()
                        .setId(id)
                        .setBundle(own.bundle().toString())
                        .setOptions(own.options())
                        .setStdout("file://" + directory.resolve("out"))
                        .build());
        call("Start", StartRequest.newBuilder().setId(id).build());
        call("Wait", WaitRequest.newBuilder().setId(id).build());
        call("Delete", DeleteRequest.newBuilder().setId(id).build());
        return null;
    }

    @Test
    void noDescriptorsAreLeft() throws Exception {
        runtime.init("exit 0");
        Path log = directory.resolve("out");
        int before = 0;
        for (int i = 0; i < 6; i++) {
            call("Create", create().setStdout("file://" + log).build());
            started("");
            waited("");
            deleted("");
            Files.delete(runtime.bundle().resolve("started"));
            topics(4);
            try (var open = Files.list(Path.of("/proc/self/fd"))) {
                int now = (int) open.count();
                if (i == 2) {
                    before = now;
                } else if (i > 2) {
                    assertThat(now).isLessThanOrEqualTo(before);
                }
            }
        }
    }
}
