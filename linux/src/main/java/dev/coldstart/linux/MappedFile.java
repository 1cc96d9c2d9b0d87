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
    /** The largest that a kernel we run on has. */
    private static final long PAGE = 1 << 16;

    private static final int MADV_WILLNEED = 3;
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

    /** Has the file's last bytes read into the page cache, and does not wait for them. */
    public void expect(long length) {
        // Advice works on whole pages; a mapping starts with one.
        long from = Math.max(0, mapping.byteSize() - length) & -PAGE;
        advise(from, MADV_WILLNEED);
    }

    /** Lets go of the pages read so far: they are this process's memory no more, and come back from the page cache. */
    public void forget() {
        advise(0, MADV_DONTNEED);
    }

    private void advise(long from, int advice) {
        if (mapping.byteSize() > from) {
            try (Arena capture = Arena.ofConfined()) {
                // Advice: without it the file is read as well.
                var _ = Words.call(
                        MADVISE, Native.capture(capture), mapping.address() + from, mapping.byteSize() - from, advice);
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
