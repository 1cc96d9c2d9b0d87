package dev.coldstart.shim.pool;

import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.LinuxException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Where this JVM waits for a container. Its files in the pool's directory, named by its pid: {@code .in} and {@code
 * .out}, fifos that the pool made; {@code .ready}, which says that it waits; {@code .claim}, made by whoever takes it
 * (O_EXCL). A request is six lines: the pid of the process that wants the shim, the namespace, the id, containerd's
 * address, the socket (see {@link Request}), and a dot.
 */
public final class Slot implements AutoCloseable {
    private static final int REQUEST_LINES = 6;
    private static final String END = ".";
    private static final int BUFFER_BYTES = 4096;

    private final Path directory;
    private final String name;
    private final Descriptor in;
    private final Descriptor out;
    private boolean answered;

    private Slot(Path directory, String name, Descriptor in, Descriptor out) {
        this.directory = directory;
        this.name = name;
        this.in = in;
        this.out = out;
    }

    /** Opens the fifos of this process. */
    public static Slot open(Path directory) throws LinuxException {
        String name = Long.toString(ProcessHandle.current().pid());
        // For both directions, so that neither opening nor writing waits for the other side.
        Descriptor in = Descriptor.open(directory.resolve(name + ".in").toString(), Descriptor.O_RDWR, 0);
        Descriptor out = Descriptor.open(directory.resolve(name + ".out").toString(), Descriptor.O_RDWR, 0);
        return new Slot(directory, name, in, out);
    }

    /**
     * Says that this JVM waits, and waits.
     *
     * @throws IOException if what comes is no request
     */
    public Request await() throws IOException {
        Files.createFile(file(".ready"));
        tellPool("ready");
        List<String> lines = receive();
        if (lines.size() != REQUEST_LINES || !lines.getLast().equals(END)) {
            throw new IOException("what came to the pool is no request: " + lines);
        }
        // From now on it is no part of the pool; the claim goes last, so that nobody claims it again.
        for (String suffix : List.of(".ready", ".in", ".out", ".claim")) {
            Files.deleteIfExists(file(suffix));
        }
        try {
            return new Request(Integer.parseInt(lines.get(0)), lines.get(1), lines.get(2), lines.get(3), lines.get(4));
        } catch (NumberFormatException e) {
            throw new IOException("what came to the pool is no request: " + lines, e);
        }
    }

    private List<String> receive() throws LinuxException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Descriptor.errnoIn(arena);
            MemorySegment buffer = arena.allocate(BUFFER_BYTES);
            String text;
            do {
                int read = in.read(buffer, capture);
                bytes.writeBytes(buffer.asSlice(0, read).toArray(ValueLayout.JAVA_BYTE));
                text = bytes.toString(StandardCharsets.UTF_8);
            } while (!text.endsWith("\n" + END + "\n"));
            return text.lines().toList();
        }
    }

    /** Gives whoever took this JVM its answer, one line, once; and says to the pool that it is gone. */
    public void answer(String line) throws IOException {
        if (answered) {
            return;
        }
        answered = true;
        write(out, line);
        close();
        tellPool("taken");
    }

    private void tellPool(String line) {
        try (Descriptor wake =
                Descriptor.open(directory.resolve("wake").toString(), Descriptor.O_WRONLY | Descriptor.O_NONBLOCK, 0)) {
            write(wake, line);
        } catch (LinuxException e) {
            // The pool's keeper is not there. It will see what is here when it comes back.
        }
    }

    private static void write(Descriptor to, String line) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            byte[] bytes = (line + "\n").getBytes(StandardCharsets.UTF_8);
            MemorySegment memory = arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes);
            // Atomic, as it is shorter than PIPE_BUF, and the fifo is empty.
            var _ = to.write(memory, Descriptor.errnoIn(arena));
        }
    }

    private Path file(String suffix) {
        return directory.resolve(name + suffix);
    }

    @Override
    public void close() {
        in.close();
        out.close();
    }
}
