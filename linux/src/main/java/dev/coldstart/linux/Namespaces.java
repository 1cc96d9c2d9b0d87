package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** Entering the namespaces of another process. */
public final class Namespaces {
    static final int CLONE_NEWUTS = 0x0400_0000;
    static final int CLONE_NEWNET = 0x4000_0000;
    private static final MethodHandle SETNS = Words.function("setns");

    private Namespaces() {}

    /** What is to be done in a namespace. */
    interface Task {
        void run() throws LinuxException;
    }

    /**
     * Moves the calling thread, and no other, into a network namespace; sockets it makes from then on belong there. Only
     * for a platform thread made for the purpose: it never comes back.
     *
     * @param path such as {@code /proc/PID/ns/net}
     */
    public static void enterNetwork(String path) throws LinuxException {
        enter(path, CLONE_NEWNET);
    }

    private static void enter(String path, int type) throws LinuxException {
        try (Arena arena = Arena.ofConfined();
                Descriptor namespace = Descriptor.open(path, Descriptor.O_RDONLY, 0)) {
            MemorySegment capture = Native.capture(arena);
            Words.check(Words.call(SETNS, capture, namespace.number(), type), capture, "enter the namespace " + path);
        }
    }

    /** Runs a task in a namespace, on a thread that ends with it, so that no other code ever runs there. */
    static void inside(Path namespace, int type, Task task) throws LinuxException, InterruptedException {
        AtomicReference<@Nullable LinuxException> failure = new AtomicReference<>();
        Thread thread = Thread.ofPlatform().name("namespace").start(() -> {
            try {
                enter(namespace.toString(), type);
                task.run();
            } catch (LinuxException e) {
                failure.set(e);
            }
        });
        thread.join();
        LinuxException failed = failure.get();
        if (failed != null) {
            throw failed;
        }
    }
}
