package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * Room for one reply at a time: a head for the header and fixed structures, and a payload. Sending allocates nothing.
 * For one thread at a time.
 */
public final class FuseReply {
    /** Bytes of the head: a header (16) and the largest fixed structure, with room to spare. */
    public static final int HEAD_BYTES = 256;

    private static final MethodHandle WRITEV = Native.libc(
            "writev",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT));

    private final MemorySegment head;
    private final MemorySegment payload;
    private final MemorySegment vector;
    private final CallState state;

    /**
     * Lives as long as the arena, which must be usable from every thread that uses this.
     *
     * @param payloadBytes most bytes that a reply carries besides its head
     */
    public FuseReply(Arena arena, long payloadBytes) {
        this.head = arena.allocate(HEAD_BYTES, 8);
        this.payload = arena.allocate(Math.max(payloadBytes, 8), 4096);
        this.vector = arena.allocate(ValueLayout.JAVA_LONG, 4);
        this.state = new CallState(arena);
        vector.setAtIndex(ValueLayout.JAVA_LONG, 0, head.address());
        vector.setAtIndex(ValueLayout.JAVA_LONG, 2, payload.address());
    }

    public MemorySegment head() {
        return head;
    }

    public MemorySegment payload() {
        return payload;
    }

    /** For further calls of the thread that has this reply. */
    public CallState state() {
        return state;
    }

    /**
     * Writes the first bytes of head and payload as one reply.
     *
     * @return 0 or a negated errno; {@code -ENOENT} says that the request was interrupted and nobody waits any more
     */
    public int send(FuseDevice device, long headBytes, long payloadBytes) {
        vector.setAtIndex(ValueLayout.JAVA_LONG, 1, headBytes);
        vector.setAtIndex(ValueLayout.JAVA_LONG, 3, payloadBytes);
        try {
            long n = (long) WRITEV.invokeExact(state.capture(), device.fd(), vector, payloadBytes == 0 ? 1 : 2);
            return n < 0 ? -state.errno() : 0;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }
}
