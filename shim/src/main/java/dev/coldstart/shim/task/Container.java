package dev.coldstart.shim.task;

import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.coldstart.linux.Errno;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.PidFd;
import dev.coldstart.proto.containerd.events.TaskExecAdded;
import dev.coldstart.proto.containerd.events.TaskExecStarted;
import dev.coldstart.proto.containerd.events.TaskExit;
import dev.coldstart.proto.containerd.events.TaskOOM;
import dev.coldstart.proto.containerd.events.TaskPaused;
import dev.coldstart.proto.containerd.events.TaskResumed;
import dev.coldstart.proto.containerd.events.TaskStart;
import dev.coldstart.proto.containerd.runc.CheckpointOptions;
import dev.coldstart.proto.containerd.runc.Options;
import dev.coldstart.proto.containerd.task.CreateTaskRequest;
import dev.coldstart.proto.containerd.task.ExecProcessRequest;
import dev.coldstart.proto.containerd.types.Mount;
import dev.coldstart.proto.containerd.v1.types.Status;
import dev.coldstart.proto.v1.RestoreRefused;
import dev.coldstart.proto.v1.Restored;
import dev.coldstart.proto.v1.SnapshotCreated;
import dev.coldstart.proto.v1.SnapshotManifest;
import dev.coldstart.restore.Checkpointer;
import dev.coldstart.restore.Restoration;
import dev.coldstart.restore.RestoreException;
import dev.coldstart.restore.Restorer;
import dev.coldstart.restore.RuncResult;
import dev.coldstart.restore.SnapshotException;
import dev.coldstart.restore.WritableLayer;
import dev.coldstart.restore.key.SnapshotKey;
import dev.coldstart.restore.store.Lookup;
import dev.coldstart.restore.store.StoredSnapshot;
import dev.coldstart.shim.cgroup.Cgroup;
import dev.coldstart.shim.cgroup.OutOfMemoryKills;
import dev.coldstart.shim.cgroup.OutOfMemoryWatch;
import dev.coldstart.shim.event.Publisher;
import dev.coldstart.shim.log.LateLogger;
import dev.coldstart.shim.process.Child;
import dev.coldstart.shim.process.Exit;
import dev.coldstart.shim.process.Reaper;
import dev.coldstart.shim.runc.Runc;
import dev.coldstart.shim.snapshot.Layers;
import dev.coldstart.shim.snapshot.Probe;
import dev.coldstart.shim.snapshot.Readiness;
import dev.coldstart.shim.stdio.Stdio;
import dev.coldstart.shim.stdio.Streams;
import dev.coldstart.shim.ttrpc.Code;
import dev.coldstart.shim.ttrpc.StatusException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A container: its root file system, its first process, the processes that Exec adds, and how it begins (by its entry
 * point, from CRIU images, or from a snapshot of coldstart's).
 *
 * <p>State changes of the container hold the write lock of {@link #changes}, starts of further processes its read lock.
 * The handler of the first process's end takes the write lock too, so an end never overtakes the start event; reading
 * state takes no lock, because clients give it two seconds even while the runtime is slow. Facts: containerd
 * cmd/containerd-shim-runc-v2/{runc/container.go,process/*}.
 */
final class Container {
    private static final System.Logger LOG = new LateLogger(Container.class);
    private static final String SNAPSHOT = "coldstart.dev/snapshot";
    private static final String READY = "coldstart.dev/ready";
    private static final Pattern IDENTIFIER = Pattern.compile("[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*");
    private static final Duration DRAIN_LIMIT = Duration.ofSeconds(10);
    private static final Duration CONSOLE_DRAIN_LIMIT = Duration.ofSeconds(2);
    private static final Duration START_LIMIT = Duration.ofMinutes(10);
    private static final int SNAPSHOT_ATTEMPTS = 6;
    private static final Duration SNAPSHOT_PAUSE = Duration.ofMillis(200);
    private static final int SIGKILL = 9;
    private static final int KILLED_STATUS = 128 + SIGKILL;

    private final Node node;
    private final CreateTaskRequest request;
    private final String id;
    private final Path bundle;
    private final Spec spec;
    private final Options options;
    private final Runc runc;
    private final Rootfs rootfs;
    private final Task init;
    private final Map<String, Task> execs = new ConcurrentHashMap<>();
    private final Map<String, byte[]> execSpecs = new ConcurrentHashMap<>();
    private final Set<Task> running = ConcurrentHashMap.newKeySet();
    private final ReentrantReadWriteLock changes = new ReentrantReadWriteLock();
    /** Null inside for a process that ended before it could be looked at. */
    private volatile CompletableFuture<@Nullable Cgroup> cgroup = CompletableFuture.completedFuture(null);

    /** Closed by the end of the first process. */
    private final ExecGate execStarts = new ExecGate();

    /** Of CRIU images to restore from; empty for none. */
    private final String checkpoint;

    // Guarded by the write lock of changes.
    private @Nullable StoredSnapshot snapshot;
    /** The mounts in use: the request's, or those with the snapshot's writable layer in them. */
    private List<Mount> mounted = List.of();

    private volatile boolean deleted;
    private volatile boolean published;
    private final OutOfMemoryKills outOfMemoryKills = new OutOfMemoryKills();
    private volatile CompletableFuture<@Nullable OutOfMemoryWatch> outOfMemory =
            CompletableFuture.completedFuture(null);

    private Container(Node node, CreateTaskRequest request, Spec spec, Options options) {
        this.node = node;
        this.request = request;
        this.spec = spec;
        this.options = options;
        id = request.getId();
        // containerd turns the option into the field for runtimes named io.containerd.runc alone.
        checkpoint = request.getCheckpoint().isEmpty() ? options.getCriuImagePath() : request.getCheckpoint();
        bundle = Path.of(request.getBundle());
        rootfs = new Rootfs(bundle);
        Path root = Path.of(options.getRoot().isEmpty() ? "/run/containerd/runc" : options.getRoot());
        runc = new Runc(
                options.getBinaryName().isEmpty() ? "runc" : options.getBinaryName(),
                root.resolve(node.namespace()),
                bundle,
                options.getSystemdCgroup() || spec.systemdCgroup(),
                node.reaper(),
                node.sealed(),
                node.environment());
        init = new Task(
                id, new Streams(request.getStdin(), request.getStdout(), request.getStderr(), request.getTerminal()));
    }

    /**
     * Makes a container. Afterwards it either exists, or nothing of it is left and no event was published.
     *
     * @throws StatusException with the runtime's own words
     */
    static Container create(Node node, CreateTaskRequest request)
            throws StatusException, InvalidProtocolBufferException, InterruptedException {
        Options options = TaskOptions.runc(request.getOptions());
        Container container;
        try {
            Spec spec = Spec.read(Path.of(request.getBundle()).resolve("config.json"));
            container = new Container(node, request, spec, options);
        } catch (IOException e) {
            throw failed("The container cannot be created: ", e);
        }
        try {
            container.prepare();
            return container;
        } catch (IOException e) {
            container.abandon();
            throw failed("", e);
        } catch (StatusException | InterruptedException | RuntimeException e) {
            container.abandon();
            throw e;
        }
    }

    private static StatusException failed(String what, IOException e) {
        return new StatusException(Code.UNKNOWN, what + e.getMessage(), e);
    }

    private void prepare() throws IOException, StatusException, InterruptedException {
        // For `delete`, which runs without this process.
        Files.writeString(bundle.resolve("runtime"), runc.binary());
        Files.writeString(bundle.resolve("runtime-root"), runc.root().toString());
        if (!checkpoint.isEmpty()) {
            mount(request.getRootfsList());
            openStdio();
            return;
        }
        snapshot = findSnapshot();
        StoredSnapshot found = snapshot;
        if (found != null) {
            try {
                mount(WritableLayer.under(request.getRootfsList(), found));
                openStdio();
                return;
            } catch (IOException e) {
                refuse(found.id(), String.valueOf(e.getMessage()));
                dropSnapshot();
            }
        }
        mount(request.getRootfsList());
        createProcess();
    }

    private void mount(List<Mount> mounts) throws IOException {
        rootfs.mount(mounts);
        mounted = mounts;
    }

    private void openStdio() throws IOException, InterruptedException {
        init.stdio(Stdio.open(
                init.streams(),
                new Stdio.Owner(node.namespace(), id, options.getIoUid(), options.getIoGid()),
                node.reaper()));
    }

    private Stdio stdio(Task task) {
        return task.stdio().orElseThrow(() -> new IllegalStateException("stdio is open from create to delete"));
    }

    /** {@code runc create}: everything is set up, and the entry point waits to be executed. */
    private void createProcess() throws IOException, StatusException, InterruptedException {
        if (init.stdio().isEmpty()) {
            openStdio();
        }
        Stdio stdio = stdio(init);
        Path pidFile = bundle.resolve("init.pid");
        List<String> command =
                new ArrayList<>(List.of("create", "--bundle", bundle.toString(), "--pid-file", pidFile.toString()));
        stdio.consoleSocket().ifPresent(socket -> command.addAll(List.of("--console-socket", socket.toString())));
        if (options.getNoPivotRoot()) {
            command.add("--no-pivot");
        }
        if (options.getNoNewKeyring()) {
            command.add("--no-new-keyring");
        }
        command.add(id);
        Child child;
        try (Reaper.Watch watch = node.reaper().watch()) {
            RuncResult result = runc.run(command, Map.of(), START_LIMIT, stdio.ends(), stdio::begin);
            if (!result.succeeded()) {
                throw new StatusException(Code.UNKNOWN, "OCI runtime create failed: " + reason(result));
            }
            child = watch.claim(readPid(pidFile));
        }
        adopt(child);
        stdio.start();
    }

    private static int readPid(Path file) throws IOException {
        try {
            return Integer.parseInt(Files.readString(file).trim());
        } catch (NumberFormatException e) {
            throw new IOException("the runtime left no pid in " + file, e);
        }
    }

    private static String reason(RuncResult result) {
        return result.error().isEmpty() ? "it ended with status " + result.status() : result.error();
    }

    /** The container has its first process. */
    private void adopt(Child child) {
        init.child(child);
        // Beside what the client waits for: a host of many containers has a long table of mounts to search.
        cgroup = CompletableFuture.supplyAsync(() -> findCgroup(child.pid()), Thread::startVirtualThread);
        outOfMemory = cgroup.thenApply(this::watchMemory);
        if (published) {
            watchEnd();
        }
    }

    private @Nullable Cgroup findCgroup(int pid) {
        try {
            return Cgroup.of(pid);
        } catch (IOException e) {
            // It has ended already, which its exit tells.
            LOG.log(INFO, "Container {0} has no metrics: {1}", id, e.getMessage());
            return null;
        }
    }

    private @Nullable OutOfMemoryWatch watchMemory(@Nullable Cgroup group) {
        try {
            return group == null
                    ? null
                    : OutOfMemoryWatch.start(group, kills -> outOfMemoryKills.counted(kills, this::tellOutOfMemory));
        } catch (IOException e) {
            LOG.log(WARNING, "Container {0} running out of memory will be told late: {1}", id, e.getMessage());
            return null;
        }
    }

    /** The create event is queued: from now on the end of the first process may be told. */
    void watchEnd() {
        published = true;
        init.child().ifPresent(child -> {
            var _ = child.exit()
                    .thenAccept(exit -> Thread.ofVirtual().name("exit").start(() -> initEnded(exit)));
        });
    }

    /** Before its creation is told: as if it had never been asked for. */
    void abandon() {
        try {
            deleted = true;
            if (init.child().isPresent()) {
                runc.run("delete", "--force", id);
            }
            stopWatching();
            closeStdio(init);
        } catch (IOException e) {
            LOG.log(WARNING, "Container {0} was not cleaned up: {1}", id, e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        rootfs.unmount();
        dropSnapshot();
    }

    private static void closeStdio(Task task) throws IOException {
        Optional<Stdio> stdio = task.stdio();
        if (stdio.isPresent()) {
            stdio.get().close();
        }
    }

    private void stopWatching() throws IOException {
        @Nullable OutOfMemoryWatch watch = outOfMemory.join();
        if (watch != null) {
            outOfMemory = CompletableFuture.completedFuture(null);
            watch.close();
        }
    }

    private void dropSnapshot() {
        StoredSnapshot held = snapshot;
        if (held != null) {
            held.close();
            snapshot = null;
        }
    }

    String id() {
        return id;
    }

    String bundle() {
        return request.getBundle();
    }

    CreateTaskRequest request() {
        return request;
    }

    Task init() {
        return init;
    }

    /** The first process for an empty id, else an exec. */
    Task task(String execId) throws StatusException {
        if (execId.isEmpty()) {
            return init;
        }
        @Nullable Task exec = execs.get(execId);
        if (exec == null) {
            throw new StatusException(Code.NOT_FOUND, "process does not exist " + execId + ": not found");
        }
        return exec;
    }

    /** The status clients see: a paused container's processes are paused. */
    Status status(Task task) {
        Status container = init.status();
        return container == Status.PAUSED || container == Status.PAUSING ? container : task.status();
    }

    // --- start ---

    /** Starts the first process; its pid. */
    int start() throws StatusException, InterruptedException {
        changes.writeLock().lock();
        try {
            if (init.status() != Status.CREATED || hasEnded()) {
                throw new StatusException(
                        Code.UNKNOWN,
                        "cannot start a " + word(hasEnded() ? Status.STOPPED : init.status()) + " process");
            }
            if (!checkpoint.isEmpty()) {
                restoreImages();
            } else if (snapshot != null) {
                restoreOrStart(snapshot);
            } else {
                startProcess();
            }
            init.status(Status.RUNNING);
            node.publish(
                    "/tasks/start",
                    "containerd.events.TaskStart",
                    TaskStart.newBuilder().setContainerId(id).setPid(init.pid()).build());
            return init.pid();
        } catch (IOException e) {
            throw failed("", e);
        } finally {
            changes.writeLock().unlock();
        }
    }

    private void startProcess() throws IOException, StatusException, InterruptedException {
        // What the process does first may be to take too much.
        outOfMemory.join();
        RuncResult result = runc.run(List.of("start", id), Map.of(), START_LIMIT, Runc.Stdio.none());
        if (!result.succeeded()) {
            throw new StatusException(Code.UNKNOWN, "OCI runtime start failed: " + reason(result));
        }
        snapshotWhenReady();
    }

    /** A client named CRIU images, so a failure is the client's. */
    private void restoreImages() throws IOException, StatusException, InterruptedException {
        Stdio stdio = stdio(init);
        Path pidFile = bundle.resolve("init.pid");
        List<String> command = new ArrayList<>(List.of(
                "restore",
                "--detach",
                "--no-subreaper",
                "--bundle",
                bundle.toString(),
                "--pid-file",
                pidFile.toString(),
                "--image-path",
                checkpoint,
                "--work-path",
                criuWork().toString()));
        if (!request.getParentCheckpoint().isEmpty()) {
            command.addAll(List.of("--parent-path", request.getParentCheckpoint()));
        }
        stdio.consoleSocket().ifPresent(socket -> command.addAll(List.of("--console-socket", socket.toString())));
        if (options.getNoPivotRoot()) {
            command.add("--no-pivot");
        }
        command.add(id);
        try (Reaper.Watch watch = node.reaper().watch()) {
            RuncResult result = runc.run(command, Map.of(), START_LIMIT, stdio.ends());
            if (!result.succeeded()) {
                runc.run("delete", "--force", id);
                throw new StatusException(Code.UNKNOWN, "OCI runtime restore failed: " + reason(result));
            }
            adopt(watch.claim(readPid(pidFile)));
        }
        stdio.start();
    }

    private Path criuWork() throws IOException {
        String asked = options.getCriuWorkPath();
        return Files.createDirectories(asked.isEmpty() ? bundle.resolve("criu-work") : Path.of(asked));
    }

    /** A restore may fail, a start may not. */
    private void restoreOrStart(StoredSnapshot found) throws IOException, StatusException, InterruptedException {
        Stdio stdio = stdio(init);
        long began = System.nanoTime();
        try (Reaper.Watch watch = node.reaper().watch()) {
            Restoration restoration =
                    new Restorer(runc.command(stdio.ends())).restore(found, id, bundle, bundle.resolve("init.pid"));
            adopt(watch.claim(restoration.pid()));
        } catch (RestoreException e) {
            refuse(found.id(), String.valueOf(e.getMessage()));
            runc.run("delete", "--force", id);
            // The old pipes may hold what the failed attempt wrote.
            stdio.close();
            init.stdio(null);
            rootfs.unmount();
            dropSnapshot();
            mount(request.getRootfsList());
            createProcess();
            startProcess();
            return;
        }
        stdio.start();
        long millis = Duration.ofNanos(System.nanoTime() - began).toMillis();
        LOG.log(INFO, "Container {0} was restored from snapshot {1} in {2} ms.", id, found.id(), millis);
        node.publish(
                "/coldstart/restored",
                "coldstart.v1.Restored",
                Restored.newBuilder()
                        .setContainerId(id)
                        .setSnapshotId(found.id())
                        .setRestoreMs((int) millis)
                        .build());
    }

    private void refuse(String snapshotId, String reason) {
        LOG.log(WARNING, "Container {0} starts normally instead of from a snapshot: {1}", id, reason);
        node.publish(
                "/coldstart/restore-refused",
                "coldstart.v1.RestoreRefused",
                RestoreRefused.newBuilder()
                        .setContainerId(id)
                        .setSnapshotId(snapshotId)
                        .setReason(reason)
                        .build());
    }

    // --- snapshots ---

    private boolean wantsSnapshots() {
        // A pod's annotations are also those of the container that holds its namespaces.
        if (spec.annotation("io.kubernetes.cri.container-type").equals(Optional.of("sandbox"))) {
            return false;
        }
        Optional<String> value = spec.annotation(SNAPSHOT);
        if (value.isEmpty()) {
            return false;
        }
        if (!value.get().equals("auto")) {
            LOG.log(
                    WARNING,
                    "Container {0} starts normally: its annotation " + SNAPSHOT
                            + " has the value \"{1}\", and only \"auto\" is known.",
                    id,
                    value.get());
            return false;
        }
        return true;
    }

    private SnapshotKey key() throws IOException, InterruptedException {
        return node.snapshots().key(bundle, request.getRootfsList(), runc.binary(), runc::output);
    }

    private @Nullable StoredSnapshot findSnapshot() throws InterruptedException {
        if (!wantsSnapshots()) {
            return null;
        }
        try {
            return switch (node.snapshots().store().find(key())) {
                case Lookup.Found found -> found.snapshot();
                case Lookup.Absent _ -> null;
                case Lookup.Refused refused -> {
                    refuse(refused.id(), refused.reason());
                    yield null;
                }
            };
        } catch (IOException e) {
            refuse("", String.valueOf(e.getMessage()));
            return null;
        }
    }

    /** The container has been started the ordinary way; if it is to have a snapshot, take one once it is ready. */
    private void snapshotWhenReady() {
        Optional<String> ready = spec.annotation(READY);
        if (!wantsSnapshots() || ready.isEmpty()) {
            return;
        }
        Readiness condition;
        try {
            condition = Readiness.parse(ready.get());
        } catch (IllegalArgumentException e) {
            LOG.log(WARNING, "No snapshot of container {0} will be taken: {1}", id, e.getMessage());
            return;
        }
        if (condition instanceof Readiness.Log && !stdio(init).observable()) {
            LOG.log(
                    WARNING,
                    "No snapshot of container {0} will be taken: log:REGEX needs its output to pass through the shim, and it goes elsewhere.",
                    id);
            return;
        }
        Thread.ofVirtual().name("snapshot").start(() -> snapshotOnce(condition));
    }

    private void snapshotOnce(Readiness condition) {
        try {
            if (Probe.await(condition, init.pid(), init.ended(), stdio(init)::observe)) {
                takeSnapshot();
            }
        } catch (LinuxException e) {
            LOG.log(WARNING, "No snapshot of container {0} was taken: {1}", id, e.getMessage());
        } catch (StatusException e) {
            LOG.log(WARNING, "{0}", e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** A server in use often has a connection that is just being made, which CRIU cannot dump: that passes. */
    private void takeSnapshot() throws StatusException, InterruptedException {
        for (int attempt = 1; ; attempt++) {
            try {
                trySnapshot();
                return;
            } catch (SnapshotException e) {
                if (!e.passing() || attempt == SNAPSHOT_ATTEMPTS) {
                    throw failed("No snapshot of container " + id + " was taken: ", e);
                }
            } catch (IOException e) {
                throw failed("No snapshot of container " + id + " was taken: ", e);
            }
            Thread.sleep(SNAPSHOT_PAUSE.multipliedBy(attempt));
        }
    }

    private void trySnapshot() throws IOException, StatusException, InterruptedException {
        changes.writeLock().lock();
        try {
            require(init.status() == Status.RUNNING && !hasEnded(), "snapshot");
            Layers layers = Layers.of(mounted);
            var container = new dev.coldstart.restore.Container(
                    node.namespace(), id, bundle, layers.lowerdirs(), layers.upperdir(), request.getTerminal());
            SnapshotManifest manifest = new Checkpointer(
                            runc.command(Runc.Stdio.none()), node.snapshots().store())
                    .snapshot(container, key());
            LOG.log(INFO, "Snapshot {0} of container {1} was taken.", manifest.getId(), id);
            node.publish(
                    "/coldstart/snapshot-created",
                    "coldstart.v1.SnapshotCreated",
                    SnapshotCreated.newBuilder()
                            .setContainerId(id)
                            .setSnapshotId(manifest.getId())
                            .build());
        } finally {
            changes.writeLock().unlock();
        }
    }

    /** A snapshot of coldstart's, or plain CRIU images in a directory. */
    void checkpoint(String path, Any anyOptions)
            throws StatusException, InvalidProtocolBufferException, InterruptedException {
        CheckpointOptions how = TaskOptions.name(anyOptions).equals("containerd.runc.v1.CheckpointOptions")
                ? CheckpointOptions.parseFrom(anyOptions.getValue())
                : CheckpointOptions.getDefaultInstance();
        if (how.getImagePath().equals(SNAPSHOT)) {
            takeSnapshot();
            return;
        }
        changes.writeLock().lock();
        try {
            require(init.status() == Status.RUNNING || init.status() == Status.PAUSED, "checkpoint");
            // As with CriuImagePath; what containerd asks for besides stays empty then.
            String images = how.getImagePath().isEmpty() ? path : how.getImagePath();
            List<String> command = new ArrayList<>(List.of(
                    "checkpoint",
                    "--image-path",
                    images,
                    "--work-path",
                    how.getWorkPath().isEmpty() ? criuWork().toString() : how.getWorkPath()));
            flag(command, "--tcp-established", how.getOpenTcp());
            flag(command, "--ext-unix-sk", how.getExternalUnixSockets());
            flag(command, "--shell-job", how.getTerminal());
            flag(command, "--file-locks", how.getFileLocks());
            if (!how.getCgroupsMode().isEmpty()) {
                command.addAll(List.of("--manage-cgroups-mode", how.getCgroupsMode()));
            }
            how.getEmptyNamespacesList().forEach(namespace -> command.addAll(List.of("--empty-ns", namespace)));
            flag(command, "--leave-running", !how.getExit());
            command.add(id);
            RuncResult result = runc.run(command, Map.of(), START_LIMIT, Runc.Stdio.none());
            if (!result.succeeded()) {
                throw new StatusException(Code.UNKNOWN, "OCI runtime checkpoint failed: " + reason(result));
            }
        } catch (IOException e) {
            throw failed("", e);
        } finally {
            changes.writeLock().unlock();
        }
    }

    private static void flag(List<String> command, String flag, boolean given) {
        if (given) {
            command.add(flag);
        }
    }

    // --- exec ---

    /** Registers a process to start later. */
    void exec(ExecProcessRequest exec) throws StatusException {
        String execId = exec.getExecId();
        if (!IDENTIFIER.matcher(execId).matches() || execId.length() > 76) {
            throw new StatusException(Code.INVALID_ARGUMENT, "exec id \"" + execId + "\": invalid argument");
        }
        require(init.status() == Status.RUNNING || (init.pid() != 0 && init.status() == Status.CREATED), "exec in");
        Task task =
                new Task(execId, new Streams(exec.getStdin(), exec.getStdout(), exec.getStderr(), exec.getTerminal()));
        if (execId.equals(id) || execs.putIfAbsent(execId, task) != null) {
            throw new StatusException(Code.ALREADY_EXISTS, "id " + execId + ": already exists");
        }
        execSpecs.put(execId, exec.getSpec().getValue().toByteArray());
        node.publish(
                "/tasks/exec-added",
                "containerd.events.TaskExecAdded",
                TaskExecAdded.newBuilder().setContainerId(id).setExecId(execId).build());
    }

    /** Starts a registered process; its pid. */
    int startExec(String execId) throws StatusException, InterruptedException {
        Task exec = task(execId);
        if (!execStarts.enter()) {
            throw new StatusException(
                    Code.FAILED_PRECONDITION, "container " + id + " init process is not running: failed precondition");
        }
        changes.readLock().lock();
        try {
            byte @Nullable [] process = execSpecs.remove(execId);
            if (process == null) {
                throw new StatusException(Code.UNKNOWN, "cannot start a " + word(exec.status()) + " process");
            }
            runExec(exec, process);
            return exec.pid();
        } catch (IOException e) {
            endFailedExec(exec);
            throw failed("OCI runtime exec failed: ", e);
        } catch (StatusException e) {
            endFailedExec(exec);
            throw e;
        } finally {
            changes.readLock().unlock();
            execStarts.leave();
        }
    }

    private void runExec(Task exec, byte[] process) throws IOException, StatusException, InterruptedException {
        Stdio stdio = Stdio.open(
                exec.streams(),
                new Stdio.Owner(node.namespace(), id, options.getIoUid(), options.getIoGid()),
                node.reaper());
        exec.stdio(stdio);
        Path pidFile = bundle.resolve(exec.id() + ".pid");
        Path specFile = bundle.resolve(exec.id() + ".process.json");
        Child child;
        try (Reaper.Watch watch = node.reaper().watch()) {
            ProcessSpec.write(process, exec.streams().terminal(), specFile);
            List<String> command = new ArrayList<>(List.of("exec", "--process", specFile.toString()));
            stdio.consoleSocket().ifPresent(socket -> command.addAll(List.of("--console-socket", socket.toString())));
            command.addAll(List.of("--detach", "--pid-file", pidFile.toString(), id));
            RuncResult result = runc.run(command, Map.of(), START_LIMIT, stdio.ends(), stdio::begin);
            if (!result.succeeded()) {
                throw new StatusException(Code.UNKNOWN, "OCI runtime exec failed: " + reason(result));
            }
            child = watch.claim(readPid(pidFile));
        } finally {
            Files.deleteIfExists(specFile);
        }
        exec.child(child);
        running.add(exec);
        try {
            stdio.start();
        } catch (IOException e) {
            // Nobody will read its output: it must not go on unseen.
            child.signal(SIGKILL);
            running.remove(exec);
            exec.told().complete(null);
            throw e;
        }
        exec.status(Status.RUNNING);
        node.publish(
                "/tasks/exec-started",
                "containerd.events.TaskExecStarted",
                TaskExecStarted.newBuilder()
                        .setContainerId(id)
                        .setExecId(exec.id())
                        .setPid(child.pid())
                        .build());
        // Only now, so that the end cannot overtake the start.
        var _ = child.exit().thenAccept(exit -> Thread.ofVirtual().name("exit").start(() -> execEnded(exec, exit)));
    }

    private static void endFailedExec(Task exec) {
        try {
            closeStdio(exec);
        } catch (IOException e) {
            LOG.log(WARNING, "The stdio of exec {0} was not closed: {1}", exec.id(), e.getMessage());
        }
        // Clients wait for it and then delete it; its status stays CREATED.
        exec.ended().complete(new Exit(0, Instant.now()));
    }

    private void execEnded(Task exec, Exit exit) {
        drainConsole(exec);
        exec.end(exit);
        publishExit(exec, exit);
        running.remove(exec);
        exec.told().complete(null);
    }

    // --- the end ---

    private void initEnded(Exit exit) {
        // First of all: where systemd made the group it removes it now.
        checkOutOfMemory();
        // Not under the lock of changes: its other users would wait for an exec that takes its time.
        execStarts.close();
        changes.writeLock().lock();
        try {
            if (deleted) {
                return;
            }
        } finally {
            changes.writeLock().unlock();
        }
        if (!spec.privatePids()) {
            killRemaining();
        }
        // The first process's exit is the last event of its container's processes.
        for (Task exec : List.copyOf(running)) {
            exec.told().join();
        }
        drainConsole(init);
        checkOutOfMemory();
        changes.writeLock().lock();
        try {
            init.end(exit);
            publishExit(init, exit);
        } finally {
            changes.writeLock().unlock();
        }
    }

    private boolean hasEnded() {
        return execStarts.closed();
    }

    private void publishExit(Task task, Exit exit) {
        node.publish(
                "/tasks/exit",
                "containerd.events.TaskExit",
                TaskExit.newBuilder()
                        .setContainerId(id)
                        .setId(task.id())
                        .setPid(task.pid())
                        .setExitStatus(exit.status())
                        .setExitedAt(Publisher.timestamp(exit.at()))
                        .build());
    }

    /** Output of a terminal is complete before anybody hears of the end. */
    private static void drainConsole(Task task) {
        Optional<Stdio> stdio = task.stdio().filter(Stdio::terminal);
        if (stdio.isPresent()) {
            try {
                stdio.get().drain(CONSOLE_DRAIN_LIMIT);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Without a pid namespace of its own the kernel leaves the container's other processes alive. */
    private void killRemaining() {
        @Nullable Cgroup group = cgroup.join();
        if (group == null) {
            return;
        }
        try {
            for (int round = 0; round < 100; round++) {
                List<Integer> left = group.processes();
                if (left.isEmpty()) {
                    return;
                }
                for (int pid : left) {
                    killOne(pid);
                }
                Thread.sleep(Duration.ofMillis(10));
            }
            LOG.log(WARNING, "Processes of container {0} survive it.", id);
        } catch (NoSuchFileException e) {
            // The group is gone, and its processes before it.
            return;
        } catch (IOException e) {
            LOG.log(WARNING, "Processes of container {0} may survive it: {1}", id, e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void killOne(int pid) throws LinuxException {
        try (PidFd process = PidFd.open(pid)) {
            process.signal(SIGKILL);
        } catch (LinuxException e) {
            if (e.errno() != Errno.ESRCH) {
                throw e;
            }
        }
    }

    /** Tells of processes that the kernel has killed for want of memory since the last look. */
    private void checkOutOfMemory() {
        @Nullable Cgroup group = cgroup.join();
        if (group == null) {
            return;
        }
        try {
            outOfMemoryKills.look(group, this::tellOutOfMemory);
        } catch (IOException e) {
            LOG.log(WARNING, "Whether container {0} ran out of memory is not known: {1}", id, e.getMessage());
        }
    }

    private void tellOutOfMemory() {
        node.publish(
                "/tasks/oom",
                "containerd.events.TaskOOM",
                TaskOOM.newBuilder().setContainerId(id).build());
    }

    // --- signals, pause, update ---

    /** Sends a signal to a process, or to all of the container's. */
    void kill(String execId, int signal, boolean all) throws StatusException, InterruptedException {
        Task task = task(execId);
        try {
            if (task == init) {
                killInit(signal, all);
                return;
            }
            Child child = task.child()
                    .orElseThrow(() ->
                            new StatusException(Code.FAILED_PRECONDITION, "process not created: failed precondition"));
            if (child.exit().isDone()) {
                throw finished();
            }
            child.signal(signal);
        } catch (IOException e) {
            throw failed("", e);
        }
    }

    private static StatusException finished() {
        return new StatusException(Code.NOT_FOUND, "process already finished: not found");
    }

    private void killInit(int signal, boolean all) throws IOException, StatusException, InterruptedException {
        List<String> command = new ArrayList<>(List.of("kill"));
        flag(command, "--all", all);
        command.addAll(List.of(id, Integer.toString(signal)));
        RuncResult result = runc.run(command, Map.of(), Runc.LIMIT, Runc.Stdio.none());
        if (result.succeeded()) {
            return;
        }
        if (init.child().map(child -> child.exit().isDone()).orElse(false)) {
            // Not every runtime finds words for it.
            throw finished();
        }
        String error = result.error();
        // runc's and crun's words for a process that is not there any more.
        for (String gone : List.of("not running", "no such process", "already finished", "does not exist")) {
            if (error.contains(gone)) {
                throw finished();
            }
        }
        throw new StatusException(Code.UNKNOWN, "OCI runtime kill failed: " + reason(result));
    }

    void pause() throws StatusException, InterruptedException {
        changes.writeLock().lock();
        try {
            require(init.status() == Status.RUNNING && !hasEnded(), "pause");
            init.status(Status.PAUSING);
            boolean paused = false;
            try {
                succeed(runc.run("pause", id), "pause");
                paused = true;
            } finally {
                init.status(paused ? Status.PAUSED : Status.RUNNING);
            }
            node.publish(
                    "/tasks/paused",
                    "containerd.events.TaskPaused",
                    TaskPaused.newBuilder().setContainerId(id).build());
        } catch (IOException e) {
            throw failed("", e);
        } finally {
            changes.writeLock().unlock();
        }
    }

    void resume() throws StatusException, InterruptedException {
        changes.writeLock().lock();
        try {
            require(init.status() == Status.PAUSED, "resume");
            succeed(runc.run("resume", id), "resume");
            init.status(Status.RUNNING);
            node.publish(
                    "/tasks/resumed",
                    "containerd.events.TaskResumed",
                    TaskResumed.newBuilder().setContainerId(id).build());
        } catch (IOException e) {
            throw failed("", e);
        } finally {
            changes.writeLock().unlock();
        }
    }

    /** Changes limits: OCI LinuxResources as JSON. */
    void update(ByteString resources) throws StatusException, InterruptedException {
        changes.writeLock().lock();
        try {
            require(init.status() != Status.STOPPED && !hasEnded(), "update");
            Path file = bundle.resolve("resources.json");
            Files.write(file, resources.toByteArray());
            try {
                succeed(runc.run("update", "--resources", file.toString(), id), "update");
            } finally {
                Files.deleteIfExists(file);
            }
        } catch (IOException e) {
            throw failed("", e);
        } finally {
            changes.writeLock().unlock();
        }
    }

    private static void succeed(RuncResult result, String verb) throws StatusException {
        if (!result.succeeded()) {
            throw new StatusException(Code.UNKNOWN, "OCI runtime " + verb + " failed: " + reason(result));
        }
    }

    private void require(boolean condition, String verb) throws StatusException {
        if (!condition) {
            throw new StatusException(Code.UNKNOWN, "cannot " + verb + " a " + word(init.status()) + " container");
        }
    }

    private static String word(Status status) {
        return status.name().toLowerCase(java.util.Locale.ROOT);
    }

    // --- what it is doing ---

    /** All its processes, by host pid; an exec's with its id. */
    Map<Integer, String> processes() throws StatusException {
        Map<Integer, String> all = new java.util.TreeMap<>();
        @Nullable Cgroup group = cgroup.join();
        try {
            if (group != null) {
                group.processes().forEach(pid -> all.put(pid, ""));
            }
        } catch (NoSuchFileException e) {
            LOG.log(INFO, "Container {0} has no cgroup any more.", id);
        } catch (IOException e) {
            throw failed("", e);
        }
        if (all.isEmpty() && init.status() != Status.STOPPED) {
            // It waits to be restored, or its end is not told yet: clients take an empty answer for a leak.
            all.put(init.pid(), "");
        }
        execs.values().forEach(exec -> all.computeIfPresent(exec.pid(), (pid, none) -> exec.id()));
        return all;
    }

    Any metrics() throws StatusException {
        @Nullable Cgroup group = cgroup.join();
        try {
            if (group != null) {
                return group.metrics();
            }
        } catch (IOException e) {
            throw new StatusException(Code.NOT_FOUND, "cgroup of container " + id + ": not found", e);
        }
        throw new StatusException(Code.NOT_FOUND, "container " + id + " has no cgroup: not found");
    }

    CompletableFuture<Exit> ended(String execId) throws StatusException {
        return task(execId).ended();
    }

    // --- delete ---

    /** Removes the container for good; how its first process ended. */
    Exit delete() throws StatusException, InterruptedException {
        killCreated();
        changes.writeLock().lock();
        try {
            Status status = init.status();
            if (deleted) {
                throw new StatusException(Code.NOT_FOUND, "container not created: not found");
            }
            boolean neverRan = status == Status.CREATED && init.child().isEmpty();
            require(status == Status.STOPPED || neverRan, "delete");
            Optional<Stdio> stdio = init.stdio();
            if (stdio.isPresent() && !neverRan) {
                stdio.get().drain(DRAIN_LIMIT);
            }
            RuncResult result = neverRan ? new RuncResult(0, "") : runc.run("delete", "--force", id);
            if (!result.succeeded() && !result.error().contains("does not exist")) {
                throw new StatusException(Code.UNKNOWN, "OCI runtime delete failed: " + reason(result));
            }
            deleted = true;
            stopWatching();
            closeStdio(init);
            for (Task exec : execs.values()) {
                closeStdio(exec);
            }
            rootfs.unmount();
            dropSnapshot();
            return init.ended().getNow(new Exit(KILLED_STATUS, Instant.now()));
        } catch (IOException e) {
            throw failed("", e);
        } finally {
            changes.writeLock().unlock();
        }
    }

    /** A process that waits for its start is killed, and its end told, before the container goes. */
    private void killCreated() throws StatusException, InterruptedException {
        Optional<Child> child = init.child();
        if (init.status() != Status.CREATED || child.isEmpty()) {
            return;
        }
        try {
            child.get().signal(SIGKILL);
            if (child.get().await(DRAIN_LIMIT).isPresent()) {
                init.ended().join();
            }
        } catch (IOException e) {
            throw failed("", e);
        }
    }

    /** Forgets an exec; how it ended. */
    Exit deleteExec(String execId) throws StatusException, InterruptedException {
        Task exec = task(execId);
        if (exec.status() == Status.RUNNING) {
            throw new StatusException(Code.UNKNOWN, "cannot delete a running process");
        }
        try {
            Optional<Stdio> stdio = exec.stdio();
            if (stdio.isPresent() && exec.child().isPresent()) {
                stdio.get().drain(DRAIN_LIMIT);
            }
            closeStdio(exec);
            Files.deleteIfExists(bundle.resolve(execId + ".pid"));
        } catch (IOException e) {
            throw failed("", e);
        }
        execs.remove(execId);
        execSpecs.remove(execId);
        return exec.ended().getNow(new Exit(0, Instant.now()));
    }
}
