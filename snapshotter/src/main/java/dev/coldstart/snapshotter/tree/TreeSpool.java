package dev.coldstart.snapshotter.tree;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * A temporary file for the bytes of small and sparse files, which are met before it is known where in the tree they go.
 * Deleted when closed. Not thread-safe.
 */
public final class TreeSpool implements AutoCloseable {
    private static final int BUFFER = 256 << 10;

    private final FileChannel channel;
    private final ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER);
    private final Arena arena = Arena.ofShared();
    private MemorySegment mapped = MemorySegment.NULL;
    private long flushed;

    /** A new spool in a directory. */
    public TreeSpool(Path directory) throws IOException {
        channel = FileChannel.open(
                Files.createTempFile(directory, ".spool", ""),
                StandardOpenOption.READ,
                StandardOpenOption.WRITE,
                StandardOpenOption.DELETE_ON_CLOSE);
    }

    /** Where the next byte goes. */
    public long position() {
        return flushed + buffer.position();
    }

    /** Appends bytes. */
    public void write(byte[] bytes, int from, int length) throws IOException {
        int done = 0;
        while (done < length) {
            if (!buffer.hasRemaining()) {
                flush();
            }
            int piece = Math.min(length - done, buffer.remaining());
            buffer.put(bytes, from + done, piece);
            done += piece;
        }
    }

    /** Appends zeros, without writing them. */
    long reserve(long length) throws IOException {
        flush();
        long at = flushed;
        flushed += length;
        return at;
    }

    /** Writes bytes into what was reserved. */
    void write(long position, byte[] bytes, int from, int length) throws IOException {
        ByteBuffer piece = ByteBuffer.wrap(bytes, from, length);
        while (piece.hasRemaining()) {
            channel.write(piece, position + piece.position() - from);
        }
    }

    private void flush() throws IOException {
        buffer.flip();
        while (buffer.hasRemaining()) {
            flushed += channel.write(buffer, flushed);
        }
        buffer.clear();
    }

    /** Makes all that was written so far readable: through memory, as a read for each of 10^5 small files takes longer. */
    void map() throws IOException {
        flush();
        if (channel.size() < flushed) {
            // What was reserved last and never written; a mapping may not reach beyond the file.
            channel.write(ByteBuffer.allocate(1), flushed - 1);
        }
        mapped = channel.map(FileChannel.MapMode.READ_ONLY, 0, flushed, arena);
    }

    /** Copies bytes that were mapped to a buffer that has room for them; what was reserved and never written is zeros. */
    void read(long position, ByteBuffer into, int length) {
        into.put(into.position(), mapped.asSlice(position, length).asByteBuffer(), 0, length);
        into.position(into.position() + length);
    }

    @Override
    public void close() throws IOException {
        arena.close();
        channel.close();
    }
}
