package dev.coldstart.snapshotter.toc;

import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.fetch.BlobSource;
import dev.coldstart.snapshotter.layer.ChunkedLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerException;
import dev.coldstart.snapshotter.rootfs.IndexOrigin;
import java.io.ByteArrayInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/**
 * Layers in eStargz (stargz-snapshotter, {@code docs/estargz.md}): a gzip blob with a member for each chunk, whose last
 * members are a tar with the table of contents and a footer. The image has to say the table's digest; without it the blob is
 * read as any other.
 */
public final class EstargzOrigin implements IndexOrigin {
    /** On a layer's descriptor: digest of the table's JSON. */
    static final String TABLE_DIGEST = "containerd.io/snapshot/stargz/toc.digest";

    private static final String TABLE_NAME = "stargz.index.json";
    /** Enough for the table of a layer of a thousand files, so that one request does. */
    private static final int TAIL = 128 << 10;

    /** The most bytes of a compressed table that are held in memory. */
    static final long MAX_COMPRESSED = Math.min(64L << 20, Runtime.getRuntime().maxMemory() / 8);

    private static final int RECORD = 512;

    private final BlobSource blobs;

    public EstargzOrigin(BlobSource blobs) {
        this.blobs = blobs;
    }

    @Override
    public String name() {
        return "the eStargz table of contents";
    }

    @Override
    public boolean provide(ResolvedLayer layer, Path index, Path tree) throws IOException {
        String annotation = layer.annotations().get(TABLE_DIGEST);
        Digest diffId = layer.diffId();
        if (annotation == null
                || diffId == null
                || layer.size() <= 0
                || layer.mediaType().endsWith("zstd")) {
            return false;
        }
        Digest expected;
        try {
            expected = Digest.parse(annotation);
        } catch (IllegalArgumentException e) {
            throw new LayerException("its image names a table of contents by something else than a digest", e);
        }
        long size = layer.size();
        long from = Math.max(0, size - TAIL);
        byte[] tail = BlobRange.read(blobs, layer.layer(), from, size);
        EstargzFooter footer = EstargzFooter.of(tail);
        if (footer == null) {
            throw new LayerException("its image says that it is eStargz, and it has no such footer");
        }
        long start = footer.tableStart();
        long end = size - footer.bytes();
        if (start > end || end - start > MAX_COMPRESSED) {
            throw new LayerException("its table of contents would have " + (end - start) + " bytes compressed");
        }
        byte[] table = start >= from
                ? java.util.Arrays.copyOfRange(tail, (int) (start - from), tail.length - footer.bytes())
                : BlobRange.read(blobs, layer.layer(), start, end);
        compare(table, expected);
        try (ChunkedLayer chunked = new ChunkedLayer(index, tree);
                InputStream json = json(table)) {
            TableOfContents.read(json, chunked);
            chunked.finish(ChunkedLayer.Compression.GZIP, layer.layer(), diffId, size, start);
        }
        return true;
    }

    private static void compare(byte[] table, Digest expected) throws IOException {
        MessageDigest sha256;
        try {
            sha256 = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
        try (InputStream json = new DigestInputStream(json(table), sha256)) {
            json.transferTo(OutputStream.nullOutputStream());
        }
        Digest found = Digest.of(sha256.digest());
        if (!found.equals(expected)) {
            throw new LayerException(
                    "the digest of its table of contents is " + found + ", and its image says " + expected);
        }
    }

    /** The JSON in the tar in the gzip data. */
    private static InputStream json(byte[] table) throws IOException {
        InputStream tar;
        try {
            tar = new GZIPInputStream(new ByteArrayInputStream(table), 1 << 16);
        } catch (ZipException | EOFException e) {
            throw new LayerException("its table of contents is not gzip", e);
        }
        byte[] header = tar.readNBytes(RECORD);
        String text = new String(header, StandardCharsets.ISO_8859_1);
        if (header.length < RECORD
                || !text.startsWith(TABLE_NAME + "\0")
                || !text.substring(124, 136).matches("[0-7]{11}[ \0]")) {
            tar.close();
            throw new LayerException("its table of contents is not where its footer says");
        }
        long size = Long.parseLong(text.substring(124, 135), 8);
        if (size > TableOfContents.MAX_JSON) {
            tar.close();
            throw new LayerException("its table of contents has " + size + " bytes");
        }
        return new BoundedInputStream(tar, size);
    }
}
