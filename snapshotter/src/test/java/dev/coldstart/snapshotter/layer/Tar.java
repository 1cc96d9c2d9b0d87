package dev.coldstart.snapshotter.layer;

import com.github.luben.zstd.ZstdCompressCtx;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.Deflater;
import java.util.zip.GZIPOutputStream;

/** Writes tars as tests want them: every field of an entry can be set, also to what no tar program would write. */
final class Tar {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    /** An entry before it is added. */
    static final class Entry {
        private final String path;
        private char type = '0';
        private String link = "";
        private byte[] body = {};
        private long size = -1;
        private int mode = 0644;
        private int uid;
        private int gid;
        private long seconds = 1_700_000_000L;
        private int major;
        private int minor;
        private final Map<String, byte[]> pax = new TreeMap<>();

        private Entry(String path) {
            this.path = path;
        }

        Entry type(char value) {
            type = value;
            return this;
        }

        Entry link(String target) {
            link = target;
            return this;
        }

        Entry body(byte[] bytes) {
            body = bytes;
            return this;
        }

        Entry size(long stated) {
            size = stated;
            return this;
        }

        Entry mode(int value) {
            mode = value;
            return this;
        }

        Entry owner(int user, int group) {
            uid = user;
            gid = group;
            return this;
        }

        Entry device(int majorNumber, int minorNumber) {
            major = majorNumber;
            minor = minorNumber;
            return this;
        }

        Entry pax(String key, byte[] value) {
            pax.put(key, value);
            return this;
        }

        Entry pax(String key, String value) {
            return pax(key, value.getBytes(StandardCharsets.UTF_8));
        }

        Entry xattr(String name, byte[] value) {
            return pax("SCHILY.xattr." + name, value);
        }
    }

    static Entry file(String path, byte[] body) {
        return new Entry(path).body(body);
    }

    static Entry directory(String path) {
        return new Entry(path).type('5').mode(0755);
    }

    static Entry of(String path, char type) {
        return new Entry(path).type(type);
    }

    Tar add(Entry entry) {
        if (!entry.pax.isEmpty()) {
            ByteArrayOutputStream records = new ByteArrayOutputStream();
            entry.pax.forEach((key, value) -> {
                byte[] name = key.getBytes(StandardCharsets.UTF_8);
                int length = name.length + value.length + 3;
                int digits = Integer.toString(length).length();
                while (Integer.toString(length + digits).length() > digits) {
                    digits++;
                }
                records.writeBytes((length + digits + " ").getBytes(StandardCharsets.US_ASCII));
                records.writeBytes(name);
                records.write('=');
                records.writeBytes(value);
                records.write('\n');
            });
            byte[] body = records.toByteArray();
            header(new Entry("PaxHeaders/x").type('x'), body.length);
            data(body);
        }
        header(entry, entry.size >= 0 ? entry.size : entry.body.length);
        data(entry.body);
        return this;
    }

    /** Appends bytes as they are. */
    Tar raw(byte[] bytes) {
        out.writeBytes(bytes);
        return this;
    }

    byte[] bytes() {
        ByteArrayOutputStream whole = new ByteArrayOutputStream();
        whole.writeBytes(out.toByteArray());
        whole.writeBytes(new byte[1024]);
        return whole.toByteArray();
    }

    static byte[] gzip(byte[] bytes) {
        return gzip(bytes, Deflater.DEFAULT_COMPRESSION);
    }

    static byte[] gzip(byte[] bytes, int level) {
        ByteArrayOutputStream compressed = new ByteArrayOutputStream();
        try (GZIPOutputStream gzip = new GZIPOutputStream(compressed) {
            {
                def.setLevel(level);
            }
        }) {
            gzip.write(bytes);
        } catch (java.io.IOException e) {
            throw new AssertionError(e);
        }
        return compressed.toByteArray();
    }

    /** One frame with a checksum. */
    static byte[] zstd(byte[] bytes, int level) {
        return zstd(bytes, level, 0);
    }

    /** One frame with a checksum, whose window is {@code 1 << window} bytes, or what the level says if that is 0. */
    static byte[] zstd(byte[] bytes, int level, int window) {
        try (ZstdCompressCtx context = new ZstdCompressCtx()) {
            context.setLevel(level);
            context.setChecksum(true);
            context.setContentSize(false);
            if (window > 0) {
                context.setLong(window);
            }
            return context.compress(bytes);
        }
    }

    /** A frame without data, which readers skip. */
    static byte[] skippable(int size) {
        return ByteBuffer.allocate(8 + size)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(0x184d2a5e)
                .putInt(size)
                .array();
    }

    static Digest digest(byte[] bytes) {
        return Digest.of(sha256(bytes));
    }

    static byte[] sha256(byte[] bytes) {
        MessageDigest sha256 = Sha256.digest();
        return sha256.digest(bytes);
    }

    private void data(byte[] body) {
        out.writeBytes(body);
        out.writeBytes(new byte[(TarReader.RECORD - body.length % TarReader.RECORD) % TarReader.RECORD]);
    }

    private void header(Entry entry, long size) {
        byte[] header = new byte[TarReader.RECORD];
        put(header, 0, 100, entry.path);
        octal(header, 100, 8, entry.mode);
        octal(header, 108, 8, entry.uid);
        octal(header, 116, 8, entry.gid);
        octal(header, 124, 12, size);
        octal(header, 136, 12, entry.seconds);
        header[156] = (byte) entry.type;
        put(header, 157, 100, entry.link);
        put(header, 257, 8, "ustar\00000");
        octal(header, 329, 8, entry.major);
        octal(header, 337, 8, entry.minor);
        put(header, 148, 8, "        ");
        int sum = 0;
        for (byte b : header) {
            sum += b & 0xff;
        }
        put(header, 148, 8, String.format(Locale.ROOT, "%06o\0 ", sum));
        out.writeBytes(header);
    }

    private static void octal(byte[] header, int at, int length, long value) {
        put(header, at, length, String.format(Locale.ROOT, "%0" + (length - 1) + "o", value));
    }

    private static void put(byte[] header, int at, int length, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.ISO_8859_1);
        System.arraycopy(bytes, 0, header, at, Math.min(length, bytes.length));
    }
}
