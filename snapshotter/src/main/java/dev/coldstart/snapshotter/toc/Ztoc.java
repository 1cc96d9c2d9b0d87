package dev.coldstart.snapshotter.toc;

import dev.coldstart.snapshotter.layer.CheckpointedLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerEntry;
import dev.coldstart.snapshotter.layer.LayerException;
import dev.coldstart.snapshotter.tree.Tree;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * SOCI's index of one layer: its files, by where they are in the tar, and checkpoints of its gzip data (soci-snapshotter,
 * {@code ztoc/fbs/ztoc.fbs}, and {@code ztoc/compression/gzip_zinfo.c} for the checkpoints). A checkpoint is the offset in
 * the blob (i64), that in the tar (i64), how many bits of the byte before start the span (u8) and 32 KiB that come before;
 * ahead of them is their number (i32) and the size a span should have (i64). Version 1 leaves the first one out, and takes it
 * to be behind a gzip header of 10 bytes.
 */
final class Ztoc {
    private static final byte GZIP = 1;
    private static final int WINDOW = 32 << 10;
    private static final int CHECKPOINT = 8 + 8 + 1 + WINDOW;
    private static final int HEADER = 4 + 8;
    private static final int SHORT_GZIP_HEADER = 10;
    private static final String XATTR = "SCHILY.xattr.";
    private static final String SPARSE = "GNU.sparse.";

    private final FlatTable files;
    private final FlatTable.Vector digests;
    private final ByteBuffer checkpoints;
    private final int spans;
    private final boolean first;
    private final long blobSize;
    private final long uncompressedSize;

    private Ztoc(FlatTable root) throws LayerException {
        blobSize = root.int64(2);
        uncompressedSize = root.int64(3);
        FlatTable toc = root.table(4);
        FlatTable zinfo = root.table(5);
        if (toc == null || zinfo == null) {
            throw new LayerException("its zTOC has no files or no checkpoints");
        }
        if (zinfo.int8(0, GZIP) != GZIP) {
            throw new LayerException("its zTOC is not of gzip data");
        }
        files = toc;
        digests = zinfo.vector(2);
        checkpoints = zinfo.bytes(3);
        spans = zinfo.int32(1) + 1;
        long expected = HEADER + (long) CHECKPOINT * spans;
        first = checkpoints.limit() == expected;
        if (spans <= 0
                || digests.count() != spans
                || (!first && checkpoints.limit() != expected - CHECKPOINT)
                || checkpoints.getInt(0) != spans) {
            throw new LayerException("its zTOC has " + checkpoints.limit() + " bytes of checkpoints and "
                    + digests.count() + " digests for " + spans + " spans");
        }
    }

    /** Reads a zTOC whose digest was compared. */
    static Ztoc of(byte[] bytes) throws LayerException {
        return new Ztoc(FlatTable.root(bytes));
    }

    /** Bytes of the blob. */
    long blobSize() {
        return blobSize;
    }

    /** How many of the blob's first bytes have to be shown to {@link #addTo}. */
    int headerBytes() {
        return first ? 0 : SHORT_GZIP_HEADER;
    }

    /**
     * Puts all of it into a layer.
     *
     * @param header the blob's first bytes
     */
    void addTo(CheckpointedLayer layer, byte[] header, Digest diffId) throws IOException {
        if (!first && header[3] != 0) {
            // Whoever made it did not know that the header is longer.
            throw new LayerException("its zTOC is of version 1, and its first span starts elsewhere than that says");
        }
        FlatTable.Vector entries = files.vector(0);
        for (int i = 0; i < entries.count(); i++) {
            FlatTable file = entries.table(i);
            layer.add(entry(file), file.int64(2));
        }
        long end = blobSize;
        for (int span = 0; span < spans; span++) {
            int at = HEADER + CHECKPOINT * (first ? span : span - 1);
            if ((span > 0 || first) && checkpoints.getLong(at + 8) >= uncompressedSize) {
                // Behind the tar's end: compressors like to close with an empty block.
                end = checkpoints.getLong(at);
                break;
            }
            Digest sha256;
            try {
                sha256 = Digest.parse(digests.text(span));
            } catch (IllegalArgumentException e) {
                throw new LayerException("its zTOC has no digest of span " + span, e);
            }
            if (span == 0 && !first) {
                layer.addSpan(0, SHORT_GZIP_HEADER, 0, new byte[0], sha256);
                continue;
            }
            byte[] window = new byte[WINDOW];
            checkpoints.get(at + 17, window);
            layer.addSpan(
                    checkpoints.getLong(at + 8), checkpoints.getLong(at), checkpoints.get(at + 16), window, sha256);
        }
        layer.finish(diffId, blobSize, uncompressedSize, end);
    }

    private static LayerEntry entry(FlatTable file) throws LayerException {
        String name = file.text(0);
        char type = EntryType.tar(file.text(1));
        long uid = Integer.toUnsignedLong(file.int32(6));
        long gid = Integer.toUnsignedLong(file.int32(7));
        EntryType.check(uid, gid, file.int64(11), file.int64(12));
        Map<String, byte[]> xattrs = Map.of();
        FlatTable.Vector records = file.vector(13);
        for (int i = 0; i < records.count(); i++) {
            FlatTable pair = records.table(i);
            String key = pair.text(0);
            if (key.startsWith(SPARSE)) {
                throw new LayerException("its zTOC has the sparse file " + Tree.printable(name)
                        + ", and does not say where its parts are");
            }
            if (key.startsWith(XATTR)) {
                xattrs = xattrs.isEmpty() ? new LinkedHashMap<>() : xattrs;
                xattrs.put(key.substring(XATTR.length()), pair.text(1).getBytes(StandardCharsets.ISO_8859_1));
            }
        }
        GoTime time = GoTime.parse(file.text(10));
        return new LayerEntry(
                type,
                name,
                file.text(4),
                (int) (file.int64(5) & 07777),
                (int) uid,
                (int) gid,
                time.seconds(),
                time.nanos(),
                type == '3' || type == '4' ? (int) file.int64(11) : 0,
                type == '3' || type == '4' ? (int) file.int64(12) : 0,
                xattrs,
                type == '0' ? file.int64(3) : 0,
                null);
    }
}
