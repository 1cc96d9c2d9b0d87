package dev.coldstart.snapshotter.toc;

import dev.coldstart.snapshotter.content.ResolvedLayer;
import dev.coldstart.snapshotter.fetch.BlobSource;
import dev.coldstart.snapshotter.layer.ChunkedLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerException;
import dev.coldstart.snapshotter.layer.ZstdFrame;
import dev.coldstart.snapshotter.rootfs.IndexOrigin;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * Layers in zstd:chunked: a zstd blob with a frame for each chunk and the table of contents in a skippable frame, as
 * containers/storage and stargz-snapshotter write it. The image has to say the digest of the table, compressed ({@code
 * manifest-checksum}) or not ({@code toc.digest}); without one the blob is read as any other.
 */
public final class ZstdChunkedOrigin implements IndexOrigin {
    private final BlobSource blobs;

    public ZstdChunkedOrigin(BlobSource blobs) {
        this.blobs = blobs;
    }

    @Override
    public String name() {
        return "the zstd:chunked table of contents";
    }

    @Override
    public boolean provide(ResolvedLayer layer, Path index, Path tree) throws IOException {
        Digest compressed = digest(ZstdTable.annotation(layer.annotations(), "manifest-checksum"));
        Digest uncompressed =
                compressed != null ? null : digest(layer.annotations().get(EstargzOrigin.TABLE_DIGEST));
        Digest diffId = layer.diffId();
        long size = layer.size();
        if ((compressed == null && uncompressed == null)
                || diffId == null
                || size <= ZstdTable.MAX_FOOTER
                || !layer.mediaType().endsWith("zstd")) {
            return false;
        }
        ZstdTable table = table(layer, size);
        long limit = Runtime.getRuntime().maxMemory() / 4;
        if (table.start() < ZstdTable.FRAME_HEADER
                || table.compressed() <= 0
                || table.compressed() > EstargzOrigin.MAX_COMPRESSED
                || table.start() > size - table.compressed()
                || table.uncompressed() <= 0
                || table.uncompressed() > Math.min(TableOfContents.MAX_JSON, limit)) {
            throw new LayerException(
                    "its table of contents of " + table.uncompressed() + " bytes, " + table.compressed()
                            + " compressed, at byte " + table.start() + " cannot be there or is too large");
        }
        byte[] bytes = BlobRange.read(blobs, layer.layer(), table.start(), table.start() + table.compressed());
        if (compressed != null) {
            compare(bytes, compressed);
        }
        ByteBuffer json = ByteBuffer.allocate((int) table.uncompressed());
        new ZstdFrame().decode(ByteBuffer.wrap(bytes), json);
        if (json.hasRemaining()) {
            throw new LayerException("its table of contents is smaller than " + table.uncompressed() + " bytes");
        }
        if (uncompressed != null) {
            compare(json.array(), uncompressed);
        }
        try (ChunkedLayer chunked = new ChunkedLayer(index, tree)) {
            TableOfContents.read(new ByteArrayInputStream(json.array()), chunked);
            chunked.finish(
                    ChunkedLayer.Compression.ZSTD, layer.layer(), diffId, size, table.start() - ZstdTable.FRAME_HEADER);
        }
        return true;
    }

    private ZstdTable table(ResolvedLayer layer, long size) throws IOException {
        String position = ZstdTable.annotation(layer.annotations(), "manifest-position");
        if (position != null) {
            return ZstdTable.of(position);
        }
        ZstdTable found = ZstdTable.of(BlobRange.read(blobs, layer.layer(), size - ZstdTable.MAX_FOOTER, size));
        if (found == null) {
            throw new LayerException("its image says that it is zstd:chunked, and it has no such footer");
        }
        return found;
    }

    private static @Nullable Digest digest(@Nullable String annotation) throws LayerException {
        try {
            return annotation == null ? null : Digest.parse(annotation);
        } catch (IllegalArgumentException e) {
            throw new LayerException("its image names a table of contents by something else than a digest", e);
        }
    }

    private static void compare(byte[] table, Digest expected) throws LayerException {
        Digest found = Digest.ofContent(table);
        if (!found.equals(expected)) {
            throw new LayerException(
                    "the digest of its table of contents is " + found + ", and its image says " + expected);
        }
    }
}
