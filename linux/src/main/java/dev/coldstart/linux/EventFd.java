package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** A counter in the kernel that wakes {@link Poll}: readable from {@link #signal} until {@link #drain}. */
public final class EventFd implements AutoCloseable {
    private static final int EFD_CLOEXEC_NONBLOCK = 0x80800;
    private static final MethodHandle EVENTFD = Words.function("eventfd");

    private final Descriptor descriptor;

    private EventFd(Descriptor descriptor) {
        this.descriptor = descriptor;
    }

    /** eventfd(2). */
    public static EventFd open() throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            long result = Words.call(EVENTFD, capture, 0, EFD_CLOEXEC_NONBLOCK, 0);
            return new EventFd(Descriptor.adopt(Words.check(result, capture, "make an eventfd")));
        }
    }

    public Descriptor descriptor() {
        return descriptor;
    }

    public void signal() throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            descriptor.write(arena.allocateFrom(JAVA_LONG, 1L), Native.capture(arena));
        }
    }

    public void drain() throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            descriptor.read(arena.allocate(JAVA_LONG), Native.capture(arena));
        }
    }

    @Override
    public void close() {
        descriptor.close();
    }
}
