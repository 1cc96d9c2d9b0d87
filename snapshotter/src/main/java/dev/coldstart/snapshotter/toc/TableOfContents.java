package dev.coldstart.snapshotter.toc;

import dev.coldstart.snapshotter.layer.ChunkedLayer;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.LayerEntry;
import dev.coldstart.snapshotter.layer.LayerEntry.Chunk;
import dev.coldstart.snapshotter.layer.LayerException;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.tree.Tree;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.json.JsonFactory;

/**
 * The JSON table of contents that eStargz and zstd:chunked share. Fields and their meaning are those of stargz-snapshotter
 * ({@code estargz/types.go}, type TOCEntry) and of containers/storage ({@code pkg/chunked/internal/minimal/compression.go},
 * type FileMetadata): a regular file's entry is followed by one of type {@code chunk} for each part but the first; what is
 * not said about a file's only chunk is said about the file.
 */
final class TableOfContents {
    /** The most bytes of JSON that are read; 10^6 files have about 400 MB, and would not fit into a tree. */
    static final long MAX_JSON = 256L << 20;

    private static final Set<String> NOT_OF_THE_LAYER =
            Set.of("stargz.index.json", ".prefetch.landmark", ".no.prefetch.landmark");
    private static final int MAX_XATTRS = 4096;
    private static final char REPLACEMENT = '\ufffd';

    private static final JsonFactory JSON = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(32)
                    .maxStringLength(1 << 20)
                    .maxNumberLength(32)
                    .maxDocumentLength(MAX_JSON)
                    .build())
            .build();

    private final ChunkedLayer layer;
    /** A regular file whose chunks are being listed. */
    private @Nullable Fields file;

    private final List<Fields> parts = new ArrayList<>();

    private TableOfContents(ChunkedLayer layer) {
        this.layer = layer;
    }

    /** Reads a table, whose digest was compared, into a layer. */
    static void read(InputStream json, ChunkedLayer layer) throws IOException {
        try (JsonParser parser = JSON.createParser(ObjectReadContext.empty(), json)) {
            new TableOfContents(layer).read(parser);
        } catch (JacksonException e) {
            throw new LayerException("its table of contents is no valid JSON: " + e.getOriginalMessage(), e);
        }
    }

    private void read(JsonParser parser) throws IOException {
        if (parser.nextToken() != JsonToken.START_OBJECT) {
            throw new LayerException("its table of contents is no JSON object");
        }
        boolean listed = false;
        while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
            String field = parser.currentName();
            JsonToken value = parser.nextToken();
            if (field.equals("version") && (value != JsonToken.VALUE_NUMBER_INT || parser.getLongValue() != 1)) {
                throw new LayerException("its table of contents is of an unknown version");
            } else if (field.equals("entries") && value == JsonToken.START_ARRAY && !listed) {
                listed = true;
                while (parser.nextToken() == JsonToken.START_OBJECT) {
                    entry(Fields.read(parser));
                }
                if (parser.currentToken() != JsonToken.END_ARRAY) {
                    throw new LayerException("its table of contents has an entry that is none");
                }
            } else {
                parser.skipChildren();
            }
        }
        if (!listed || parser.currentToken() != JsonToken.END_OBJECT) {
            throw new LayerException("its table of contents has no entries");
        }
        flush();
    }

    private void entry(Fields fields) throws IOException {
        if (fields.type.equals("chunk")) {
            if (file == null || !fields.name.equals(file.name)) {
                throw fields.bad("is a chunk of a file that is not the one before it");
            }
            parts.add(fields);
            return;
        }
        flush();
        if (fields.type.equals("reg")) {
            file = fields;
            parts.add(fields);
        } else {
            layer.add(fields.entry(null), List.of());
        }
    }

    /** Adds the file whose chunks were listed. */
    private void flush() throws IOException {
        Fields whole = file;
        if (whole == null) {
            return;
        }
        file = null;
        try {
            if (NOT_OF_THE_LAYER.contains(whole.name.replaceFirst("^(\\./|/)+", ""))) {
                return;
            }
            layer.add(whole.entry(whole.digest.isEmpty() ? null : whole.digest("digest", whole.digest)), chunks(whole));
        } finally {
            parts.clear();
        }
    }

    private List<Chunk> chunks(Fields whole) throws LayerException {
        List<Chunk> chunks = new ArrayList<>(parts.size());
        long at = 0;
        for (int i = 0; at < whole.size && i < parts.size(); i++) {
            Fields part = parts.get(i);
            boolean last = i + 1 == parts.size();
            // In eStargz a last chunk does not say how large it is, in zstd:chunked an only one says nothing.
            long size = part.chunkSize == 0 ? whole.size - at : part.chunkSize;
            if (part.chunkOffset != at || size <= 0 || size > whole.size - at) {
                throw whole.bad("has chunks that do not follow each other");
            }
            boolean zeros = part.chunkType.equals("zeros");
            if (!zeros && !part.chunkType.isEmpty()) {
                throw whole.bad("has a chunk of the unknown type " + Tree.printable(part.chunkType));
            }
            if (part.offset <= 0) {
                throw whole.bad("has bytes that are nowhere in the blob");
            }
            String digest = part.chunkDigest.isEmpty() && parts.size() == 1 ? whole.digest : part.chunkDigest;
            long end = whole.endOffset == 0 ? 0 : last ? whole.endOffset : parts.get(i + 1).offset;
            chunks.add(new Chunk(
                    part.offset,
                    end,
                    part.innerOffset,
                    size,
                    zeros ? null : part.digest("chunkDigest", digest),
                    zeros));
            at += size;
        }
        return chunks;
    }

    /** One entry as it stands in the table. */
    private static final class Fields {
        String name = "";
        String type = "";
        String linkName = "";
        String modtime = "";
        String digest = "";
        String chunkDigest = "";
        String chunkType = "";
        long size;
        long mode;
        long uid;
        long gid;
        long devMajor;
        long devMinor;
        long offset;
        long endOffset;
        long innerOffset;
        long chunkOffset;
        long chunkSize;
        Map<String, byte[]> xattrs = Map.of();

        static Fields read(JsonParser parser) throws IOException {
            Fields fields = new Fields();
            while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
                String field = parser.currentName();
                JsonToken value = parser.nextToken();
                if (value == JsonToken.VALUE_STRING) {
                    fields.text(field, parser.getString());
                } else if (value == JsonToken.VALUE_NUMBER_INT) {
                    fields.number(field, parser.getLongValue());
                } else if (value == JsonToken.START_OBJECT && field.equals("xattrs")) {
                    fields.xattrs = readXattrs(parser);
                } else {
                    parser.skipChildren();
                }
            }
            return fields;
        }

        private static Map<String, byte[]> readXattrs(JsonParser parser) throws IOException {
            Map<String, byte[]> xattrs = new HashMap<>();
            while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
                String name = bytes(parser.currentName());
                JsonToken value = parser.nextToken();
                if (value == JsonToken.VALUE_NULL) {
                    xattrs.put(name, new byte[0]);
                } else if (value != JsonToken.VALUE_STRING || xattrs.size() == MAX_XATTRS) {
                    throw new LayerException("its table of contents has extended attributes that cannot be");
                } else {
                    xattrs.put(name, parser.getBinaryValue());
                }
            }
            return xattrs;
        }

        private void text(String field, String value) throws LayerException {
            switch (field) {
                case "name" -> name = bytes(value);
                case "type" -> type = value;
                case "linkName" -> linkName = bytes(value);
                case "modtime" -> modtime = value;
                case "digest" -> digest = value;
                case "chunkDigest" -> chunkDigest = value;
                case "chunkType" -> chunkType = value;
                default -> {}
            }
        }

        private void number(String field, long value) throws LayerException {
            if (value < 0) {
                throw bad("has a negative " + Tree.printable(field));
            }
            switch (field) {
                case "size" -> size = value;
                case "mode" -> mode = value;
                case "uid" -> uid = value;
                case "gid" -> gid = value;
                case "devMajor" -> devMajor = value;
                case "devMinor" -> devMinor = value;
                case "offset" -> offset = value;
                case "endOffset" -> endOffset = value;
                case "innerOffset" -> innerOffset = value;
                case "chunkOffset" -> chunkOffset = value;
                case "chunkSize" -> chunkSize = value;
                default -> {}
            }
        }

        /** Text as the bytes it has in UTF-8, one in a char. */
        private static String bytes(String text) throws LayerException {
            for (int i = 0; i < text.length(); i++) {
                char c = text.charAt(i);
                boolean pair = Character.isHighSurrogate(c)
                        && i + 1 < text.length()
                        && Character.isLowSurrogate(text.charAt(i + 1));
                if (c == REPLACEMENT || (Character.isSurrogate(c) && !pair)) {
                    // JSON has no way to write bytes that are no UTF-8, and writers put this in their place.
                    throw new LayerException("its table of contents has a name that was not UTF-8 and is lost");
                }
                i += pair ? 1 : 0;
            }
            return new String(text.getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1);
        }

        ObjectName digest(String field, String value) throws LayerException {
            try {
                ObjectName parsed = ObjectName.of(Digest.parse(value).bytes());
                if (parsed.isDerived()) {
                    throw bad("has a " + field + " that cannot be one");
                }
                return parsed;
            } catch (IllegalArgumentException e) {
                throw bad("has a " + field + " that is none");
            }
        }

        LayerEntry entry(@Nullable ObjectName sha256) throws LayerException {
            char kind = EntryType.tar(type);
            EntryType.check(uid, gid, devMajor, devMinor);
            GoTime time = GoTime.parse(modtime);
            return new LayerEntry(
                    kind,
                    name,
                    linkName,
                    (int) (mode & 07777),
                    (int) uid,
                    (int) gid,
                    time.seconds(),
                    time.nanos(),
                    (int) devMajor,
                    (int) devMinor,
                    xattrs,
                    kind == '0' ? size : 0,
                    sha256);
        }

        LayerException bad(String flaw) {
            return new LayerException("its table of contents is wrong: " + Tree.printable(name) + " " + flaw);
        }
    }
}
