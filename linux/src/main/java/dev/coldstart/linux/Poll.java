package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** A fixed number of descriptors to wait for, with poll(2). Belongs to the thread that made it. */
public final class Poll implements AutoCloseable {
    public static final short READABLE = 0x1;
    public static final short URGENT = 0x2;
    public static final short WRITABLE = 0x4;

    // struct pollfd { int fd; short events; short revents; }
    private static final long ENTRY = 8;
    private static final MethodHandle POLL = Words.function("poll");

    private final Arena arena = Arena.ofConfined();
    private final MemorySegment capture = Native.capture(arena);
    private final MemorySegment entries;
    private final int size;

    public Poll(int size) {
        this.size = size;
        entries = arena.allocate(ENTRY * size, 4);
        for (int i = 0; i < size; i++) {
            skip(i);
        }
    }

    public void watch(int index, Descriptor descriptor, short events) {
        entries.set(JAVA_INT, index * ENTRY, descriptor.number());
        entries.set(JAVA_SHORT, index * ENTRY + 4, events);
        entries.set(JAVA_SHORT, index * ENTRY + 6, (short) 0);
    }

    /** Leaves an entry out of the next waits. */
    public void skip(int index) {
        entries.set(JAVA_INT, index * ENTRY, -1);
        entries.set(JAVA_SHORT, index * ENTRY + 6, (short) 0);
    }

    /**
     * Sleeps until a descriptor is ready (in error or hung up counts as ready).
     *
     * @param timeoutMillis -1: for ever
     * @return whether one is
     */
    public boolean await(int timeoutMillis) throws LinuxException {
        while (true) {
            int ready = (int) Words.call(POLL, capture, entries.address(), size, timeoutMillis);
            if (ready >= 0) {
                return ready > 0;
            }
            if (Native.errno(capture) != Errno.EINTR) {
                throw new LinuxException("poll", Native.errno(capture));
            }
        }
    }

    /** Whether the last wait found anything of this entry. */
    public boolean ready(int index) {
        return entries.get(JAVA_SHORT, index * ENTRY + 6) != 0;
    }

    @Override
    public void close() {
        arena.close();
    }
}
