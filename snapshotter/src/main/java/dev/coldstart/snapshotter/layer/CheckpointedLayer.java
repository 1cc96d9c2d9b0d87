package dev.coldstart.snapshotter.layer;

import dev.coldstart.snapshotter.tree.Content;
import dev.coldstart.snapshotter.tree.Tree;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * Makes a layer's index and tree from a list of its files and of checkpoints of its gzip data, as somebody else made them,
 * without reading the blob. The digests of files are not known: their names are {@link ObjectName#derived}. Spans are as the
 * checkpoints are, and are proven by the digest of the blob's bytes before these are inflated.
 */
public final class CheckpointedLayer implements AutoCloseable {
    private final NewLayer layer;
    private final Digest blob;
    private final Digest table;

    /**
     * A layer without files so far.
     *
     * @param indexFile replaced if it exists
     * @param treeFile replaced if it exists
     * @param blob its digest, which nobody has compared
     * @param table digest of what lists files and checkpoints
     */
    public CheckpointedLayer(Path indexFile, Path treeFile, Digest blob, Digest table) throws IOException {
        layer = new NewLayer(indexFile, treeFile);
        this.blob = blob;
        this.table = table;
    }

    /**
     * Adds an entry, in the order of the layer.
     *
     * @param offset of a regular file's bytes in the uncompressed tar
     */
    public void add(LayerEntry entry, long offset) throws IOException {
        layer.add(entry, () -> regular(entry, offset));
    }

    private Content regular(LayerEntry entry, long offset) throws LayerException {
        if (entry.size() == 0) {
            return layer.empty();
        }
        if (offset < 0 || entry.size() < 0) {
            throw new LayerException(Tree.printable(entry.path()) + " cannot lie where it is said to");
        }
        ObjectName name = ObjectName.derived(table, blob, offset, entry.size());
        layer.index().addObject(name, offset, entry.size());
        return new Content.Redirect(name.bytes(), entry.size());
    }

    /**
     * Adds the next span.
     *
     * @param out offset of its first byte in the uncompressed tar
     * @param in offset in the blob behind the last byte touched before
     * @param bits how many upper bits of that byte are still to be read, 0 to 7
     * @param window the 32 KiB before {@code out}; of those before the tar's first byte nothing is kept
     * @param sha256 of the blob's bytes that are needed, the byte that is read in part included
     */
    public void addSpan(long out, long in, int bits, byte[] window, Digest sha256) throws IOException {
        if (out < 0 || in < 0 || bits < 0 || bits > 7 || window.length > LayerIndexer.WINDOW) {
            throw new LayerException("it has a checkpoint that cannot be");
        }
        int known = (int) Math.min(window.length, out);
        Checkpoint start = new Checkpoint(out, in, bits);
        start.state(Arrays.copyOfRange(window, window.length - known, window.length));
        layer.index().addSpan(start, sha256.bytes());
    }

    /**
     * Writes index and tree, which appear under their names, the tree first.
     *
     * @param diffId digest of the tar, which nobody has compared
     * @param blobSize bytes of the blob
     * @param uncompressedSize bytes of the tar, as far as there are spans
     * @param end offset in the blob behind the last span's bytes
     */
    public void finish(Digest diffId, long blobSize, long uncompressedSize, long end) throws IOException {
        layer.index().endSpans(end);
        layer.finish(LayerIndex.FORMAT_GZIP_PROVEN, blob, diffId, blobSize, uncompressedSize);
    }

    @Override
    public void close() throws IOException {
        layer.close();
    }
}
