package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/** The loopback interface of a network namespace. */
public final class Loopback {
    private static final int AF_INET = 2;
    private static final int SOCK_DGRAM = 2;
    private static final int SOCK_CLOEXEC = 0x80000;
    private static final int SIOCGIFFLAGS = 0x8913;
    private static final int SIOCSIFFLAGS = 0x8914;
    private static final short IFF_UP = 1;
    /** struct ifreq of include/uapi/linux/if.h: a name of 16 bytes, then the flags. */
    private static final int IFREQ_BYTES = 40;

    private static final int IFR_FLAGS = 16;

    private static final MethodHandle SOCKET = Words.function("socket");
    private static final MethodHandle IOCTL = Words.function("ioctl");

    private Loopback() {}

    /**
     * Sets {@code lo} up.
     *
     * @param namespace such as {@code /proc/PID/ns/net}
     */
    public static void up(Path namespace) throws LinuxException, InterruptedException {
        Namespaces.inside(namespace, Namespaces.CLONE_NEWNET, () -> upHere("set lo up in " + namespace));
    }

    private static void upHere(String attempted) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            long made = Words.call(SOCKET, capture, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
            try (Descriptor socket = Descriptor.adopt(Words.check(made, capture, attempted))) {
                MemorySegment request = arena.allocate(IFREQ_BYTES, 8);
                MemorySegment.copy(arena.allocateFrom("lo"), JAVA_BYTE, 0, request, JAVA_BYTE, 0, 3);
                int number = socket.number();
                long read = Words.call(IOCTL, capture, number, SIOCGIFFLAGS, request.address());
                Words.check(read, capture, attempted);
                request.set(JAVA_SHORT, IFR_FLAGS, (short) (request.get(JAVA_SHORT, IFR_FLAGS) | IFF_UP));
                long written = Words.call(IOCTL, capture, number, SIOCSIFFLAGS, request.address());
                Words.check(written, capture, attempted);
            }
        }
    }
}
