package dev.coldstart.snapshotter.layer;

import dev.coldstart.linux.MappedFile;
import dev.coldstart.snapshotter.zstd.ZstdDecoder;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.zip.CRC32C;

/**
 * What a layer's blob consists of: its objects, and the spans from which they come. Memory-mapped, so that an open index
 * costs no heap; validated when opened, so that nothing in the file can lead a reader astray; immutable and thread-safe.
 *
 * <p>Spans cut the uncompressed tar into pieces of about {@link LayerIndexer#SPAN} bytes, of zstd data up to four times as much. Each
 * can be inflated on its own from a range of the blob's bytes and a checkpoint: the bit at which it starts and the state of
 * the decoder, which for deflate data is the up to 32 KiB before it that it may refer to, and for zstd data the tables
 * and those bytes before it that it does refer to.
 *
 * <p>Of a blob that was made to be read in parts (eStargz, zstd:chunked) the index has the files' bytes only, in chunks
 * that are compressed and proven one by one: "the uncompressed tar" then stands for the bytes of the chunks one after the
 * other, in the order of the blob. A span is a run of chunks.
 *
 * <h2>The file</h2>
 *
 * All numbers are little-endian; unused bytes are zero. States come first, because they are known first; the tables
 * follow them without gaps, in this order, up to the end of the file.
 *
 * <pre>
 * header, 192 bytes
 *   0   8  "CSLAYER\n"
 *   8   4  version, 1
 *  12   4  format of the blob: 0 plain tar, 1 gzip, 2 zstd, 3 chunks in gzip members, 4 chunks in zstd frames, 5 gzip whose
 *          spans are proven before they are inflated
 *  16  32  SHA-256 of the blob
 *  48  32  SHA-256 of the uncompressed tar (diffID)
 *  80   8  bytes of the blob
 *  88   8  bytes of the uncompressed tar
 *  96   4  n, number of objects
 * 100   4  s, number of spans
 * 104   8  offset in this file of the object table
 * 112   4  CRC-32C of the three tables (not of the states: a span's SHA-256 vouches for its state)
 * 116   8  offset in this file of the implied directories, not behind the object table
 * 124   4  bytes of them
 * 128   4  CRC-32C of them
 * 160   8  formats 3 and 4: offset in this file of the chunks, not behind the object table; formats 2 and 5: offset in the
 *          blob behind the last span's bytes
 * 168   4  formats 3 and 4: c, number of chunks
 * 172   4  formats 3 and 4: CRC-32C of the chunks; format 5: of the states
 * 188   4  CRC-32C of the header's first 188 bytes
 * states
 * implied directories: paths without a leading slash, each followed by a zero
 * chunks, c rows of 64 bytes, ascending
 *   0   8  offset of the first byte in the uncompressed tar; a chunk ends where the next one starts
 *   8   8  offset in the blob of the gzip member or zstd frame in which it lies; several may lie in one
 *  16   4  bytes of the blob in which the chunk's part of the member or frame surely ends
 *  20   4  uncompressed bytes of the member or frame before the chunk
 *  24  32  SHA-256 of the chunk's bytes
 *  56   1  0 bytes of the blob, 1 zeros, which are not in the blob: 8 to 55 are zero
 * objects, n rows of 48 bytes, ascending by name
 *   0  32  name: SHA-256 of the object's bytes; in format 5 a derived one, see {@link ObjectName#derived}
 *  32   8  offset in the uncompressed tar
 *  40   8  bytes, more than 0
 * order, n times 4 bytes: rows of the object table, ascending by offset
 * spans, s rows of 64 bytes, ascending
 *   0   8  offset of the first byte in the uncompressed tar; a span ends where the next one starts
 *   8   8  offset in the blob, counting a byte that belongs to two spans to the earlier one
 *  16  32  SHA-256 of the span's uncompressed bytes; in format 5 of all of the blob's bytes that are needed to inflate it
 *  48   8  offset in this file of the state, itself deflate-compressed (RFC 1951)
 *  56   4  bytes of the state in this file
 *  gzip: the state is the window
 *  60   2  bytes of the window once inflated, 0 (no window) to 32768
 *  62   1  how many upper bits of the blob's byte before the offset start the span, 0 to 7
 *  zstd: the state is what {@link dev.coldstart.snapshotter.zstd.ZstdStream#checkpoint} says, none at the start of a frame
 *  60   4  bytes of the state once inflated, 640 more than the span has at most
 *  formats 3 and 4, instead of 16 to 63:
 *  48   8  number of its first chunk
 * </pre>
 */
public final class LayerIndex implements AutoCloseable {
    static final long MAGIC = 0x0a52_4559_414c_5343L;
    static final int VERSION = 1;
    static final int FORMAT_PLAIN = 0;
    static final int FORMAT_GZIP = 1;
    static final int FORMAT_ZSTD = 2;
    static final int FORMAT_GZIP_CHUNKS = 3;
    static final int FORMAT_ZSTD_CHUNKS = 4;
    static final int FORMAT_GZIP_PROVEN = 5;
    static final int HEADER = 192;
    static final int OBJECT_ROW = 48;
    static final int SPAN_ROW = 64;
    static final int CHUNK_ROW = 64;

    /** A span has fewer bytes than this, uncompressed; what does not fit cannot be indexed. */
    static final int MAX_SPAN = 64 << 20;

    /** Rows in about a page. */
    private static final int NEIGHBOURS = 64;

    /** A span of chunks takes less than this of the blob: what lies between chunks is fetched too. */
    static final int MAX_CHUNKED_RANGE = 2 * MAX_SPAN;

    /** The tables, which come last, and states as far as that goes. */
    private static final long EXPECTED_BYTES = 32 << 20;

    private final MappedFile file;
    private final ByteBuffer bytes;
    private final Digest layer;
    private final Digest diffId;
    private final int format;
    private final long blobSize;
    private final long uncompressedSize;
    private final int objects;
    private final int spans;
    private final int objectTable;
    private final int order;
    private final int spanTable;
    private final int chunks;
    private final int chunkTable;
    /** Offset in the blob behind the last span's bytes. */
    private final long spansEnd;

    private LayerIndex(MappedFile file, Path path) throws LayerException {
        this.file = file;
        this.bytes = file.bytes();
        long size = bytes.limit();
        require(size >= HEADER && bytes.getLong(0) == MAGIC, path, "it does not start as one");
        require(bytes.getInt(8) == VERSION, path, "its version is " + bytes.getInt(8) + ", not " + VERSION);
        require(checksum(bytes, 0, HEADER - 4) == bytes.getInt(HEADER - 4), path, "its header's checksum is wrong");
        format = bytes.getInt(12);
        require(
                format >= FORMAT_PLAIN && format <= FORMAT_GZIP_PROVEN,
                path,
                "blob format " + format + " is not known");
        layer = Digest.of(copy(16, 32));
        diffId = Digest.of(copy(48, 32));
        blobSize = bytes.getLong(80);
        uncompressedSize = bytes.getLong(88);
        objects = bytes.getInt(96);
        spans = bytes.getInt(100);
        require(
                blobSize >= 0 && uncompressedSize >= 0 && objects >= 0 && spans >= 0,
                path,
                "its header has a negative count");
        long tablesAt = bytes.getLong(104);
        require(tablesAt >= HEADER && tablesAt <= size, path, "its tables do not lie in the file");
        long orderAt = tablesAt + (long) objects * OBJECT_ROW;
        long spansAt = orderAt + (long) objects * 4;
        require(spansAt + (long) spans * SPAN_ROW == size, path, "it is not as long as its header says");
        objectTable = (int) tablesAt;
        order = (int) orderAt;
        spanTable = (int) spansAt;
        require(
                checksum(bytes, objectTable, (int) (size - tablesAt)) == bytes.getInt(112),
                path,
                "its tables' checksum is wrong");
        if (chunked()) {
            chunks = bytes.getInt(168);
            long chunksAt = bytes.getLong(160);
            require(
                    chunks >= 0 && chunksAt >= HEADER && chunksAt <= tablesAt - (long) chunks * CHUNK_ROW,
                    path,
                    "its chunks do not lie in the file");
            chunkTable = (int) chunksAt;
            require(
                    checksum(bytes, chunkTable, chunks * CHUNK_ROW) == bytes.getInt(172),
                    path,
                    "the checksum of its chunks is wrong");
            spansEnd = checkChunks(path);
        } else {
            chunks = 0;
            chunkTable = HEADER;
            spansEnd = format == FORMAT_GZIP_PROVEN || format == FORMAT_ZSTD ? bytes.getLong(160) : blobSize;
            require(spansEnd >= 0 && spansEnd <= blobSize, path, "its last span does not lie in the blob");
        }
        checkObjects(path);
        checkSpans(path);
        if (chunked()) {
            checkChunkedSpans(path);
        }
        long impliedAt = bytes.getLong(116);
        int impliedBytes = bytes.getInt(124);
        require(
                impliedBytes >= 0 && impliedAt >= 0 && impliedAt <= tablesAt - impliedBytes,
                path,
                "its implied directories do not lie in the file");
        require(
                checksum(bytes, (int) impliedAt, impliedBytes) == bytes.getInt(128),
                path,
                "the checksum of its implied directories is wrong");
    }

    /**
     * Opens and validates an index.
     *
     * @throws LayerException if the file is not a sound index
     * @throws IOException if it cannot be read
     */
    public static LayerIndex open(Path path) throws IOException {
        MappedFile file = MappedFile.open(path);
        try {
            LayerIndex index = new LayerIndex(file, path);
            // All of it was looked at; of hundreds of layers few are read.
            file.forget();
            return index;
        } catch (LayerException | RuntimeException e) {
            file.close();
            throw e;
        }
    }

    /** Has it read ahead, because bytes of the layer will be fetched. */
    public void expect() {
        file.expect(EXPECTED_BYTES);
    }

    /** Lets go of the memory that reading it took; what is read again comes from the page cache. */
    public void forget() {
        file.forget();
    }

    /** Digest of the blob. */
    public Digest layer() {
        return layer;
    }

    /** Digest of the uncompressed tar. */
    public Digest diffId() {
        return diffId;
    }

    /** Bytes of the blob. */
    public long blobSize() {
        return blobSize;
    }

    /** Bytes of the uncompressed tar. */
    public long uncompressedSize() {
        return uncompressedSize;
    }

    /**
     * Directories that the layer has no entry for, parents first: where layers below have them too, they are as they are
     * there.
     *
     * @return paths without a leading slash, a byte per char
     */
    public List<String> implied() {
        byte[] text = copy((int) bytes.getLong(116), bytes.getInt(124));
        return text.length == 0
                ? List.of()
                : List.of(new String(text, 0, text.length - 1, StandardCharsets.ISO_8859_1).split("\0", -1));
    }

    /**
     * Tells spans of the same blob apart that were cut by different means: 0 where a pass over the blob cut them, another
     * number for each way of a table of contents.
     */
    public int scheme() {
        return chunked() || provenBeforeInflating() ? format : 0;
    }

    /** Number of distinct objects; rows are 0 to this, exclusive. */
    public int objectCount() {
        return objects;
    }

    /** Number of spans. */
    public int spanCount() {
        return spans;
    }

    /** The row of an object, or -1 if this layer does not have it. */
    public int find(ObjectName name) {
        // Names are spread evenly, so one is near its place in proportion: a search from there on meets one page of the
        // table
        // or two, a search by halves as many as it has steps. Whatever the names are, the steps are twice as many at
        // most.
        int near = (int) (((name.a() >>> 32) * objects) >>> 32);
        int low = near;
        for (int step = NEIGHBOURS; low > 0 && compare(low, name) > 0; step *= 2) {
            low = Math.max(0, low - step);
        }
        int high = Math.min(near, objects - 1);
        for (int step = NEIGHBOURS; high < objects - 1 && compare(high, name) < 0; step *= 2) {
            high = (int) Math.min(objects - 1L, (long) high + step);
        }
        while (low <= high) {
            int middle = (low + high) >>> 1;
            int comparison = compare(middle, name);
            if (comparison == 0) {
                return middle;
            }
            if (comparison < 0) {
                low = middle + 1;
            } else {
                high = middle - 1;
            }
        }
        return -1;
    }

    /** Name of the object in a row. */
    public ObjectName objectName(int row) {
        int at = object(row);
        return new ObjectName(word(at), word(at + 8), word(at + 16), word(at + 24));
    }

    /** Bytes of the object in a row. */
    public long objectSize(int row) {
        return bytes.getLong(object(row) + 40);
    }

    /** Offset of the object's bytes in the uncompressed tar. */
    public long objectOffset(int row) {
        return bytes.getLong(object(row) + 32);
    }

    /**
     * The objects in the order of their bytes in the tar.
     *
     * @param i 0 to {@link #objectCount}, exclusive
     * @return a row
     */
    public int byOffset(int i) {
        return bytes.getInt(order + 4 * checkIndex(i, objects));
    }

    /** The span that has this byte of the uncompressed tar. */
    public int spanAt(long uncompressedOffset) {
        if (uncompressedOffset < 0 || uncompressedOffset >= uncompressedSize) {
            throw new IndexOutOfBoundsException(
                    "offset " + uncompressedOffset + " is not in a tar of " + uncompressedSize + " bytes");
        }
        int low = 0;
        int high = spans - 1;
        while (low < high) {
            int middle = (low + high + 1) >>> 1;
            if (spanStart(middle) <= uncompressedOffset) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return low;
    }

    /** Offset of the span's first byte in the uncompressed tar. */
    public long spanStart(int span) {
        return bytes.getLong(span(span));
    }

    /** Offset behind the span's last byte in the uncompressed tar. A span has at least one byte and less than 64 MiB. */
    public long spanEnd(int span) {
        return span + 1 == spans ? uncompressedSize : spanStart(span + 1);
    }

    /** Offset in the blob of the first byte needed to inflate the span. */
    public long spanBlobStart(int span) {
        return bytes.getLong(span(span) + 8) - (spanBits(span) == 0 ? 0 : 1);
    }

    /** Offset in the blob behind the last byte needed to inflate the span. */
    public long spanBlobEnd(int span) {
        return span + 1 == spans ? spansEnd : bytes.getLong(span(span + 1) + 8);
    }

    /**
     * Where to start looking for the objects of a span: the smallest {@code i} for which object {@link #byOffset
     * byOffset(i)} ends behind the span's first byte; {@link #objectCount} if there is none. Go on while {@link
     * #objectOffset} is below {@link #spanEnd}.
     */
    public int firstObjectIn(int span) {
        return firstObjectBehind(spanStart(span));
    }

    /** The smallest {@code i} for which object {@link #byOffset byOffset(i)} ends behind an offset in the uncompressed tar. */
    public int firstObjectBehind(long start) {
        int low = 0;
        int high = objects;
        while (low < high) {
            int middle = (low + high) >>> 1;
            int row = byOffset(middle);
            if (objectOffset(row) + objectSize(row) > start) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        return low;
    }

    /** Unmaps the file. No thread may be using this index; one that tries gets an {@link IllegalStateException}. */
    @Override
    public void close() {
        file.close();
    }

    /** One of the constants. */
    int format() {
        return format;
    }

    /** Whether the spans consist of chunks that are compressed and proven one by one. */
    boolean chunked() {
        return format == FORMAT_GZIP_CHUNKS || format == FORMAT_ZSTD_CHUNKS;
    }

    /** Whether the chunks are in zstd frames, not in gzip members. */
    boolean zstdChunks() {
        return format == FORMAT_ZSTD_CHUNKS;
    }

    /** Whether a span's digest is that of the blob's bytes, not of what they inflate to. */
    boolean provenBeforeInflating() {
        return format == FORMAT_GZIP_PROVEN;
    }

    /** The span's first chunk; of the number of spans: the number of chunks. */
    int firstChunk(int span) {
        return span == spans ? chunks : (int) bytes.getLong(span(span) + 48);
    }

    /** Offset of the chunk's first byte among the bytes of all chunks. */
    long chunkStart(int chunk) {
        return bytes.getLong(chunk(chunk));
    }

    /** Offset behind the chunk's last byte. */
    long chunkEnd(int chunk) {
        return chunk + 1 == chunks ? uncompressedSize : chunkStart(chunk + 1);
    }

    /** Offset in the blob of the member or frame with the chunk. */
    long chunkBlobStart(int chunk) {
        return bytes.getLong(chunk(chunk) + 8);
    }

    /** Bytes of the blob in which the chunk's part of the member or frame ends. */
    int chunkBlobBytes(int chunk) {
        return bytes.getInt(chunk(chunk) + 16);
    }

    /** Uncompressed bytes of the member or frame before the chunk. */
    int chunkInnerOffset(int chunk) {
        return bytes.getInt(chunk(chunk) + 20);
    }

    /** Whether the chunk is zeros that are not in the blob. */
    boolean isZeros(int chunk) {
        return bytes.get(chunk(chunk) + 56) == 1;
    }

    /** Whether this is the SHA-256 of the chunk's bytes. */
    boolean isChunkDigest(int chunk, byte[] sha256) {
        return isAt(chunk(chunk) + 24, sha256);
    }

    /** Whether the object's name is the chunk's SHA-256. */
    boolean isNamedAsChunk(int row, int chunk) {
        return bytes.slice(object(row), 32).equals(bytes.slice(chunk(chunk) + 24, 32));
    }

    /** Whether this is the object's name. */
    boolean isObjectName(int row, byte[] sha256) {
        return isAt(object(row), sha256);
    }

    /** The bits that start a span in the byte before {@link #spanBlobEnd} of the one before it, 0 to 7. */
    int spanBits(int span) {
        return format == FORMAT_ZSTD ? 0 : bytes.get(span(span) + 62);
    }

    /** Bytes of the state at the span's start once inflated. */
    int stateSize(int span) {
        int at = span(span) + 60;
        return format == FORMAT_ZSTD ? bytes.getInt(at) : Short.toUnsignedInt(bytes.getShort(at));
    }

    /** The state at the span's start, compressed. */
    ByteBuffer state(int span) {
        int at = span(span);
        return bytes.slice((int) bytes.getLong(at + 48), bytes.getInt(at + 56));
    }

    /** Whether this is the SHA-256 of the span's bytes. */
    boolean isSpanDigest(int span, byte[] sha256) {
        return isAt(span(span) + 16, sha256);
    }

    private boolean isAt(int at, byte[] sha256) {
        for (int i = 0; i < 32; i++) {
            if (bytes.get(at + i) != sha256[i]) {
                return false;
            }
        }
        return true;
    }

    static int checksum(ByteBuffer bytes, int from, int length) {
        CRC32C crc = new CRC32C();
        crc.update(bytes.slice(from, length));
        return (int) crc.getValue();
    }

    private void checkObjects(Path path) throws LayerException {
        for (int row = 1; row < objects; row++) {
            require(compareRows(row - 1, row) < 0, path, "its objects are not in the order of their names");
        }
        long end = 0;
        for (int i = 0; i < objects; i++) {
            int row = byOffset(i);
            require(row >= 0 && row < objects, path, "its order names an object that does not exist");
            // A derived name is not compared with what is kept under it, so no other index may use one.
            require(
                    objectName(row).isDerived() == (format == FORMAT_GZIP_PROVEN),
                    path,
                    "object " + row + " has a name of the wrong kind");
            long offset = objectOffset(row);
            long size = objectSize(row);
            // Ascending without overlap, so no row can occur twice.
            require(
                    offset >= end && size > 0 && size <= uncompressedSize - offset,
                    path,
                    "object " + row + " does not lie in the tar");
            end = offset + size;
        }
    }

    private void checkSpans(Path path) throws LayerException {
        require((spans == 0) == (uncompressedSize == 0), path, "its spans do not cover the tar");
        require(format != FORMAT_PLAIN || blobSize == uncompressedSize, path, "its plain tar has two sizes");
        long blobOffset = 0;
        for (int i = 0; i < spans; i++) {
            int at = span(i);
            long start = bytes.getLong(at);
            long length = spanEnd(i) - start;
            require(
                    (i > 0 || start == 0) && start >= 0 && length > 0 && length < MAX_SPAN,
                    path,
                    "span " + i + " has an impossible length");
            long in = bytes.getLong(at + 8);
            int bits = spanBits(i);
            require(
                    in >= blobOffset && in <= spansEnd && bits >= 0 && bits <= 7 && (bits == 0 || in > 0),
                    path,
                    "span " + i + " does not lie in the blob");
            require(
                    spanBlobEnd(i) - spanBlobStart(i) <= Integer.MAX_VALUE,
                    path,
                    "span " + i + " takes too much of the blob");
            blobOffset = in;
            if (format != FORMAT_PLAIN && !chunked()) {
                long state = bytes.getLong(at + 48);
                int compressed = bytes.getInt(at + 56);
                long most = format == FORMAT_ZSTD ? length + ZstdDecoder.MAX_STATE : LayerIndexer.WINDOW;
                require(
                        state >= HEADER
                                && compressed >= 0
                                && state <= objectTable - compressed
                                && stateSize(i) >= 0
                                && stateSize(i) <= most,
                        path,
                        "the state of span " + i + " does not lie in the file");
            } else if (format == FORMAT_PLAIN) {
                require(in == start && bits == 0, path, "span " + i + " does not lie in the blob");
            } else {
                require(bits == 0, path, "span " + i + " starts within a byte");
            }
        }
        if (format == FORMAT_GZIP_PROVEN) {
            // There is no digest of what comes out that would vouch for them.
            long windows = bytes.getLong(116);
            require(
                    windows >= HEADER
                            && windows <= objectTable
                            && checksum(bytes, HEADER, (int) windows - HEADER) == bytes.getInt(172),
                    path,
                    "the checksum of its windows is wrong");
        }
    }

    /** Returns the offset in the blob behind the last of them. */
    private long checkChunks(Path path) throws LayerException {
        require((chunks == 0) == (uncompressedSize == 0), path, "its chunks do not cover its bytes");
        long member = 0;
        long memberEnd = 0;
        long innerEnd = 0;
        for (int chunk = 0; chunk < chunks; chunk++) {
            long start = chunkStart(chunk);
            long length = chunkEnd(chunk) - start;
            int kind = bytes.get(chunk(chunk) + 56);
            require(
                    (chunk > 0 || start == 0)
                            && start >= 0
                            && length > 0
                            && length < MAX_SPAN
                            && kind >= 0
                            && kind <= 1,
                    path,
                    "chunk " + chunk + " has an impossible length or kind");
            long from = chunkBlobStart(chunk);
            int size = chunkBlobBytes(chunk);
            long inner = chunkInnerOffset(chunk);
            if (kind == 1) {
                require(from == 0 && size == 0 && inner == 0, path, "chunk " + chunk + " is zeros and in the blob");
                continue;
            }
            boolean next = from >= memberEnd && inner >= 0;
            boolean same = from == member && from + size == memberEnd && inner >= innerEnd;
            require(
                    (next || same) && size > 0 && size <= blobSize - from && inner + length < MAX_SPAN,
                    path,
                    "chunk " + chunk + " does not lie in the blob");
            member = from;
            memberEnd = from + size;
            innerEnd = inner + length;
        }
        return memberEnd;
    }

    private void checkChunkedSpans(Path path) throws LayerException {
        int chunk = 0;
        for (int span = 0; span < spans; span++) {
            long first = bytes.getLong(span(span) + 48);
            require(
                    first == chunk && chunk < chunks && chunkStart(chunk) == spanStart(span),
                    path,
                    "span " + span + " does not start with its chunk");
            long from = spanBlobStart(span);
            long to = spanBlobEnd(span);
            require(
                    from <= to && to <= blobSize && to - from < MAX_CHUNKED_RANGE,
                    path,
                    "span " + span + " takes too much of the blob");
            for (long end = spanEnd(span); chunk < chunks && chunkStart(chunk) < end; chunk++) {
                require(
                        isZeros(chunk)
                                || (chunkBlobStart(chunk) >= from
                                        && chunkBlobStart(chunk) + chunkBlobBytes(chunk) <= to),
                        path,
                        "chunk " + chunk + " does not lie in its span");
            }
        }
        require(chunk == chunks, path, "its spans do not have all chunks");
    }

    private int object(int row) {
        return objectTable + OBJECT_ROW * checkIndex(row, objects);
    }

    private int chunk(int chunk) {
        return chunkTable + CHUNK_ROW * checkIndex(chunk, chunks);
    }

    private int span(int span) {
        return spanTable + SPAN_ROW * checkIndex(span, spans);
    }

    private long word(int at) {
        return Long.reverseBytes(bytes.getLong(at));
    }

    private int compare(int row, ObjectName name) {
        int at = object(row);
        int comparison = Long.compareUnsigned(word(at), name.a());
        if (comparison == 0) {
            comparison = Long.compareUnsigned(word(at + 8), name.b());
        }
        if (comparison == 0) {
            comparison = Long.compareUnsigned(word(at + 16), name.c());
        }
        return comparison != 0 ? comparison : Long.compareUnsigned(word(at + 24), name.d());
    }

    private int compareRows(int row, int other) {
        int at = object(row);
        int otherAt = object(other);
        for (int i = 0; i < ObjectName.BYTES; i += 8) {
            int comparison = Long.compareUnsigned(word(at + i), word(otherAt + i));
            if (comparison != 0) {
                return comparison;
            }
        }
        return 0;
    }

    private byte[] copy(int at, int length) {
        byte[] copy = new byte[length];
        bytes.get(at, copy);
        return copy;
    }

    private static int checkIndex(int index, int count) {
        return Objects.checkIndex(index, count);
    }

    private static void require(boolean sound, Path path, String flaw) throws LayerException {
        if (!sound) {
            throw new LayerException(path + " is not a sound layer index: " + flaw);
        }
    }
}
