package dev.coldstart.snapshotter.layer;

import dev.coldstart.snapshotter.tree.Content;
import dev.coldstart.snapshotter.tree.SparseWriter;
import dev.coldstart.snapshotter.tree.Tree;
import dev.coldstart.snapshotter.tree.TreeException;
import dev.coldstart.snapshotter.tree.TreeSpool;
import dev.coldstart.snapshotter.tree.TreeWriter;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import org.jspecify.annotations.Nullable;

/**
 * One pass over a layer's blob: its index, its tree, and if wanted the bytes of its objects.
 *
 * <p>The thread that calls reads the blob, hashes and inflates it; a second one reads what comes out as a tar. Memory: 2
 * MiB of buffers, of zstd data its window (8 MiB or less as a rule, 128 MiB at most), and for each file of the layer its name and attributes until the tree is written.
 *
 * <p>What becomes of an entry: a regular file of more than {@link #INLINE} bytes is an object, named by the SHA-256 of
 * its bytes, and in the tree a redirect to it; a smaller or a sparse file has its bytes in the tree. {@link LayerTree} says
 * what becomes of whiteouts and of extended attributes. Access control lists are
 * taken from {@code SCHILY.xattr.} records, as containerd does, and not from {@code SCHILY.acl.}.
 */
public final class LayerIndexer {
    /**
     * About how many uncompressed bytes a span has, if it is not of zstd data that refers far back. Half of it costs an index twice as large (measured on a Debian root:
     * 3.0 % of the tar with 512 KiB, 1.5 % with 1 MiB, 0.8 % with 2 MiB), twice of it doubles what one read has to fetch
     * and inflate (2.9 ms with 1 MiB).
     */
    public static final int SPAN = 1 << 20;

    /**
     * Files of at most so many bytes are in the tree instead of being objects. One block: on disk it takes no more than an
     * object would, and it spares every such file (half of a Python layer's, 70 % of an npm tree's) a lookup in the tiers, an
     * open through FUSE when it is not here, and a row in the index. With more, trees grow faster than objects get fewer.
     */
    public static final int INLINE = 4 << 10;

    /** The most bytes that deflate data may refer back. */
    static final int WINDOW = 32 << 10;

    // Sparse files have their bytes in the tree, and one byte in a hole may take a chunk of many.
    private static final long MAX_SPARSE = 1L << 30;

    private final IndexFile index;
    private final TreeSpool spool;
    private final @Nullable ObjectSink sink;
    private final LayerTree tree = new LayerTree();
    private final MessageDigest sha256 = Sha256.digest();
    private long scattered;

    private LayerIndexer(IndexFile index, TreeSpool spool, @Nullable ObjectSink sink) {
        this.index = index;
        this.spool = spool;
        this.sink = sink;
    }

    /**
     * Reads a gzip (of one member or several), zstd (of one frame or several) or plain tar blob to its end and writes its index and its tree. Both appear
     * under their names at the end, the tree first, or not at all.
     *
     * @param blob the whole blob; not closed
     * @param layer what the blob's digest has to be
     * @param diffId what the uncompressed tar's digest has to be, if known
     * @param indexFile replaced if it exists
     * @param treeFile replaced if it exists
     * @param sink gets the bytes of every object, in the order of the tar and before the digests are known to be right
     * @param progress told how far it has come
     * @throws LayerException if the blob is malformed, has another digest, or is in another format
     * @throws IOException if the blob cannot be read or the files cannot be written
     */
    public static IndexedLayer index(
            InputStream blob,
            Digest layer,
            @Nullable Digest diffId,
            Path indexFile,
            Path treeFile,
            @Nullable ObjectSink sink,
            ProgressListener progress)
            throws IOException {
        Pipe pipe = new Pipe();
        try (NewFile newIndex = new NewFile(indexFile);
                NewFile newTree = new NewFile(treeFile);
                TreeSpool spool = new TreeSpool(NewFile.directory(treeFile));
                IndexFile index = new IndexFile(newIndex.channel());
                BlobReader reader = new BlobReader(blob, pipe, progress, SPAN)) {
            LayerIndexer indexer = new LayerIndexer(index, spool, sink);
            TarStream tar = new TarStream(pipe, index);
            run(reader, pipe, () -> indexer.read(tar));
            Digest digest = reader.digest();
            if (!digest.equals(layer)) {
                throw new LayerException("its digest is " + digest);
            }
            if (diffId != null && !diffId.equals(tar.diffId())) {
                throw new LayerException("the digest of its uncompressed bytes is " + tar.diffId() + ", not " + diffId);
            }
            int inodes = TreeWriter.write(indexer.tree.tree, spool, layer.bytes(), newTree.channel());
            index.addImplied(indexer.tree.tree.implied());
            index.endSpans(reader.dataEnd());
            index.finish(reader.format(), layer, tar.diffId(), reader.blobSize(), tar.position());
            newTree.commit();
            newIndex.commit();
            return new IndexedLayer(
                    layer,
                    tar.diffId(),
                    reader.blobSize(),
                    tar.position(),
                    inodes,
                    index.objectCount(),
                    index.spanCount(),
                    indexFile,
                    treeFile);
        } catch (LayerException | TreeException e) {
            throw new LayerException("index layer " + layer + ": " + e.getMessage(), e);
        }
    }

    /** What is done with the uncompressed bytes. */
    @FunctionalInterface
    private interface Reading {
        void run() throws IOException;
    }

    /** Reads the blob here and what comes out of it in a second thread, until both are at the end. */
    private static void run(BlobReader reader, Pipe pipe, Reading reading) throws IOException {
        FutureTask<@Nullable Void> task = new FutureTask<>(() -> {
            try {
                reading.run();
            } finally {
                // After the whole stream this changes nothing; before it, it stops the other side.
                pipe.breakOff();
            }
            return null;
        });
        Thread.ofPlatform().daemon().name("coldstart-layer").start(task);
        IOException failure = null;
        try {
            reader.run();
        } catch (Pipe.BrokenException e) {
            failure = e;
        } catch (IOException | RuntimeException e) {
            pipe.breakOff();
            await(task);
            throw e;
        }
        try {
            task.get();
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case LayerException bad -> throw bad;
                case TreeException bad -> throw bad;
                case IOException io -> throw new IOException(io.getMessage(), io);
                case null, default -> throw new IllegalStateException("reading a layer's tar failed", e.getCause());
            }
        } catch (InterruptedException e) {
            pipe.breakOff();
            await(task);
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted while indexing a layer");
        }
        if (failure != null) {
            throw failure;
        }
    }

    /** Waits for the second thread, which was told to stop; what it says no longer matters. */
    private static void await(FutureTask<@Nullable Void> task) {
        boolean interrupted = false;
        while (true) {
            try {
                task.get();
                break;
            } catch (ExecutionException e) {
                break;
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void read(TarStream tar) throws IOException {
        TarReader reader = new TarReader(tar);
        for (TarEntry entry = reader.next(); entry != null; entry = reader.next()) {
            if (!tree.whiteout(entry.path())) {
                put(entry, reader, tar);
            }
        }
        tar.drain();
    }

    private void put(TarEntry entry, TarReader reader, TarStream tar) throws IOException {
        tree.put(
                entry.type(),
                entry.path(),
                entry.link(),
                entry.major(),
                entry.minor(),
                LayerTree.attributes(
                        entry.mode(), entry.uid(), entry.gid(), entry.seconds(), entry.nanos(), entry.xattrs()),
                () -> regular(entry, reader, tar));
    }

    private Content regular(TarEntry entry, TarReader reader, TarStream tar) throws IOException {
        if (entry.sparse() && entry.size() > 0) {
            return sparse(entry, reader);
        }
        if (entry.size() > INLINE) {
            return new Content.Redirect(object(entry, reader, tar), entry.size());
        }
        long at = spool.position();
        reader.body(entry, spool::write);
        return new Content.Bytes(at, entry.size());
    }

    /** Passes an object on and returns its SHA-256. */
    private byte[] object(TarEntry entry, TarReader reader, TarStream tar) throws IOException {
        long offset = tar.position();
        ObjectSink.Writer writer = sink == null ? null : sink.begin(entry.size());
        try {
            reader.body(entry, (bytes, from, length) -> {
                sha256.update(bytes, from, length);
                if (writer != null) {
                    writer.write(ByteBuffer.wrap(bytes, from, length));
                }
            });
            byte[] digest = sha256.digest();
            ObjectName name = ObjectName.of(digest);
            if (writer != null) {
                writer.complete(name);
            }
            index.addObject(name, offset, entry.size());
            return digest;
        } catch (IOException | RuntimeException e) {
            if (writer != null) {
                writer.abort();
            }
            throw e;
        }
    }

    private Content sparse(TarEntry entry, TarReader reader) throws IOException {
        SparseWriter writer = new SparseWriter(spool, entry.size());
        long[] pieces = entry.pieces();
        long last = -1;
        scattered -= entry.stored();
        for (int i = 0; i < pieces.length; i += 2) {
            if (pieces[i + 1] > 0) {
                long first = Math.max(pieces[i] / writer.chunkSize(), last + 1);
                last = (pieces[i] + pieces[i + 1] - 1) / writer.chunkSize();
                scattered += Math.max(0, last - first + 1) * writer.chunkSize();
            }
        }
        if (scattered > MAX_SPARSE) {
            throw new LayerException("the sparse file " + Tree.printable(entry.path())
                    + " has its bytes too scattered: each would take " + writer.chunkSize() + " bytes in the tree");
        }
        Scatter scatter = new Scatter(writer, pieces);
        reader.body(entry, scatter);
        return writer.content();
    }

    /** Puts the bytes of a sparse file where its map says. */
    private static final class Scatter implements TarStream.Sink {
        private final SparseWriter writer;
        private final long[] pieces;
        private int piece;
        private long done;

        Scatter(SparseWriter writer, long[] pieces) {
            this.writer = writer;
            this.pieces = pieces;
        }

        @Override
        public void accept(byte[] bytes, int from, int length) throws IOException {
            int at = from;
            int left = length;
            while (left > 0) {
                if (done == pieces[piece + 1]) {
                    piece += 2;
                    done = 0;
                    continue;
                }
                int some = (int) Math.min(left, pieces[piece + 1] - done);
                writer.write(pieces[piece] + done, bytes, at, some);
                done += some;
                at += some;
                left -= some;
            }
        }
    }
}
