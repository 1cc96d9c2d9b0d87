package dev.coldstart.snapshotter.trace;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.RawInflater;
import dev.coldstart.snapshotter.fetch.Prefetch;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.zip.DataFormatException;

/** Unpacks a prefetch blob. For one thread. */
final class PrefetchBringer implements AutoCloseable {
    private final Arena arena = Arena.ofConfined();
    private final CallState state = new CallState(arena);
    private final RawInflater inflater = RawInflater.fastest();
    /** Grows with the largest frame; most are of about one size. */
    private MemorySegment bytes = MemorySegment.NULL;

    /**
     * Lands what is left of a blob, until the prefetch is closed.
     *
     * @throws IOException if the blob breaks off or is not sound
     */
    void bring(PrefetchBlob.Reader blob, Prefetch prefetch) throws IOException {
        for (PrefetchBlob.Frame frame = blob.next(); frame != null; frame = blob.next()) {
            prefetch.fetched(frame.compressed().remaining());
            inflate(frame);
            long at = 0;
            for (Prefetch.Range range : frame.ranges()) {
                if (!prefetch.land(state, bytes.asSlice(at, range.length()))) {
                    return;
                }
                at += range.length();
            }
        }
    }

    private void inflate(PrefetchBlob.Frame frame) throws TraceException {
        inflater.reset();
        if (bytes.byteSize() < frame.length()) {
            bytes = arena.allocate(frame.length() + frame.length() / 2);
        }
        ByteBuffer room = bytes.asSlice(0, frame.length()).asByteBuffer();
        ByteBuffer in = frame.compressed();
        try {
            while (room.hasRemaining()) {
                int left = room.remaining() + in.remaining();
                RawInflater.Status status = inflater.inflate(in, room);
                if (room.hasRemaining()
                        && (status == RawInflater.Status.END || room.remaining() + in.remaining() == left)) {
                    throw new DataFormatException("a frame ends after " + room.position() + " bytes");
                }
            }
        } catch (DataFormatException e) {
            throw new TraceException("not a sound prefetch blob of a layer: " + e.getMessage(), e);
        }
    }

    @Override
    public void close() {
        inflater.close();
        arena.close();
    }
}
