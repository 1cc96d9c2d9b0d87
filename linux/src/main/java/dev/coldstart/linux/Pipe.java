package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** An anonymous pipe: both ends close-on-exec and blocking. */
public record Pipe(Descriptor read, Descriptor write) implements AutoCloseable {
    private static final int O_CLOEXEC = 0x80000;
    private static final MethodHandle PIPE2 = Words.function("pipe2");

    /** pipe2(2). */
    public static Pipe open() throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            MemorySegment ends = arena.allocate(JAVA_INT, 2);
            Words.check(Words.call(PIPE2, capture, ends.address(), O_CLOEXEC, 0), capture, "make a pipe");
            return new Pipe(
                    Descriptor.adopt(ends.getAtIndex(JAVA_INT, 0)), Descriptor.adopt(ends.getAtIndex(JAVA_INT, 1)));
        }
    }

    @Override
    public void close() {
        read.close();
        write.close();
    }
}
