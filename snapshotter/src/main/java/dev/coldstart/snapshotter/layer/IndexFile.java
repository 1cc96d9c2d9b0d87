package dev.coldstart.snapshotter.layer;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;
import java.util.zip.Deflater;

/** Writes what {@link LayerIndex} reads. Holds the rows in memory (about 150 bytes each), not the states. */
final class IndexFile implements AutoCloseable {
    private record Extent(ObjectName name, long offset, long size) {}

    // Higher levels take three times as long for a few percent.
    private static final int WINDOW_LEVEL = 1;

    private final FileChannel file;
    private final Map<ObjectName, Extent> objects = new HashMap<>();
    private final Deflater deflater = new Deflater(WINDOW_LEVEL, true);
    private byte[] compressed = new byte[LayerIndexer.WINDOW + 1024];
    private ByteBuffer spans = ByteBuffer.allocate(256 * LayerIndex.SPAN_ROW).order(ByteOrder.LITTLE_ENDIAN);
    private ByteBuffer chunks = ByteBuffer.allocate(0).order(ByteOrder.LITTLE_ENDIAN);
    private final CRC32C windows = new CRC32C();
    private long spansEnd;
    private long end = LayerIndex.HEADER;
    private long impliedAt = LayerIndex.HEADER;
    private byte[] implied = new byte[0];

    IndexFile(FileChannel file) {
        this.file = file;
    }

    int objectCount() {
        return objects.size();
    }

    int spanCount() {
        return spans.position() / LayerIndex.SPAN_ROW;
    }

    boolean hasObject(ObjectName name) {
        return objects.containsKey(name);
    }

    int chunkCount() {
        return chunks.position() / LayerIndex.CHUNK_ROW;
    }

    /** Notes where an object's bytes are; the first place is kept if there are several. */
    void addObject(ObjectName name, long offset, long size) {
        objects.putIfAbsent(name, new Extent(name, offset, size));
    }

    /** Notes the next span, with the digest of its bytes. */
    void addSpan(Checkpoint checkpoint, byte[] sha256) throws IOException {
        byte[] state = checkpoint.state();
        int length = 0;
        if (state.length > 0) {
            // Deflate makes nothing longer than this.
            if (compressed.length < state.length + state.length / 1000 + 64) {
                compressed = new byte[2 * state.length + 64];
            }
            deflater.reset();
            deflater.setInput(state);
            deflater.finish();
            length = deflater.deflate(compressed);
            windows.update(compressed, 0, length);
            write(ByteBuffer.wrap(compressed, 0, length), end);
        }
        spans = withRoom(spans, LayerIndex.SPAN_ROW);
        spans.putLong(checkpoint.out()).putLong(checkpoint.in());
        spans.put(sha256);
        spans.putLong(end).putInt(length);
        // Where there are bits, the state is a window of 32 KiB at most.
        spans.putInt(state.length | checkpoint.bits() << 16);
        end += length;
    }

    /** Notes where the last span ends in the blob, if that is not the blob's end. */
    void endSpans(long in) {
        spansEnd = in;
    }

    /** Notes the next span, of chunks that come after it. */
    void addSpan(long out, long in) {
        spans = withRoom(spans, LayerIndex.SPAN_ROW);
        spans.putLong(out).putLong(in).put(new byte[32]);
        spans.putLong(chunkCount()).putLong(0);
    }

    /** Notes the next chunk; {@link LayerIndex} says what is what. */
    void addChunk(long out, long in, int bytes, int inner, byte[] sha256, boolean zeros) {
        chunks = withRoom(chunks, LayerIndex.CHUNK_ROW);
        chunks.putLong(out).putLong(in).putInt(bytes).putInt(inner).put(sha256);
        chunks.putLong(zeros ? 1 : 0);
    }

    private static ByteBuffer withRoom(ByteBuffer rows, int row) {
        return rows.remaining() >= row
                ? rows
                : ByteBuffer.allocate(Math.max(256 * row, 2 * rows.capacity()))
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .put(rows.flip());
    }

    /** Notes the layer's implied directories; after the last span. */
    void addImplied(List<String> paths) throws IOException {
        StringBuilder text = new StringBuilder();
        paths.forEach(path -> text.append(path).append('\0'));
        implied = text.toString().getBytes(StandardCharsets.ISO_8859_1);
        impliedAt = end;
        write(ByteBuffer.wrap(implied), end);
        end += implied.length;
    }

    /** Writes the tables and the header. */
    void finish(int format, Digest layer, Digest diffId, long blobSize, long uncompressedSize) throws IOException {
        int chunkCount = chunkCount();
        chunks.flip();
        int chunksChecksum = LayerIndex.checksum(chunks, 0, chunks.limit());
        long chunksAt = end;
        write(chunks, end);
        end += chunks.limit();
        long size = end + (long) objects.size() * (LayerIndex.OBJECT_ROW + 4) + spans.position();
        if (size > Integer.MAX_VALUE) {
            throw new LayerException("the layer's index would have " + size + " bytes, more than 2 GiB");
        }
        ByteBuffer tables = ByteBuffer.allocate((int) (size - end)).order(ByteOrder.LITTLE_ENDIAN);
        List<Extent> rows = new ArrayList<>(objects.values());
        rows.sort(Comparator.comparing(Extent::name));
        List<Integer> order = new ArrayList<>();
        for (Extent row : rows) {
            order.add(order.size());
            tables.order(ByteOrder.BIG_ENDIAN)
                    .putLong(row.name().a())
                    .putLong(row.name().b())
                    .putLong(row.name().c())
                    .putLong(row.name().d());
            tables.order(ByteOrder.LITTLE_ENDIAN).putLong(row.offset()).putLong(row.size());
        }
        order.sort(Comparator.comparingLong(row -> rows.get(row).offset()));
        for (int row : order) {
            tables.putInt(row);
        }
        int spanCount = spanCount();
        tables.put(spans.flip());
        tables.flip();
        ByteBuffer header = ByteBuffer.allocate(LayerIndex.HEADER).order(ByteOrder.LITTLE_ENDIAN);
        header.putLong(LayerIndex.MAGIC).putInt(LayerIndex.VERSION);
        header.putInt(format);
        header.put(layer.bytes()).put(diffId.bytes());
        header.putLong(blobSize).putLong(uncompressedSize);
        header.putInt(rows.size()).putInt(spanCount).putLong(end);
        header.putInt(LayerIndex.checksum(tables, 0, tables.limit()));
        header.putLong(impliedAt).putInt(implied.length);
        header.putInt(LayerIndex.checksum(ByteBuffer.wrap(implied), 0, implied.length));
        if (format == LayerIndex.FORMAT_GZIP_CHUNKS || format == LayerIndex.FORMAT_ZSTD_CHUNKS) {
            header.putLong(160, chunksAt).putInt(168, chunkCount).putInt(172, chunksChecksum);
        } else if (format == LayerIndex.FORMAT_GZIP_PROVEN) {
            header.putLong(160, spansEnd).putInt(172, (int) windows.getValue());
        } else if (format == LayerIndex.FORMAT_ZSTD) {
            header.putLong(160, spansEnd);
        }
        CRC32C crc = new CRC32C();
        crc.update(header.array(), 0, LayerIndex.HEADER - 4);
        header.putInt(LayerIndex.HEADER - 4, (int) crc.getValue());
        write(tables, end);
        write(header.clear(), 0);
    }

    @Override
    public void close() {
        deflater.end();
    }

    private void write(ByteBuffer bytes, long position) throws IOException {
        while (bytes.hasRemaining()) {
            position += file.write(bytes, position);
        }
    }
}
