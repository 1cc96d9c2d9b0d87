package dev.coldstart.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
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
    private final Arena arena;
    private final ByteBuffer bytes;

    private MappedFile(Arena arena, ByteBuffer bytes) {
        this.arena = arena;
        this.bytes = bytes;
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
                ByteBuffer bytes = channel.map(FileChannel.MapMode.READ_ONLY, 0, size, arena)
                        .asByteBuffer()
                        .order(ByteOrder.LITTLE_ENDIAN);
                return new MappedFile(arena, bytes);
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

    /** Unmaps the file. No thread may be reading. */
    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }
}
