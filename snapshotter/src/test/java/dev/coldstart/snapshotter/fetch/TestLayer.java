package dev.coldstart.snapshotter.fetch;

import com.github.luben.zstd.Zstd;
import dev.coldstart.snapshotter.layer.Digest;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.TreeMap;
import java.util.zip.GZIPOutputStream;

/**
 * A layer of generated files, small and large: gzip if nothing else is said.
 *
 * @param files bytes by path
 */
@SuppressWarnings("ArrayRecordComponent") // Test data, never compared.
public record TestLayer(Map<String, byte[]> files, byte[] tar, byte[] blob) {
    /** The same seed gives the same layer. */
    public static TestLayer generate(long seed) throws IOException {
        Random random = new Random(seed);
        Map<String, byte[]> files = new TreeMap<>();
        for (int i = 0; i < 40; i++) {
            files.put("small/f" + i, bytes(random, 1 + random.nextInt(60_000)));
        }
        files.put("large/one", bytes(random, 5_000_000));
        files.put("large/two", bytes(random, 3_333_333));
        files.put("small/twin", Objects.requireNonNull(files.get("small/f7")));
        return of(files);
    }

    /** A zstd layer whose files have parts in common; the same seed gives the same layer. */
    public static TestLayer zstd(long seed) throws IOException {
        Random random = new Random(seed);
        byte[] common = bytes(random, 1 << 20);
        Map<String, byte[]> files = new TreeMap<>();
        for (int i = 0; i < 40; i++) {
            byte[] file = bytes(random, 1 + random.nextInt(i % 5 == 0 ? 2_000_000 : 60_000));
            for (int at = 0; at < file.length; at += 1 + random.nextInt(2000)) {
                int length = Math.min(random.nextInt(1000), file.length - at);
                System.arraycopy(common, random.nextInt(common.length - 1000), file, at, length);
            }
            files.put("f" + i, file);
        }
        TestLayer gzip = of(files);
        return new TestLayer(files, gzip.tar(), Zstd.compress(gzip.tar(), 3));
    }

    /** Files of one size; the same seed gives the same layer. */
    public static TestLayer ofFiles(long seed, int count, int size) throws IOException {
        Random random = new Random(seed);
        Map<String, byte[]> files = new TreeMap<>();
        for (int i = 0; i < count; i++) {
            files.put("d" + i % 100 + "/f" + i, bytes(random, size));
        }
        return of(files);
    }

    /** Files of one size in the root directory, {@code f0} and up; the same seed gives the same layer. */
    public static TestLayer flat(long seed, int count, int size) throws IOException {
        Random random = new Random(seed);
        Map<String, byte[]> files = new TreeMap<>();
        for (int i = 0; i < count; i++) {
            files.put("f" + i, bytes(random, size));
        }
        return of(files);
    }

    /** A layer of these files, by their paths. */
    public static TestLayer of(Map<String, byte[]> files) throws IOException {
        ByteArrayOutputStream tar = new ByteArrayOutputStream();
        for (Map.Entry<String, byte[]> file : files.entrySet()) {
            tar.writeBytes(header(file.getKey(), file.getValue().length));
            tar.writeBytes(file.getValue());
            tar.writeBytes(new byte[-file.getValue().length & 511]);
        }
        tar.writeBytes(new byte[1024]);
        ByteArrayOutputStream blob = new ByteArrayOutputStream();
        try (GZIPOutputStream gzip = new GZIPOutputStream(blob)) {
            gzip.write(tar.toByteArray());
        }
        return new TestLayer(files, tar.toByteArray(), blob.toByteArray());
    }

    /** A ustar header (POSIX.1-1988). */
    private static byte[] header(String path, int size) {
        byte[] header = new byte[512];
        put(header, 0, path);
        put(header, 100, "0000644");
        put(header, 108, "0000000");
        put(header, 116, "0000000");
        put(header, 124, String.format("%011o", size));
        put(header, 136, "00000000000");
        put(header, 148, "        ");
        header[156] = '0';
        put(header, 257, "ustar");
        put(header, 263, "00");
        int sum = 0;
        for (byte b : header) {
            sum += b & 0xff;
        }
        put(header, 148, String.format("%06o", sum) + "\0 ");
        return header;
    }

    private static void put(byte[] header, int at, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(bytes, 0, header, at, bytes.length);
    }

    /** Compressible to about a half. */
    private static byte[] bytes(Random random, int size) {
        byte[] bytes = new byte[size];
        for (int i = 0; i < size; i++) {
            bytes[i] = (byte) random.nextInt(16);
        }
        return bytes;
    }

    public byte[] file(String path) {
        return Objects.requireNonNull(files.get(path));
    }

    public Digest digest() {
        return sha256(blob);
    }

    public Digest diffId() {
        return sha256(tar);
    }

    public static Digest sha256(byte[] bytes) {
        try {
            return Digest.of(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }
}
