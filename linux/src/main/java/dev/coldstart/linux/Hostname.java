package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** The host name of a UTS namespace. */
public final class Hostname {
    private static final MethodHandle SETHOSTNAME = Words.function("sethostname");

    private Hostname() {}

    /**
     * Sets the name.
     *
     * @param namespace such as {@code /proc/PID/ns/uts}
     */
    public static void set(Path namespace, String name) throws LinuxException, InterruptedException {
        Namespaces.inside(namespace, Namespaces.CLONE_NEWUTS, () -> {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment capture = Native.capture(arena);
                MemorySegment bytes = arena.allocateFrom(ValueLayout.JAVA_BYTE, name.getBytes(StandardCharsets.UTF_8));
                long result = Words.call(SETHOSTNAME, capture, bytes.address(), bytes.byteSize());
                Words.check(result, capture, "set the host name in " + namespace);
            }
        });
    }
}
