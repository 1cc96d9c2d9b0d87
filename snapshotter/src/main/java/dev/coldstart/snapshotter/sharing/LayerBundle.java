package dev.coldstart.snapshotter.sharing;

import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.NewFile;
import dev.coldstart.snapshotter.trace.Traces;
import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.Deflater;
import java.util.zip.DeflaterOutputStream;
import java.util.zip.InflaterInputStream;

/**
 * A layer's index and tree, its trace and where its prefetch blob lies, as one stream, sealed for the layer. Under the seal and zlib's compression (RFC 1950):
 * the version, 4 bytes; sections, each a byte for its kind, 8 bytes for its length, and its bytes; a zero. Numbers are
 * big-endian; sections of unknown kinds are passed over.
 */
public final class LayerBundle {
    /** Of the sealed stream. */
    public static final String MEDIA_TYPE = "application/vnd.coldstart.layer.v1.sealed";

    private static final int VERSION = 1;
    private static final int INDEX = 1;
    private static final int TREE = 2;
    private static final int TRACE = 3;
    private static final int PREFETCH = 4;
    private static final int END = 0;
    private static final int LONGEST_TRACE = 16 << 20;
    private static final int LONGEST_PLACE = 4096;

    private LayerBundle() {}

    /**
     * Writes a layer's bundle.
     *
     * @param to closed at the end
     * @throws java.nio.file.NoSuchFileException if index or tree are not here
     */
    public static void write(OutputStream to, ClusterKey key, Digest layer, Path index, Path tree, Traces traces)
            throws IOException {
        byte[] trace = traces.read(layer);
        String prefetch = traces.prefetch(layer);
        Deflater deflater = new Deflater(Deflater.BEST_SPEED);
        try (DataOutputStream out =
                new DataOutputStream(new DeflaterOutputStream(key.seal(to, layer.toString()), deflater, 1 << 16))) {
            out.writeInt(VERSION);
            section(out, INDEX, index);
            section(out, TREE, tree);
            if (trace != null) {
                section(out, TRACE, trace);
            }
            if (prefetch != null) {
                section(out, PREFETCH, prefetch.getBytes(StandardCharsets.UTF_8));
            }
            out.writeByte(END);
        } finally {
            deflater.end();
        }
    }

    private static void section(DataOutputStream out, int kind, byte[] bytes) throws IOException {
        out.writeByte(kind);
        out.writeLong(bytes.length);
        out.write(bytes);
    }

    private static void section(DataOutputStream out, int kind, Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            long size = Files.size(file);
            out.writeByte(kind);
            out.writeLong(size);
            if (in.transferTo(out) != size) {
                throw new IOException(file + " changed while it was read");
            }
        }
    }

    /**
     * Reads a layer's bundle. Index and tree appear when all of it is read and known to be good, the tree first.
     *
     * @param from closed at the end
     * @param traces get what came with the layer
     * @throws IOException if the bundle is cut, was not sealed for this layer, or is of another layer
     */
    public static void read(
            InputStream from, ClusterKey key, ResolvedLayer layer, Path indexFile, Path treeFile, Traces traces)
            throws IOException {
        byte[] trace = null;
        byte[] prefetch = null;
        boolean hasIndex = false;
        boolean hasTree = false;
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(
                        new InflaterInputStream(key.open(from, layer.layer().toString())), 1 << 16));
                NewFile index = new NewFile(indexFile);
                NewFile tree = new NewFile(treeFile)) {
            int version = in.readInt();
            if (version != VERSION) {
                throw new IOException("its version is " + version + ", not " + VERSION);
            }
            for (int kind = in.readByte(); kind != END; kind = in.readByte()) {
                long length = in.readLong();
                switch (kind) {
                    case INDEX -> hasIndex = copy(in, length, index, hasIndex);
                    case TREE -> hasTree = copy(in, length, tree, hasTree);
                    case TRACE -> trace = small(in, length, LONGEST_TRACE);
                    case PREFETCH -> prefetch = small(in, length, LONGEST_PLACE);
                    default -> in.skipNBytes(length);
                }
            }
            if (!hasIndex || !hasTree) {
                throw new IOException("it has no index or no tree");
            }
            try (LayerIndex made = LayerIndex.open(index.unfinished())) {
                Digest diffId = layer.diffId();
                if (!made.layer().equals(layer.layer())
                        || (diffId != null && !made.diffId().equals(diffId))) {
                    throw new IOException("it is of layer " + made.layer() + " with diffID " + made.diffId());
                }
            }
            tree.commit();
            index.commit();
            if (trace != null) {
                traces.add(layer.layer(), trace);
            }
            if (prefetch != null) {
                traces.addPrefetch(layer.layer(), new String(prefetch, StandardCharsets.UTF_8));
            }
        }
    }

    private static byte[] small(DataInputStream in, long length, int most) throws IOException {
        if (length < 0 || length > most) {
            throw new IOException("it has a part of " + length + " bytes, where " + most + " are the most");
        }
        return in.readNBytes((int) length);
    }

    private static boolean copy(DataInputStream in, long length, NewFile file, boolean second) throws IOException {
        if (second || length < 0) {
            throw new IOException("it has two of one part, or a part without a length");
        }
        OutputStream out = Channels.newOutputStream(file.channel());
        byte[] buffer = new byte[1 << 16];
        for (long left = length; left > 0; ) {
            int n = in.read(buffer, 0, (int) Math.min(buffer.length, left));
            if (n < 0) {
                throw new java.io.EOFException("it ends too early");
            }
            out.write(buffer, 0, n);
            left -= n;
        }
        return true;
    }
}
