package dev.coldstart.snapshotter.toc;

import dev.coldstart.snapshotter.layer.LayerException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Where the table of contents of a zstd:chunked blob is: in a skippable frame (RFC 8878, section 3.1.2), compressed with
 * zstd itself. Annotations of the layer's descriptor say so, and if they do not, a footer in one more skippable frame: of 64
 * bytes (containers/storage, {@code pkg/chunked/internal/minimal/compression.go}) or of 40 (stargz-snapshotter, {@code
 * estargz/zstdchunked/zstdchunked.go}).
 *
 * @param start offset in the blob of the compressed table, behind the frame's header
 * @param compressed bytes of it in the blob
 * @param uncompressed bytes of its JSON
 */
record ZstdTable(long start, long compressed, long uncompressed) {
    /** The footer with the header of its frame. */
    static final int MAX_FOOTER = 72;
    /** Bytes of a skippable frame's header. */
    static final int FRAME_HEADER = 8;

    private static final String[] PREFIXES = {"io.github.containers.zstd-chunked.", "io.containers.zstd-chunked."};
    private static final Pattern POSITION = Pattern.compile("(\\d{1,18}):(\\d{1,18}):(\\d{1,18}):(\\d{1,9})");
    private static final int SKIPPABLE = 0x184d_2a50;
    private static final long MAGIC = 0x7855_6e49_6c55_4e47L;
    private static final long STARGZ_MAGIC = 0x7855_6e49_6c55_6e47L;
    private static final int KIND = 1;

    /** The annotation of this name, under either prefix that is in use; null if there is none. */
    static @Nullable String annotation(Map<String, String> annotations, String name) {
        for (String prefix : PREFIXES) {
            String value = annotations.get(prefix + name);
            if (value != null) {
                return value;
            }
        }
        return null;
    }

    /** Reads {@code manifest-position}: offset, bytes, bytes uncompressed, kind. */
    static ZstdTable of(String position) throws IOException {
        Matcher matcher = POSITION.matcher(position);
        if (!matcher.matches() || Long.parseLong(matcher.group(4)) != KIND) {
            throw new LayerException("its image says in no known way where its table of contents is");
        }
        return new ZstdTable(
                Long.parseLong(matcher.group(1)), Long.parseLong(matcher.group(2)), Long.parseLong(matcher.group(3)));
    }

    /**
     * Reads the footer.
     *
     * @param tail the blob's last bytes
     * @return null if this is none
     */
    static @Nullable ZstdTable of(byte[] tail) {
        ByteBuffer bytes = ByteBuffer.wrap(tail).order(ByteOrder.LITTLE_ENDIAN);
        for (int size : new int[] {64, 40}) {
            int at = tail.length - size;
            if (at < FRAME_HEADER) {
                continue;
            }
            long magic = bytes.getLong(tail.length - 8);
            if (bytes.getInt(at - 8) == SKIPPABLE
                    && bytes.getInt(at - 4) == size
                    && (magic == MAGIC || magic == STARGZ_MAGIC)
                    && bytes.getLong(at + 24) == KIND) {
                return new ZstdTable(bytes.getLong(at), bytes.getLong(at + 8), bytes.getLong(at + 16));
            }
        }
        return null;
    }
}
