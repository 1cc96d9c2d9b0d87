package dev.coldstart.shim.task;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Empty;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import dev.coldstart.proto.containerd.events.TaskCreate;
import dev.coldstart.proto.containerd.events.TaskDelete;
import dev.coldstart.proto.containerd.events.TaskIO;
import dev.coldstart.proto.containerd.runc.ProcessDetails;
import dev.coldstart.proto.containerd.task.CheckpointTaskRequest;
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
import dev.coldstart.proto.containerd.task.ResizePtyRequest;
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
import dev.coldstart.proto.containerd.v1.types.ProcessInfo;
import dev.coldstart.proto.containerd.v1.types.Status;
import dev.coldstart.shim.event.Publisher;
import dev.coldstart.shim.process.Exit;
import dev.coldstart.shim.stdio.Stdio;
import dev.coldstart.shim.ttrpc.Code;
import dev.coldstart.shim.ttrpc.Methods;
import dev.coldstart.shim.ttrpc.StatusException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * The methods of {@code containerd.task.v2.Task} and {@code containerd.task.v3.Task}, which differ in their package
 * alone. Facts: containerd cmd/containerd-shim-runc-v2/task/service.go.
 */
public final class TaskService {
    /** How often a shim without containers looks whether anybody knows of it. */
    private static final Duration FORGOTTEN = Duration.ofSeconds(10);

    private final Supplier<Node> node;
    private final CompletableFuture<@Nullable Void> shutdown = new CompletableFuture<>();
    private final Map<String, Container> containers = new ConcurrentHashMap<>();
    /** Done when the container is there, or will not be. */
    private final Map<String, CompletableFuture<@Nullable Void>> creating = new ConcurrentHashMap<>();
    /** Of those being created: the ones that containerd has given up meanwhile. */
    private final Set<String> unwanted = ConcurrentHashMap.newKeySet();
    /** Held while a container comes, and while it is decided that none is left. */
    private final Object population = new Object();

    /** Whether there was a container. Guarded by population. */
    private boolean populated;

    /** @param node asked for with the first container, because it takes longer to make than the first answer may */
    public TaskService(Supplier<Node> node) {
        this.node = node;
    }

    /** Done when containerd has told the shim to end and no container is left. */
    CompletableFuture<@Nullable Void> shutdown() {
        return shutdown;
    }

    /**
     * Waits until containerd has told the shim to end and no container is left. It also ends when nobody can ask it for anything:
     * containerd was killed while it made a container, and the next one threw the bundle away; or when its last container has
     * been deleted and nothing followed: containerd was stopped in between, and the next one keeps the shim for good until it ends
     * by itself.
     *
     * @param bundle of the first container
     */
    public void awaitEnd(Path bundle) throws InterruptedException {
        boolean deserted = false;
        while (true) {
            try {
                shutdown.get(FORGOTTEN.toSeconds(), TimeUnit.SECONDS);
                return;
            } catch (TimeoutException e) {
                synchronized (population) {
                    if (isEmpty() && (deserted || !Files.exists(bundle))) {
                        shutdown.complete(null);
                        return;
                    }
                    // From one look to the next, so that a Shutdown that follows at once is not overtaken.
                    deserted = isEmpty() && populated;
                }
            } catch (ExecutionException e) {
                throw new IllegalStateException("the end is never exceptional", e);
            }
        }
    }

    private boolean isEmpty() {
        synchronized (population) {
            return containers.isEmpty() && creating.isEmpty();
        }
    }

    /** Both services, ready for a server. */
    public Methods methods() {
        Methods methods = new Methods();
        for (String service : new String[] {"containerd.task.v2.Task", "containerd.task.v3.Task"}) {
            methods.add(service, "Create", this::create)
                    .add(service, "Start", this::start)
                    .add(service, "State", this::state)
                    .add(service, "Kill", this::kill)
                    .addWaiting(service, "Wait", this::await)
                    .add(service, "Delete", this::delete)
                    .add(service, "Exec", this::exec)
                    .add(service, "Pids", this::pids)
                    .add(service, "Stats", this::stats)
                    .add(service, "CloseIO", this::closeIo)
                    .add(service, "ResizePty", this::resizePty)
                    .add(service, "Connect", this::connect)
                    .add(service, "Shutdown", this::shutdown)
                    .add(service, "Pause", this::pause)
                    .add(service, "Resume", this::resume)
                    .add(service, "Update", this::update)
                    .add(service, "Checkpoint", this::checkpoint);
        }
        return methods;
    }

    /**
     * A container, also one that is being made: a client that has written all its input says so as soon as the fifo is open,
     * which is before Create answers.
     */
    private Container container(String id) throws StatusException {
        @Nullable CompletableFuture<@Nullable Void> coming = creating.get(id);
        if (coming != null) {
            coming.join();
        }
        @Nullable Container container = containers.get(id);
        if (container == null) {
            throw new StatusException(Code.NOT_FOUND, "container not created: not found");
        }
        return container;
    }

    private MessageLite create(ByteString payload)
            throws StatusException, InvalidProtocolBufferException, InterruptedException {
        CreateTaskRequest request = CreateTaskRequest.parseFrom(payload);
        String id = request.getId();
        CompletableFuture<@Nullable Void> done = new CompletableFuture<>();
        synchronized (population) {
            if (shutdown.isDone()) {
                throw new StatusException(Code.UNAVAILABLE, "the shim of container " + id + " ends: unavailable");
            }
            if (containers.containsKey(id) || creating.putIfAbsent(id, done) != null) {
                throw new StatusException(Code.ALREADY_EXISTS, "container " + id + ": already exists");
            }
        }
        try {
            Container container = Container.create(node.get(), request);
            synchronized (population) {
                if (!unwanted.contains(id)) {
                    node.get().publish("/tasks/create", "containerd.events.TaskCreate", created(container));
                    containers.put(id, container);
                    populated = true;
                }
            }
            if (!containers.containsKey(id)) {
                container.abandon();
                throw new StatusException(Code.UNAVAILABLE, "container " + id + " was given up: unavailable");
            }
            container.watchEnd();
            return CreateTaskResponse.newBuilder()
                    .setPid(container.init().pid())
                    .build();
        } finally {
            synchronized (population) {
                creating.remove(id);
                if (unwanted.remove(id)) {
                    endIfEmpty();
                }
            }
            done.complete(null);
        }
    }

    private void endIfEmpty() {
        if (isEmpty()) {
            shutdown.complete(null);
        }
    }

    private static TaskCreate created(Container container) {
        CreateTaskRequest request = container.request();
        return TaskCreate.newBuilder()
                .setContainerId(request.getId())
                .setBundle(request.getBundle())
                .addAllRootfs(request.getRootfsList())
                .setIo(TaskIO.newBuilder()
                        .setStdin(request.getStdin())
                        .setStdout(request.getStdout())
                        .setStderr(request.getStderr())
                        .setTerminal(request.getTerminal()))
                .setCheckpoint(request.getCheckpoint())
                .setPid(container.init().pid())
                .build();
    }

    private MessageLite start(ByteString payload)
            throws StatusException, InvalidProtocolBufferException, InterruptedException {
        StartRequest request = StartRequest.parseFrom(payload);
        Container container = container(request.getId());
        int pid = request.getExecId().isEmpty() ? container.start() : container.startExec(request.getExecId());
        return StartResponse.newBuilder().setPid(pid).build();
    }

    private MessageLite state(ByteString payload) throws StatusException, InvalidProtocolBufferException {
        StateRequest request = StateRequest.parseFrom(payload);
        Container container = container(request.getId());
        Task task = container.task(request.getExecId());
        Status status = container.status(task);
        StateResponse.Builder state = StateResponse.newBuilder()
                .setId(task.id())
                .setBundle(container.bundle())
                .setPid(task.pid())
                .setStatus(status)
                .setStdin(task.streams().stdin())
                .setStdout(task.streams().stdout())
                .setStderr(task.streams().stderr())
                .setTerminal(task.streams().terminal())
                .setExecId(request.getExecId());
        if (task.status() == Status.STOPPED) {
            Exit exit = task.ended().join();
            state.setExitStatus(exit.status()).setExitedAt(Publisher.timestamp(exit.at()));
        }
        return state.build();
    }

    private MessageLite kill(ByteString payload)
            throws StatusException, InvalidProtocolBufferException, InterruptedException {
        KillRequest request = KillRequest.parseFrom(payload);
        container(request.getId()).kill(request.getExecId(), request.getSignal(), request.getAll());
        return Empty.getDefaultInstance();
    }

    private MessageLite await(ByteString payload)
            throws StatusException, InvalidProtocolBufferException, InterruptedException {
        WaitRequest request = WaitRequest.parseFrom(payload);
        try {
            Exit exit = container(request.getId()).ended(request.getExecId()).get();
            return WaitResponse.newBuilder()
                    .setExitStatus(exit.status())
                    .setExitedAt(Publisher.timestamp(exit.at()))
                    .build();
        } catch (ExecutionException e) {
            throw new IllegalStateException("an end is never exceptional", e);
        }
    }

    private MessageLite delete(ByteString payload)
            throws StatusException, InvalidProtocolBufferException, InterruptedException {
        DeleteRequest request = DeleteRequest.parseFrom(payload);
        Container container = container(request.getId());
        if (!request.getExecId().isEmpty()) {
            int pid = container.task(request.getExecId()).pid();
            return deleted(pid, container.deleteExec(request.getExecId()));
        }
        Exit exit = container.delete();
        containers.remove(request.getId());
        int pid = container.init().pid();
        node.get()
                .publish(
                        "/tasks/delete",
                        "containerd.events.TaskDelete",
                        TaskDelete.newBuilder()
                                .setContainerId(request.getId())
                                .setPid(pid)
                                .setExitStatus(exit.status())
                                .setExitedAt(Publisher.timestamp(exit.at()))
                                .build());
        return deleted(pid, exit);
    }

    private static DeleteResponse deleted(int pid, Exit exit) {
        return DeleteResponse.newBuilder()
                .setPid(pid)
                .setExitStatus(exit.status())
                .setExitedAt(Publisher.timestamp(exit.at()))
                .build();
    }

    private MessageLite exec(ByteString payload) throws StatusException, InvalidProtocolBufferException {
        ExecProcessRequest request = ExecProcessRequest.parseFrom(payload);
        container(request.getId()).exec(request);
        return Empty.getDefaultInstance();
    }

    private MessageLite pids(ByteString payload) throws StatusException, InvalidProtocolBufferException {
        PidsRequest request = PidsRequest.parseFrom(payload);
        PidsResponse.Builder pids = PidsResponse.newBuilder();
        container(request.getId()).processes().forEach((pid, execId) -> {
            ProcessInfo.Builder info = ProcessInfo.newBuilder().setPid(pid);
            if (!execId.isEmpty()) {
                info.setInfo(Any.newBuilder()
                        .setTypeUrl("containerd.runc.v1.ProcessDetails")
                        .setValue(ProcessDetails.newBuilder()
                                .setExecId(execId)
                                .build()
                                .toByteString()));
            }
            pids.addProcesses(info);
        });
        return pids.build();
    }

    private MessageLite stats(ByteString payload) throws StatusException, InvalidProtocolBufferException {
        StatsRequest request = StatsRequest.parseFrom(payload);
        return StatsResponse.newBuilder()
                .setStats(container(request.getId()).metrics())
                .build();
    }

    private MessageLite closeIo(ByteString payload) throws StatusException, InvalidProtocolBufferException {
        CloseIORequest request = CloseIORequest.parseFrom(payload);
        container(request.getId()).task(request.getExecId()).closeStdin();
        return Empty.getDefaultInstance();
    }

    private MessageLite resizePty(ByteString payload) throws StatusException, InvalidProtocolBufferException {
        ResizePtyRequest request = ResizePtyRequest.parseFrom(payload);
        Task task = container(request.getId()).task(request.getExecId());
        if (task.status() == Status.STOPPED && !request.getExecId().isEmpty()) {
            throw new StatusException(Code.UNKNOWN, "cannot resize a stopped process");
        }
        Optional<Stdio> stdio = task.stdio();
        try {
            if (stdio.isPresent()) {
                stdio.get().resize(request.getWidth(), request.getHeight());
            }
        } catch (IOException e) {
            throw new StatusException(Code.UNKNOWN, String.valueOf(e.getMessage()), e);
        }
        return Empty.getDefaultInstance();
    }

    /** Never fails, also for an unknown id: containerd asks it first after its restart. */
    private MessageLite connect(ByteString payload) throws InvalidProtocolBufferException {
        @Nullable
        Container container = containers.get(ConnectRequest.parseFrom(payload).getId());
        return ConnectResponse.newBuilder()
                .setShimPid((int) ProcessHandle.current().pid())
                .setTaskPid(container == null ? 0 : container.init().pid())
                .build();
    }

    private MessageLite shutdown(ByteString payload) throws InvalidProtocolBufferException {
        String id = ShutdownRequest.parseFrom(payload).getId();
        synchronized (population) {
            // containerd may have been restarted while it had this container made: then it throws away what it finds.
            if (creating.containsKey(id)) {
                unwanted.add(id);
            }
            endIfEmpty();
        }
        return Empty.getDefaultInstance();
    }

    private MessageLite pause(ByteString payload)
            throws StatusException, InvalidProtocolBufferException, InterruptedException {
        container(PauseRequest.parseFrom(payload).getId()).pause();
        return Empty.getDefaultInstance();
    }

    private MessageLite resume(ByteString payload)
            throws StatusException, InvalidProtocolBufferException, InterruptedException {
        container(ResumeRequest.parseFrom(payload).getId()).resume();
        return Empty.getDefaultInstance();
    }

    private MessageLite update(ByteString payload)
            throws StatusException, InvalidProtocolBufferException, InterruptedException {
        UpdateTaskRequest request = UpdateTaskRequest.parseFrom(payload);
        container(request.getId()).update(request.getResources().getValue());
        return Empty.getDefaultInstance();
    }

    private MessageLite checkpoint(ByteString payload)
            throws StatusException, InvalidProtocolBufferException, InterruptedException {
        CheckpointTaskRequest request = CheckpointTaskRequest.parseFrom(payload);
        container(request.getId()).checkpoint(request.getPath(), request.getOptions());
        return Empty.getDefaultInstance();
    }
}
