package dev.coldstart.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * A file mapped read-only into memory, at most 2 GiB of it, and unmapped when closed: a buffer of a closed mapping throws
 * {@link IllegalStateException} where {@link FileChannel#map(FileChannel.MapMode, long, long)} would wait for the
 * garbage collector. The file must not be truncated meanwhile. Thread-safe.
 */
public final class MappedFile implements AutoCloseable {
    private static final int MADV_DONTNEED = 4;
    private static final MethodHandle MADVISE = Words.function("madvise");

    private final Arena arena;
    private final MemorySegment mapping;
    private final ByteBuffer bytes;

    private MappedFile(Arena arena, MemorySegment mapping) {
        this.arena = arena;
        this.mapping = mapping;
        this.bytes = mapping.asByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
    }

    /**
     * Maps the whole file.
     *
     * @throws IOException if the file cannot be opened or mapped, or has 2 GiB or more
     */
    public static MappedFile open(Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            long size = channel.size();
            if (size > Integer.MAX_VALUE) {
                throw new IOException("map " + file + ": it has " + size + " bytes, more than one mapping holds");
            }
            Arena arena = Arena.ofShared();
            try {
                return new MappedFile(arena, channel.map(FileChannel.MapMode.READ_ONLY, 0, size, arena));
            } catch (IOException | RuntimeException e) {
                arena.close();
                throw e;
            }
        }
    }

    /** The file's bytes, little-endian, from position 0: one buffer for all, to be read by absolute offsets. */
    public ByteBuffer bytes() {
        return bytes;
    }

    /** Lets go of the pages read so far: they are this process's memory no more, and come back from the page cache. */
    public void forget() {
        if (mapping.byteSize() > 0) {
            try (Arena capture = Arena.ofConfined()) {
                // Advice: without it the file is read as well.
                var _ = Words.call(
                        MADVISE, Native.capture(capture), mapping.address(), mapping.byteSize(), MADV_DONTNEED);
            }
        }
    }

    /** Unmaps the file. No thread may be reading. */
    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }
}
