package dev.coldstart.shim.stdio;

import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.Errno;
import dev.coldstart.linux.EventFd;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Pipe;
import dev.coldstart.linux.Poll;
import dev.coldstart.linux.Terminal;
import dev.coldstart.linux.UnixSocket;
import dev.coldstart.shim.process.Reaper;
import dev.coldstart.shim.runc.Runc;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The stdio of one process. {@link #open} makes what the runtime needs, {@link #start} begins the copying once the
 * runtime has the process, {@link #close} gives everything back. Facts: containerd cmd/containerd-shim-runc-v2/process/io.go.
 */
public final class Stdio implements AutoCloseable {
    private static final Duration OPEN_LIMIT = Duration.ofSeconds(30);
    /** How often a fifo that has no reader yet is looked at. */
    private static final int READER_MILLIS = 5;

    private static final int CONSOLE_LIMIT_MILLIS = 10_000;
    private static final int LOG_FILE_MODE = 0644;

    private final Streams streams;
    private final EventFd cancel;
    /** The process's ends; the runtime passes them on, and the shim's copies close at start. */
    private Runc.Stdio ends = Runc.Stdio.none();

    private final List<Descriptor> childEnds = new ArrayList<>();
    /** The shim's ends, until a copier owns them. */
    private @Nullable Descriptor stdinWrite;

    private @Nullable Descriptor stdoutRead;
    private @Nullable Descriptor stderrRead;
    private @Nullable Logger logger;
    /** A terminal's log file, or the logger's end. */
    private @Nullable Descriptor log;

    private @Nullable UnixSocket console;
    private @Nullable Path consoleDirectory;
    private volatile @Nullable Descriptor master;
    /** Keeps stdin's fifo from ending when a client goes away. Guarded by this, as is {@link #stdinClosed}. */
    private @Nullable Descriptor stdinHold;

    private boolean stdinClosed;
    private boolean begun;

    private final List<Copier> outputs = new ArrayList<>();
    private @Nullable Copier input;
    private final AtomicBoolean closed = new AtomicBoolean();

    private Stdio(Streams streams, EventFd cancel) {
        this.streams = streams;
        this.cancel = cancel;
    }

    /**
     * Who a process belongs to, and who may use its pipes.
     *
     * @param uid the owner of its pipes
     */
    public record Owner(String namespace, String container, int uid, int gid) {}

    /** Makes pipes, log files, a logger or a console socket, as the streams say. */
    public static Stdio open(Streams streams, Owner owner, Reaper reaper) throws IOException, InterruptedException {
        Stdio stdio = new Stdio(streams, EventFd.open());
        try {
            stdio.prepare(owner, reaper);
            return stdio;
        } catch (IOException | InterruptedException e) {
            stdio.close();
            throw e;
        }
    }

    private void prepare(Owner owner, Reaper reaper) throws IOException, InterruptedException {
        if (streams.terminal()) {
            openLog(owner, reaper);
            Path directory = Files.createTempDirectory("console");
            consoleDirectory = directory;
            console = UnixSocket.listen(directory.resolve("s").toString());
            return;
        }
        if (streams.none()) {
            return;
        }
        switch (scheme(streams.stdout())) {
            case "fifo" -> pipes(owner);
            case "file" -> logFile(path(streams.stdout()));
            case "binary" -> {
                Logger started = Logger.start(URI.create(streams.stdout()), owner, reaper);
                logger = started;
                childEnds.add(started.stdout());
                childEnds.add(started.stderr());
                ends = new Runc.Stdio(null, started.stdout(), started.stderr());
            }
            default -> throw unusable(streams.stdout());
        }
    }

    /** Where a terminal's output goes if not to a client. */
    private void openLog(Owner owner, Reaper reaper) throws IOException {
        String stdout = streams.stdout();
        if (stdout.isEmpty()) {
            return;
        }
        switch (scheme(stdout)) {
            case "fifo" -> {}
            case "file" -> log = openLogFile(path(stdout));
            case "binary" -> {
                Logger started = Logger.start(URI.create(stdout), owner, reaper);
                logger = started;
                started.stderr().close();
                started.stdout().nonBlocking();
                log = started.stdout();
            }
            default -> throw unusable(stdout);
        }
    }

    private static IOException unusable(String stream) {
        return new IOException("The stdio \"" + stream + "\" cannot be used; a fifo's path, file:// or binary:// can.");
    }

    private void pipes(Owner owner) throws LinuxException {
        @Nullable Descriptor in = null;
        @Nullable Descriptor out = null;
        @Nullable Descriptor err = null;
        if (!streams.stdin().isEmpty()) {
            Pipe pipe = pipe(owner);
            in = child(pipe.read());
            pipe.write().nonBlocking();
            stdinWrite = pipe.write();
        }
        if (!streams.stdout().isEmpty()) {
            Pipe pipe = pipe(owner);
            out = child(pipe.write());
            pipe.read().nonBlocking();
            stdoutRead = pipe.read();
        }
        if (!streams.stderr().isEmpty()) {
            Pipe pipe = pipe(owner);
            err = child(pipe.write());
            pipe.read().nonBlocking();
            stderrRead = pipe.read();
        }
        ends = new Runc.Stdio(in, out, err);
    }

    private static Pipe pipe(Owner owner) throws LinuxException {
        Pipe pipe = Pipe.open();
        if (owner.uid() != 0 || owner.gid() != 0) {
            pipe.read().owner(owner.uid(), owner.gid());
            pipe.write().owner(owner.uid(), owner.gid());
        }
        return pipe;
    }

    private Descriptor child(Descriptor descriptor) {
        childEnds.add(descriptor);
        return descriptor;
    }

    private void logFile(String path) throws IOException {
        // One open file for both, so that their lines share an offset.
        Descriptor file = child(openLogFile(path));
        ends = new Runc.Stdio(null, file, file);
    }

    private static Descriptor openLogFile(String path) throws IOException {
        @Nullable Path parent = Path.of(path).getParent();
        if (parent != null) {
            Files.createDirectories(parent);
        }
        return Descriptor.open(path, Descriptor.O_WRONLY | Descriptor.O_CREAT | Descriptor.O_APPEND, LOG_FILE_MODE);
    }

    private static String scheme(String stream) {
        int colon = stream.indexOf("://");
        return colon < 0 ? "fifo" : stream.substring(0, colon);
    }

    private static String path(String stream) {
        return scheme(stream).equals("fifo") && !stream.startsWith("fifo:")
                ? stream
                : URI.create(stream).getPath();
    }

    /** What the process gets as descriptors 0 to 2; nothing with a terminal. */
    public Runc.Stdio ends() {
        return ends;
    }

    /** Where the runtime connects to hand over the terminal; empty without one. */
    public Optional<Path> consoleSocket() {
        return Optional.ofNullable(consoleDirectory).map(directory -> directory.resolve("s"));
    }

    /**
     * Begins what needs no process yet: opening containerd's fifos, beside the runtime that makes the process. Not before a
     * restore, which may fail and be followed by a start with new pipes: the client would take the end of these for the
     * end of all output.
     */
    public void begin() {
        if (!streams.terminal() && !begun) {
            begun = true;
            startPipes();
        }
    }

    /**
     * Begins copying, once the runtime has the process. Waits until containerd's fifos are open at both ends.
     *
     * @throws IOException when the runtime sent no terminal, or a fifo's other end is not opened in time
     */
    public void start() throws IOException, InterruptedException {
        if (console != null) {
            master = console.receiveDescriptor(CONSOLE_LIMIT_MILLIS);
            closeConsole();
            startTerminal(master);
        } else {
            closeChildEnds();
            begin();
        }
        awaitOpened();
    }

    private void startTerminal(Descriptor terminal) throws IOException {
        terminal.nonBlocking();
        if (!streams.stdout().isEmpty()) {
            outputs.add(Copier.start("stdout", owned -> new Copier.Pair(terminal, openTerminalOutput(owned)), cancel));
        }
        if (!streams.stdin().isEmpty()) {
            input = Copier.start("stdin", owned -> new Copier.Pair(openInput(owned), terminal), cancel);
        }
    }

    private void startPipes() {
        Descriptor out = stdoutRead;
        if (out != null) {
            stdoutRead = null;
            outputs.add(output("stdout", out, streams.stdout()));
        }
        Descriptor err = stderrRead;
        if (err != null) {
            stderrRead = null;
            outputs.add(output("stderr", err, streams.stderr()));
        }
        Descriptor in = stdinWrite;
        if (in != null) {
            stdinWrite = null;
            input = Copier.start(
                    "stdin",
                    owned -> {
                        owned.add(in);
                        return new Copier.Pair(openInput(owned), in);
                    },
                    cancel);
        }
    }

    /** A logger sees the end of its input when the terminal's output ends. */
    private Descriptor openTerminalOutput(List<Descriptor> owned) throws LinuxException {
        Descriptor to = log;
        if (to == null) {
            return openOutput(streams.stdout(), owned);
        }
        owned.add(to);
        return to;
    }

    private Copier output(String name, Descriptor from, String to) {
        return Copier.start(
                name,
                owned -> {
                    owned.add(from);
                    return new Copier.Pair(from, openOutput(to, owned));
                },
                cancel);
    }

    /**
     * Waits until the fifo has a reader, then holds one too: a client may go away and come back. It looks again and again,
     * because an open that blocks does so for ever when the client gives up and removes the fifo.
     */
    private Descriptor openOutput(String stream, List<Descriptor> owned) throws LinuxException {
        String path = path(stream);
        Descriptor write = openWriter(path);
        owned.add(write);
        owned.add(Descriptor.open(path, Descriptor.O_RDONLY | Descriptor.O_NONBLOCK, 0));
        return write;
    }

    private Descriptor openWriter(String path) throws LinuxException {
        try (Poll cancelled = new Poll(1)) {
            cancelled.watch(0, cancel.descriptor(), Poll.READABLE);
            while (true) {
                try {
                    return Descriptor.open(path, Descriptor.O_WRONLY | Descriptor.O_NONBLOCK, 0);
                } catch (LinuxException e) {
                    if (e.errno() != Errno.ENXIO || cancelled.await(READER_MILLIS)) {
                        throw e;
                    }
                }
            }
        }
    }

    private Descriptor openInput(List<Descriptor> owned) throws LinuxException {
        String path = path(streams.stdin());
        Descriptor read = Descriptor.open(path, Descriptor.O_RDONLY | Descriptor.O_NONBLOCK, 0);
        owned.add(read);
        holdStdin(Descriptor.open(path, Descriptor.O_WRONLY, 0));
        return read;
    }

    private synchronized void holdStdin(Descriptor hold) {
        // A client that has little to say is done as soon as the fifo has a reader.
        if (stdinClosed) {
            hold.close();
        } else {
            stdinHold = hold;
        }
    }

    private void awaitOpened() throws IOException, InterruptedException {
        CompletableFuture<Void> all =
                CompletableFuture.allOf(copiers().stream().map(Copier::opened).toArray(CompletableFuture<?>[]::new));
        try {
            all.get(OPEN_LIMIT.toSeconds(), TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            throw new IOException(
                    "Nobody opened the other end of the container's stdio within " + OPEN_LIMIT.toSeconds() + " s.", e);
        } catch (ExecutionException e) {
            throw new IOException("The container's stdio cannot be opened: " + e.getCause(), e);
        }
    }

    private List<Copier> copiers() {
        List<Copier> all = new ArrayList<>(outputs);
        if (input != null) {
            all.add(input);
        }
        return all;
    }

    /** Whether the shim sees the process's output at all; not with a log file, a logger or nothing. */
    public boolean observable() {
        return !streams.stdout().isEmpty() && scheme(streams.stdout()).equals("fifo");
    }

    /** Shows all output from now on, as pieces of bytes, on the copying threads. Null ends it. */
    public void observe(@Nullable Consumer<byte[]> consumer) {
        outputs.forEach(copier -> copier.observe(consumer));
    }

    /** Stdin ends for the process once its client, too, has closed the fifo. It may come before stdin is open. */
    public synchronized void closeStdin() {
        stdinClosed = true;
        Descriptor hold = stdinHold;
        if (hold != null) {
            hold.close();
        }
    }

    /** Sets the terminal's size in characters; nothing happens without a terminal. */
    public void resize(int columns, int rows) throws LinuxException {
        Descriptor terminal = master;
        if (terminal != null) {
            Terminal.resize(terminal, columns, rows);
        }
    }

    public boolean terminal() {
        return streams.terminal();
    }

    /** Waits until all output has been copied; false if it does not end in time (someone holds the stream open). */
    public boolean drain(Duration limit) throws InterruptedException {
        CompletableFuture<Void> all =
                CompletableFuture.allOf(outputs.stream().map(Copier::finished).toArray(CompletableFuture<?>[]::new));
        try {
            all.get(limit.toMillis(), TimeUnit.MILLISECONDS);
            return true;
        } catch (TimeoutException e) {
            return false;
        } catch (ExecutionException e) {
            throw new IllegalStateException("a copy's end is never exceptional", e);
        }
    }

    /** Ends all copying and closes everything; what is not copied yet is lost. Idempotent. */
    @Override
    public void close() throws IOException {
        if (!closed.compareAndSet(false, true)) {
            return;
        }
        closeChildEnds();
        closeConsole();
        cancel.signal();
        for (Copier copier : copiers()) {
            copier.finished().join();
        }
        closeStdin();
        for (@Nullable
        Descriptor descriptor : new @Nullable Descriptor[] {stdinWrite, stdoutRead, stderrRead, master, log}) {
            if (descriptor != null) {
                descriptor.close();
            }
        }
        Logger running = logger;
        if (running != null) {
            logger = null;
            running.close();
        }
        cancel.close();
    }

    private void closeChildEnds() {
        childEnds.forEach(Descriptor::close);
    }

    private void closeConsole() throws IOException {
        UnixSocket socket = console;
        if (socket != null) {
            console = null;
            socket.close();
        }
        Path directory = consoleDirectory;
        if (directory != null) {
            consoleDirectory = null;
            Files.deleteIfExists(directory.resolve("s"));
            Files.deleteIfExists(directory);
        }
    }
}
