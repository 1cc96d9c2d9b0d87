package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** The loopback interface of a network namespace. */
public final class Loopback {
    private static final int O_RDONLY = 0;
    private static final int O_CLOEXEC = 02000000;
    private static final int CLONE_NEWNET = 0x40000000;
    private static final int AF_INET = 2;
    private static final int SOCK_DGRAM = 2;
    private static final long SIOCGIFFLAGS = 0x8913;
    private static final long SIOCSIFFLAGS = 0x8914;
    private static final short IFF_UP = 1;
    /** struct ifreq of include/uapi/linux/if.h: a name of 16 bytes, then the flags. */
    private static final int IFREQ_BYTES = 40;

    private static final int IFR_FLAGS = 16;

    private static final MethodHandle OPEN =
            Native.libc("open", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT), Linker.Option.firstVariadicArg(2));
    private static final MethodHandle SETNS = Native.libc("setns", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle SOCKET =
            Native.libc("socket", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle IOCTL = Native.libc(
            "ioctl", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS), Linker.Option.firstVariadicArg(2));
    private static final MethodHandle CLOSE = Native.libc("close", FunctionDescriptor.of(JAVA_INT, JAVA_INT));

    private Loopback() {}

    /**
     * Sets {@code lo} up.
     *
     * @param namespace such as {@code /proc/PID/ns/net}
     */
    public static void up(Path namespace) throws LinuxException, InterruptedException {
        // setns(2) moves one thread; that thread ends here, so no other code ever runs in the namespace.
        AtomicReference<@Nullable LinuxException> failure = new AtomicReference<>();
        Thread thread = Thread.ofPlatform().name("loopback").start(() -> {
            try {
                upHere(namespace);
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

    private static void upHere(Path namespace) throws LinuxException {
        String attempt = "set lo up in " + namespace;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = Native.capture(arena);
            int file = (int) OPEN.invokeExact(errno, arena.allocateFrom(namespace.toString()), O_RDONLY | O_CLOEXEC);
            if (file < 0) {
                throw new LinuxException(attempt, Native.errno(errno));
            }
            int entered = (int) SETNS.invokeExact(errno, file, CLONE_NEWNET);
            int failure = Native.errno(errno);
            int ignored = (int) CLOSE.invokeExact(errno, file);
            if (entered != 0) {
                throw new LinuxException(attempt, failure);
            }
            int socket = (int) SOCKET.invokeExact(errno, AF_INET, SOCK_DGRAM | O_CLOEXEC, 0);
            if (socket < 0) {
                throw new LinuxException(attempt, Native.errno(errno));
            }
            MemorySegment request = arena.allocate(IFREQ_BYTES, 8);
            MemorySegment.copy(arena.allocateFrom("lo"), JAVA_BYTE, 0, request, JAVA_BYTE, 0, 3);
            int result = (int) IOCTL.invokeExact(errno, socket, SIOCGIFFLAGS, request);
            if (result == 0) {
                request.set(JAVA_SHORT, IFR_FLAGS, (short) (request.get(JAVA_SHORT, IFR_FLAGS) | IFF_UP));
                result = (int) IOCTL.invokeExact(errno, socket, SIOCSIFFLAGS, request);
            }
            failure = Native.errno(errno);
            ignored = (int) CLOSE.invokeExact(errno, socket);
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
