package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** Entering the namespaces of another process. */
public final class Namespaces {
    private static final int CLONE_NEWNET = 0x40000000;
    private static final MethodHandle SETNS = Words.function("setns");

    private Namespaces() {}

    /**
     * Moves the calling thread, and no other, into a network namespace; sockets it makes from then on belong there. Only
     * for a platform thread made for the purpose: it never comes back.
     *
     * @param path such as {@code /proc/PID/ns/net}
     */
    public static void enterNetwork(String path) throws LinuxException {
        try (Arena arena = Arena.ofConfined();
                Descriptor namespace = Descriptor.open(path, Descriptor.O_RDONLY, 0)) {
            MemorySegment capture = Native.capture(arena);
            long result = Words.call(SETNS, capture, namespace.number(), CLONE_NEWNET, 0);
            Words.check(result, capture, "enter the network namespace " + path);
        }
    }
}
