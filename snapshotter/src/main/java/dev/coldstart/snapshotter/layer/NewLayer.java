package dev.coldstart.snapshotter.layer;

import dev.coldstart.snapshotter.tree.Content;
import dev.coldstart.snapshotter.tree.TreeSpool;
import dev.coldstart.snapshotter.tree.TreeWriter;
import java.io.IOException;
import java.nio.file.Path;

/** The index and the tree of a layer whose files are listed somewhere: both appear at the end, or neither. */
final class NewLayer implements AutoCloseable {
    private final NewFile newIndex;
    private final NewFile newTree;
    private final TreeSpool spool;
    private final IndexFile index;
    private final LayerTree tree = new LayerTree();

    /**
     * A layer without files so far.
     *
     * @param indexFile replaced if it exists
     * @param treeFile replaced if it exists
     */
    NewLayer(Path indexFile, Path treeFile) throws IOException {
        newIndex = new NewFile(indexFile);
        NewFile openedTree = null;
        try {
            openedTree = new NewFile(treeFile);
            spool = new TreeSpool(NewFile.directory(treeFile));
        } catch (IOException e) {
            newIndex.close();
            if (openedTree != null) {
                openedTree.close();
            }
            throw e;
        }
        newTree = openedTree;
        index = new IndexFile(newIndex.channel());
    }

    IndexFile index() {
        return index;
    }

    /** Puts an entry into the tree; asks for the bytes if it is a regular file and no whiteout. */
    void add(LayerEntry entry, LayerTree.Regular regular) throws IOException {
        if (tree.whiteout(entry.path())) {
            return;
        }
        tree.put(
                entry.type(),
                entry.path(),
                entry.link(),
                entry.major(),
                entry.minor(),
                LayerTree.attributes(
                        entry.mode(), entry.uid(), entry.gid(), entry.seconds(), entry.nanos(), entry.xattrs()),
                regular);
    }

    /** What a file without bytes has. */
    Content empty() {
        return new Content.Bytes(spool.position(), 0);
    }

    /** Writes both, the index validated as when it is opened, and gives them their names, the tree first. */
    void finish(int format, Digest layer, Digest diffId, long blobSize, long uncompressedSize) throws IOException {
        TreeWriter.write(tree.tree, spool, layer.bytes(), newTree.channel());
        index.addImplied(tree.tree.implied());
        index.finish(format, layer, diffId, blobSize, uncompressedSize);
        LayerIndex.open(newIndex.unfinished()).close();
        newTree.commit();
        newIndex.commit();
    }

    @Override
    public void close() throws IOException {
        try (newIndex;
                newTree;
                spool) {
            index.close();
        }
    }
}
