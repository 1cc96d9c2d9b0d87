package dev.coldstart.snapshotter.layer;

import dev.coldstart.snapshotter.tree.Tree;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Reads a tar: ustar, PAX (IEEE Std 1003.1-2017, pax, "pax Interchange Format"), GNU (long names, base-256 numbers) and
 * the four ways to write sparse files (GNU tar manual, "Storing Sparse Files"). What is ambiguous is read as Go's
 * archive/tar reads it, for that is what containerd unpacks with: global PAX headers apply to nothing, and links,
 * devices and directories have no data whatever their size field says.
 *
 * <p>Written here because commons-compress decodes the values of PAX records as UTF-8, and so loses the bytes of
 * {@code security.capability} and of ACLs; and because it does not bound what a hostile header makes it keep.
 */
final class TarReader {
    static final int RECORD = 512;

    // Headers of one entry, all together. Linux allows 64 KiB of extended attributes for most files.
    private static final int MAX_HEADERS = 4 << 20;
    private static final int MAX_PIECES = 1 << 18;
    private static final String XATTR = "SCHILY.xattr.";

    private final TarStream in;
    private final byte[] record = new byte[RECORD];
    private long bodyEnd;
    private boolean ended;

    // Of the entry being read.
    private final Map<String, byte[]> pax = new LinkedHashMap<>();
    private final List<Long> paxPieces = new ArrayList<>();
    private int headers;

    TarReader(TarStream in) {
        this.in = in;
    }

    /** The next entry, or null at the end of the archive. The body of the entry before it is skipped if need be. */
    @Nullable
    TarEntry next() throws IOException {
        if (ended) {
            return null;
        }
        pax.clear();
        paxPieces.clear();
        headers = 0;
        String longName = null;
        String longLink = null;
        while (true) {
            skipTo(bodyEnd);
            if (!readHeader()) {
                ended = true;
                if (!pax.isEmpty() || longName != null || longLink != null) {
                    throw bad("an extended header is followed by no entry");
                }
                return null;
            }
            char type = (char) (record[156] & 0xff);
            switch (type) {
                case 'x' -> readPax(readExtended());
                case 'g' -> skipBody(number(124, 12, "size"));
                case 'L' -> longName = text(readExtended());
                case 'K' -> longLink = text(readExtended());
                default -> {
                    return entry(type, longName, longLink);
                }
            }
        }
    }

    /** Passes the stored bytes of the entry just returned on. To be called once at most. */
    void body(TarEntry entry, TarStream.Sink sink) throws IOException {
        in.read(entry.stored(), sink);
    }

    private TarEntry entry(char flag, @Nullable String longName, @Nullable String longLink) throws IOException {
        String path = longName != null ? longName : headerName();
        path = paxText("path", path);
        String link = paxText("linkpath", longLink != null ? longLink : field(157, 100));
        char type = flag != 0 ? flag : path.endsWith("/") ? '5' : '0';
        long stored = paxNumber("size", number(124, 12, "size"));
        if (stored < 0) {
            throw bad("it has a negative size");
        }
        boolean hasBody = switch (type) {
            case '0', '7', 'S' -> true;
            case '1', '2', '3', '4', '5', '6' -> false;
            default ->
                throw bad("it has an entry of the unknown type " + Tree.printable(String.valueOf(type)) + " for "
                        + Tree.printable(path));
        };
        if (!hasBody) {
            stored = 0;
        }
        bodyEnd = in.position() + pad(stored);
        long size = stored;
        long[] pieces = {};
        boolean sparse = false;
        long bodyStart = in.position();
        if (type == 'S') {
            sparse = true;
            size = number(483, 12, "real size");
            pieces = oldGnuPieces();
        } else if (hasBody && isPaxSparse()) {
            sparse = true;
            path = paxText("GNU.sparse.name", path);
            size = paxNumber("GNU.sparse.realsize", paxNumber("GNU.sparse.size", -1));
            pieces = paxPieces();
        }
        if (type == 'S') {
            // The extension records of an old sparse header are no part of the size.
            bodyEnd = in.position() + pad(stored);
        } else {
            stored -= in.position() - bodyStart;
        }
        if (sparse) {
            checkPieces(path, pieces, size, stored);
        }
        long seconds = number(136, 12, "time");
        int nanos = 0;
        byte[] time = pax.get("mtime");
        if (time != null && time.length > 0) {
            long[] parsed = time(text(time));
            seconds = parsed[0];
            nanos = (int) parsed[1];
        }
        Map<String, byte[]> xattrs = pax.isEmpty() ? Map.of() : new LinkedHashMap<>();
        pax.forEach((key, value) -> {
            if (key.startsWith(XATTR)) {
                xattrs.put(key.substring(XATTR.length()), value);
            }
        });
        boolean device = type == '3' || type == '4';
        return new TarEntry(
                type,
                path,
                link,
                stored,
                size,
                (int) (number(100, 8, "mode") & 07777),
                id("uid", 108),
                id("gid", 116),
                seconds,
                nanos,
                device ? deviceNumber(329) : 0,
                device ? deviceNumber(337) : 0,
                xattrs,
                sparse,
                pieces);
    }

    /** Reads one header record; false at the end of the archive. */
    private boolean readHeader() throws IOException {
        int length = in.read(record, 0, RECORD);
        if (length == 0) {
            return false;
        }
        if (length < RECORD) {
            throw bad("it ends in the middle of a header");
        }
        count(RECORD);
        if (isZero()) {
            length = in.read(record, 0, RECORD);
            if (length == 0 || (length == RECORD && isZero())) {
                return false;
            }
            throw bad("something follows the end of the archive");
        }
        long stated = number(148, 8, "checksum");
        // Its own field counts as spaces. Old implementations added signed bytes.
        int unsigned = 8 * ' ';
        int signed = 8 * ' ';
        for (byte value : record) {
            unsigned += value & 0xff;
            signed += value;
        }
        for (int i = 148; i < 156; i++) {
            unsigned -= record[i] & 0xff;
            signed -= record[i];
        }
        if (stated != unsigned && stated != signed) {
            throw bad("a header's checksum is wrong");
        }
        bodyEnd = in.position();
        return true;
    }

    private byte[] readExtended() throws IOException {
        long size = number(124, 12, "size");
        if (size < 0 || size > MAX_HEADERS) {
            throw bad("an extended header has " + size + " bytes");
        }
        count((int) size);
        byte[] body = new byte[(int) size];
        if (in.read(body, 0, body.length) < body.length) {
            throw bad("it ends in the middle of an extended header");
        }
        bodyEnd = in.position() + pad(size) - size;
        return body;
    }

    private void skipBody(long size) throws IOException {
        if (size < 0) {
            throw bad("it has a negative size");
        }
        bodyEnd = in.position() + pad(size);
    }

    private void skipTo(long position) throws IOException {
        if (position > in.position()) {
            in.read(position - in.position(), (bytes, from, length) -> {});
        }
    }

    private void readPax(byte[] records) throws LayerException {
        int at = 0;
        while (at < records.length) {
            int start = at;
            int length = 0;
            while (at < records.length && records[at] >= '0' && records[at] <= '9' && length < MAX_HEADERS) {
                length = 10 * length + records[at++] - '0';
            }
            int end = start + length;
            if (at == start
                    || at >= records.length
                    || records[at++] != ' '
                    || end <= at
                    || end > records.length
                    || records[end - 1] != '\n') {
                throw bad("a PAX record has no proper length");
            }
            int equals = at;
            while (equals < end && records[equals] != '=') {
                equals++;
            }
            if (equals >= end - 1 && (equals == end || records[equals] != '=')) {
                throw bad("a PAX record has no value");
            }
            String key = new String(records, at, equals - at, StandardCharsets.ISO_8859_1);
            byte[] value = Arrays.copyOfRange(records, equals + 1, end - 1);
            if (key.equals("GNU.sparse.offset") || key.equals("GNU.sparse.numbytes")) {
                if ((paxPieces.size() % 2 == 0) != key.equals("GNU.sparse.offset") || paxPieces.size() > MAX_PIECES) {
                    throw bad("the map of a sparse file is in disorder");
                }
                paxPieces.add(decimal(text(value)));
            } else {
                pax.put(key, value);
            }
            at = end;
        }
    }

    private boolean isPaxSparse() {
        return pax.containsKey("GNU.sparse.major")
                || pax.containsKey("GNU.sparse.map")
                || pax.containsKey("GNU.sparse.size")
                || !paxPieces.isEmpty();
    }

    private long[] paxPieces() throws IOException {
        String major = paxText("GNU.sparse.major", "0");
        if (major.equals("1")) {
            return mapInBody();
        }
        if (!major.equals("0")) {
            throw bad("it has a sparse file of the unknown version " + Tree.printable(major));
        }
        byte[] map = pax.get("GNU.sparse.map");
        if (map == null || map.length == 0) {
            return paxPieces.stream().mapToLong(Long::longValue).toArray();
        }
        String[] numbers = text(map).split(",", MAX_PIECES + 1);
        long[] pieces = new long[numbers.length];
        for (int i = 0; i < pieces.length; i++) {
            pieces[i] = decimal(numbers[i]);
        }
        return pieces;
    }

    /** Version 1.0: decimal numbers, each with a newline, in whole records ahead of the data. */
    private long[] mapInBody() throws IOException {
        byte[] map = new byte[RECORD];
        int at = RECORD;
        long count = -1;
        long[] pieces = {};
        int filled = 0;
        while (count < 0 || filled < pieces.length) {
            StringBuilder number = new StringBuilder();
            while (true) {
                if (at == RECORD) {
                    if (bodyEnd - in.position() < RECORD || in.read(map, 0, RECORD) < RECORD) {
                        throw bad("the map of a sparse file is cut off");
                    }
                    count(RECORD);
                    at = 0;
                }
                byte c = map[at++];
                if (c == '\n') {
                    break;
                }
                if (number.length() > 20) {
                    throw bad("the map of a sparse file is in disorder");
                }
                number.append((char) (c & 0xff));
            }
            long value = decimal(number.toString());
            if (count < 0) {
                count = value;
                if (count > MAX_PIECES / 2) {
                    throw bad("a sparse file has more than " + MAX_PIECES / 2 + " pieces");
                }
                pieces = new long[2 * (int) count];
            } else {
                pieces[filled++] = value;
            }
        }
        return pieces;
    }

    private long[] oldGnuPieces() throws IOException {
        List<Long> pieces = new ArrayList<>();
        addOldPieces(pieces, record, 386, 4);
        boolean extended = record[482] != 0;
        byte[] extension = new byte[RECORD];
        while (extended) {
            if (in.read(extension, 0, RECORD) < RECORD) {
                throw bad("the map of a sparse file is cut off");
            }
            count(RECORD);
            addOldPieces(pieces, extension, 0, 21);
            extended = extension[504] != 0;
        }
        return pieces.stream().mapToLong(Long::longValue).toArray();
    }

    private void addOldPieces(List<Long> pieces, byte[] from, int at, int count) throws LayerException {
        for (int i = 0; i < count && from[at] != 0; i++, at += 24) {
            pieces.add(number(from, at, 12, "sparse map"));
            pieces.add(number(from, at + 12, 12, "sparse map"));
        }
    }

    private void checkPieces(String path, long[] pieces, long size, long stored) throws LayerException {
        long end = 0;
        long sum = 0;
        boolean sound = size >= 0 && pieces.length % 2 == 0;
        for (int i = 0; sound && i < pieces.length; i += 2) {
            sound = pieces[i] >= end && pieces[i + 1] >= 0 && pieces[i + 1] <= size - pieces[i];
            end = pieces[i] + pieces[i + 1];
            sum += pieces[i + 1];
        }
        if (!sound || sum != stored) {
            throw bad("the map of the sparse file " + Tree.printable(path) + " does not fit its size");
        }
    }

    private String headerName() {
        String name = field(0, 100);
        // GNU's own format has other things where ustar has the first part of a long name.
        boolean ustar = record[257] == 'u' && field(257, 6).equals("ustar") && record[262] == 0;
        String prefix = ustar ? field(345, 155) : "";
        return prefix.isEmpty() ? name : prefix + "/" + name;
    }

    private String field(int at, int length) {
        int end = at;
        while (end < at + length && record[end] != 0) {
            end++;
        }
        return new String(record, at, end - at, StandardCharsets.ISO_8859_1);
    }

    private int id(String key, int at) throws LayerException {
        long id = paxNumber(key, number(at, 8, key));
        if (id < 0 || id > 0xffff_fffeL) {
            throw bad("it has the " + key + " " + id + ", which Linux has not");
        }
        return (int) id;
    }

    private int deviceNumber(int at) throws LayerException {
        long number = number(at, 8, "device number");
        // 12 and 20 bits, as in new_encode_dev() of the kernel.
        if (number < 0 || number >= (at == 329 ? 1 << 12 : 1 << 20)) {
            throw bad("it has the device number " + number + ", which Linux has not");
        }
        return (int) number;
    }

    private String paxText(String key, String otherwise) {
        byte[] value = pax.get(key);
        return value == null || value.length == 0 ? otherwise : text(value);
    }

    private long paxNumber(String key, long otherwise) throws LayerException {
        byte[] value = pax.get(key);
        return value == null || value.length == 0 ? otherwise : decimal(text(value));
    }

    /** Text up to a NUL, if there is one. */
    private static String text(byte[] bytes) {
        int length = 0;
        while (length < bytes.length && bytes[length] != 0) {
            length++;
        }
        return new String(bytes, 0, length, StandardCharsets.ISO_8859_1);
    }

    private long decimal(String digits) throws LayerException {
        if (digits.isEmpty() || digits.length() > 18 || !digits.chars().allMatch(c -> c >= '0' && c <= '9')) {
            throw bad("\"" + Tree.printable(digits) + "\" stands where a number has to be");
        }
        return Long.parseLong(digits);
    }

    /** Seconds and nanoseconds of a time such as {@code -12.5}. */
    private long[] time(String text) throws LayerException {
        boolean negative = text.startsWith("-");
        String digits = negative ? text.substring(1) : text;
        int dot = digits.indexOf('.');
        long seconds = decimal(dot < 0 ? digits : digits.substring(0, dot));
        long nanos = 0;
        if (dot >= 0) {
            String fraction = digits.substring(dot + 1);
            String nine = (fraction + "000000000").substring(0, 9);
            nanos = decimal(nine);
        }
        if (!negative) {
            return new long[] {seconds, nanos};
        }
        return nanos == 0 ? new long[] {-seconds, 0} : new long[] {-seconds - 1, 1_000_000_000 - nanos};
    }

    private long number(int at, int length, String what) throws LayerException {
        return number(record, at, length, what);
    }

    /** A number in octal, or in base 256 if the first bit is set; spaces and NULs around it do not count. */
    private long number(byte[] bytes, int at, int length, String what) throws LayerException {
        if ((bytes[at] & 0x80) != 0) {
            boolean negative = (bytes[at] & 0x40) != 0;
            long value = negative ? -1 : 0;
            for (int i = 0; i < length; i++) {
                long next = i == 0 ? (bytes[at] & 0x7f) | (negative ? 0x80 : 0) : bytes[at + i] & 0xff;
                if (value != (value << 8) >> 8) {
                    throw bad("a header's " + what + " is too large");
                }
                value = (value << 8) | next;
            }
            return value;
        }
        int from = at;
        int to = at + length;
        while (from < to && (bytes[from] == ' ' || bytes[from] == 0)) {
            from++;
        }
        long value = 0;
        while (from < to && bytes[from] >= '0' && bytes[from] <= '7') {
            value = (value << 3) | (bytes[from++] - '0');
        }
        if (from < to && bytes[from] != ' ' && bytes[from] != 0) {
            throw bad("a header's " + what + " is not a number");
        }
        return value;
    }

    private boolean isZero() {
        for (byte b : record) {
            if (b != 0) {
                return false;
            }
        }
        return true;
    }

    private void count(int bytes) throws LayerException {
        headers += bytes;
        if (headers > MAX_HEADERS) {
            throw bad("the headers of one entry have more than " + (MAX_HEADERS >> 20) + " MiB");
        }
    }

    private static long pad(long size) {
        return (size + RECORD - 1) / RECORD * RECORD;
    }

    private LayerException bad(String flaw) {
        return new LayerException("the tar is malformed before byte " + in.position() + ": " + flaw);
    }
}
