package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** The host name of a UTS namespace. */
public final class Hostname {
    private static final int O_RDONLY = 0;
    private static final int O_CLOEXEC = 02000000;
    private static final int CLONE_NEWUTS = 0x04000000;

    private static final MethodHandle OPEN =
            Native.libc("open", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT), Linker.Option.firstVariadicArg(2));
    private static final MethodHandle SETNS = Native.libc("setns", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle SETHOSTNAME =
            Native.libc("sethostname", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG));
    private static final MethodHandle CLOSE = Native.libc("close", FunctionDescriptor.of(JAVA_INT, JAVA_INT));

    private Hostname() {}

    /**
     * Sets the name.
     *
     * @param namespace such as {@code /proc/PID/ns/uts}
     */
    public static void set(Path namespace, String name) throws LinuxException, InterruptedException {
        // setns(2) moves one thread; that thread ends here, so no other code ever runs in the namespace.
        AtomicReference<@Nullable LinuxException> failure = new AtomicReference<>();
        Thread thread = Thread.ofPlatform().name("hostname").start(() -> {
            try {
                setHere(namespace, name);
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

    private static void setHere(Path namespace, String name) throws LinuxException {
        String attempt = "set the host name in " + namespace;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            int file = (int) OPEN.invokeExact(errno, arena.allocateFrom(namespace.toString()), O_RDONLY | O_CLOEXEC);
            if (file < 0) {
                throw new LinuxException(attempt, Native.errno(errno));
            }
            int result = (int) SETNS.invokeExact(errno, file, CLONE_NEWUTS);
            int failure = Native.errno(errno);
            int ignored = (int) CLOSE.invokeExact(errno, file);
            if (result == 0) {
                byte[] bytes = name.getBytes(StandardCharsets.UTF_8);
                result =
                        (int) SETHOSTNAME.invokeExact(errno, arena.allocateFrom(JAVA_BYTE, bytes), (long) bytes.length);
                failure = Native.errno(errno);
            }
            if (result != 0) {
                throw new LinuxException(attempt, failure);
            }
        } catch (LinuxException e) {
            throw e;
        } catch (Throwable thrown) {
            throw Native.unexpected(thrown);
        }
    }
}
