package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * Lets functions of a library read and write buffers: direct ones where they are, those on the heap through native memory
 * that is allocated when there is the first.
 */
final class Staging {
    // Heap buffers pass in pieces of this size, which stay in the second-level cache.
    private static final int SIZE = 64 << 10;

    private final Arena arena;
    private @Nullable MemorySegment in;
    private @Nullable MemorySegment out;

    Staging(Arena arena) {
        this.arena = arena;
    }

    /** What can be read of a buffer in one call, its position left as it is. */
    MemorySegment source(ByteBuffer buffer) {
        if (buffer.isDirect()) {
            return MemorySegment.ofBuffer(buffer);
        }
        MemorySegment stage = in;
        if (stage == null) {
            stage = arena.allocate(SIZE);
            in = stage;
        }
        int length = Math.min(buffer.remaining(), SIZE);
        MemorySegment.copy(MemorySegment.ofBuffer(buffer), 0, stage, 0, length);
        return stage.asSlice(0, length);
    }

    /** Where one call can write what {@link #written} then has in the buffer. */
    MemorySegment target(ByteBuffer buffer) {
        if (buffer.isDirect()) {
            return MemorySegment.ofBuffer(buffer);
        }
        MemorySegment stage = out;
        if (stage == null) {
            stage = arena.allocate(SIZE);
            out = stage;
        }
        return stage.asSlice(0, Math.min(buffer.remaining(), SIZE));
    }

    /** Moves a buffer's position behind the first {@code length} bytes of its {@link #target}. */
    void written(MemorySegment target, int length, ByteBuffer buffer) {
        if (!buffer.isDirect()) {
            MemorySegment.copy(
                    target, ValueLayout.JAVA_BYTE, 0, buffer.array(), buffer.arrayOffset() + buffer.position(), length);
        }
        buffer.position(buffer.position() + length);
    }
}
