package dev.coldstart.snapshotter.layer;

import dev.coldstart.snapshotter.tree.Content;
import dev.coldstart.snapshotter.tree.Tree;
import dev.coldstart.snapshotter.tree.TreeException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Makes a layer's index and tree from a list of its files and of the chunks of their bytes, without reading the blob. Every
 * file with bytes is an object, small ones too: a list has no bytes to put into the tree. A span is a run of chunks of
 * about {@link LayerIndexer#SPAN} bytes, so that small neighbours come in one request.
 *
 * <p>Nothing is believed but that the list is the one that the image means: chunks have to lie in the blob without
 * overlapping, a file's in one piece, and the index is validated as when it is opened before it gets its name.
 */
public final class ChunkedLayer implements AutoCloseable {
    // A row takes 64 bytes of heap until the index is written.
    private static final long MAX_CHUNKS =
            Math.min(4L << 20, Runtime.getRuntime().maxMemory() / 1024);
    private static final byte[] NO_DIGEST = new byte[32];

    private final NewLayer layer;
    private final IndexFile index;
    private final List<File> files = new ArrayList<>();
    private long pieces;

    private record File(ObjectName name, long size, List<LayerEntry.Chunk> chunks) {
        LayerEntry.Chunk first() {
            return chunks.getFirst();
        }
    }

    /** What the chunks are compressed with. */
    public enum Compression {
        GZIP(LayerIndex.FORMAT_GZIP_CHUNKS),
        ZSTD(LayerIndex.FORMAT_ZSTD_CHUNKS);

        private final int format;

        Compression(int format) {
            this.format = format;
        }
    }

    /**
     * A layer without files so far.
     *
     * @param indexFile replaced if it exists
     * @param treeFile replaced if it exists
     */
    public ChunkedLayer(Path indexFile, Path treeFile) throws IOException {
        layer = new NewLayer(indexFile, treeFile);
        index = layer.index();
    }

    /**
     * Adds an entry, in the order of the layer.
     *
     * @throws LayerException if its chunks are not all of it
     * @throws TreeException if it cannot be in a tree
     */
    public void add(LayerEntry entry, List<LayerEntry.Chunk> chunks) throws IOException {
        layer.add(entry, () -> regular(entry, chunks));
    }

    private Content regular(LayerEntry entry, List<LayerEntry.Chunk> chunks) throws LayerException {
        if (entry.size() == 0) {
            return layer.empty();
        }
        long left = entry.size();
        for (LayerEntry.Chunk chunk : chunks) {
            if (chunk.size() <= 0 || chunk.size() > left || (chunk.sha256() == null && !chunk.zeros())) {
                throw bad(entry, "has a chunk without digest or of an impossible size");
            }
            left -= chunk.size();
            pieces += chunk.zeros() ? chunk.size() / LayerIndexer.SPAN + 1 : 1;
        }
        if (left != 0) {
            throw bad(entry, "has chunks for " + (entry.size() - left) + " of " + entry.size() + " bytes");
        }
        if (pieces > MAX_CHUNKS) {
            throw new LayerException("it has more than " + MAX_CHUNKS + " chunks");
        }
        ObjectName only = chunks.size() == 1 ? chunks.getFirst().sha256() : null;
        ObjectName name = entry.name() != null ? entry.name() : only;
        if (name == null || (only != null && !only.equals(name))) {
            throw bad(entry, "has no digest, or another one than its only chunk");
        }
        files.add(new File(name, entry.size(), List.copyOf(chunks)));
        return new Content.Redirect(name.bytes(), entry.size());
    }

    private static LayerException bad(LayerEntry entry, String flaw) {
        return new LayerException(Tree.printable(entry.path()) + " " + flaw);
    }

    /**
     * Writes index and tree, which appear under their names, the tree first.
     *
     * @param blob its digest, which nobody has compared
     * @param diffId digest of the tar, which nobody has compared
     * @param blobSize bytes of the blob
     * @param end offset in the blob behind the last member or frame with bytes of files
     */
    public void finish(Compression compression, Digest blob, Digest diffId, long blobSize, long end)
            throws IOException {
        files.sort(Comparator.comparingLong((File file) -> file.first().blobStart())
                .thenComparingLong(file -> file.first().inner()));
        long[] starts = files.stream()
                .flatMap(file -> file.chunks().stream())
                .filter(chunk -> !chunk.zeros())
                .mapToLong(LayerEntry.Chunk::blobStart)
                .sorted()
                .distinct()
                .toArray();
        Spans spans = new Spans(starts, end);
        for (File file : files) {
            // Equal bytes are fetched from where they are first.
            if (!index.hasObject(file.name())) {
                index.addObject(file.name(), spans.out, file.size());
                for (LayerEntry.Chunk chunk : file.chunks()) {
                    spans.add(chunk);
                }
            }
        }
        spans.flush();
        layer.finish(compression.format, blob, diffId, blobSize, spans.out);
    }

    @Override
    public void close() throws IOException {
        layer.close();
    }

    /** Lays chunks out one after the other. Those of one member or frame are never parted. */
    private final class Spans {
        private final long[] starts;
        private final long end;
        /** Of the span that is being filled; not noted yet. */
        private final List<LayerEntry.Chunk> pending = new ArrayList<>();

        private long pendingBytes;
        /** Bytes so far. */
        private long out;
        /** Of the last chunk that is not zeros. */
        private long member = -1;

        private long memberEnd;

        Spans(long[] starts, long end) {
            this.starts = starts;
            this.end = end;
        }

        void add(LayerEntry.Chunk chunk) throws IOException {
            if (chunk.zeros()) {
                for (long left = chunk.size(); left > 0; left -= LayerIndexer.SPAN) {
                    long size = Math.min(left, LayerIndexer.SPAN);
                    makeRoom(size);
                    append(new LayerEntry.Chunk(0, 0, 0, size, null, true), size);
                }
                return;
            }
            if (chunk.blobStart() != member) {
                makeRoom(chunk.size());
            }
            member = chunk.blobStart();
            append(chunk, chunk.size());
        }

        private void makeRoom(long size) throws IOException {
            if (pendingBytes > 0 && pendingBytes + size > LayerIndexer.SPAN) {
                flush();
            }
        }

        private void append(LayerEntry.Chunk chunk, long size) {
            pending.add(chunk);
            pendingBytes += size;
            out += size;
        }

        void flush() throws IOException {
            long at = out - pendingBytes;
            long from = memberEnd;
            for (LayerEntry.Chunk chunk : pending) {
                if (!chunk.zeros()) {
                    from = chunk.blobStart();
                    break;
                }
            }
            if (!pending.isEmpty()) {
                index.addSpan(at, from);
            }
            for (LayerEntry.Chunk chunk : pending) {
                if (chunk.zeros()) {
                    index.addChunk(at, 0, 0, 0, NO_DIGEST, true);
                } else {
                    memberEnd = chunk.blobEnd() > 0 ? chunk.blobEnd() : next(chunk.blobStart());
                    long bytes = memberEnd - chunk.blobStart();
                    ObjectName sha256 = chunk.sha256();
                    if (bytes <= 0
                            || bytes > LayerIndex.MAX_CHUNKED_RANGE
                            || memberEnd > end
                            || chunk.inner() < 0
                            || chunk.inner() >= LayerIndex.MAX_SPAN
                            || sha256 == null) {
                        throw new LayerException("it has a chunk at byte " + chunk.blobStart()
                                + " of the blob that cannot be there or is too large");
                    }
                    index.addChunk(at, chunk.blobStart(), (int) bytes, (int) chunk.inner(), sha256.bytes(), false);
                }
                at += chunk.size();
            }
            pending.clear();
            pendingBytes = 0;
        }

        /** Where the member or frame behind one starts. */
        private long next(long start) {
            int found = java.util.Arrays.binarySearch(starts, start + 1);
            int at = found < 0 ? -found - 1 : found;
            return at < starts.length ? starts[at] : end;
        }
    }
}
