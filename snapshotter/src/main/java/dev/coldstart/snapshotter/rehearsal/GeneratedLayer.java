package dev.coldstart.snapshotter.rehearsal;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.ObjectName;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.zip.Deflater;
import java.util.zip.GZIPOutputStream;

/**
 * A layer with a tar of small files, 100 B to 60 KB, most of them near the lower end, and one large file, as gzip makes it.
 *
 * @param blob the layer's bytes
 * @param digest of the blob
 * @param diffId of the tar
 * @param objects the files that are large enough to be objects of their own; the large one is the last
 */
@SuppressWarnings("ArrayRecordComponent") // Nobody compares layers.
public record GeneratedLayer(byte[] blob, Digest digest, Digest diffId, List<ObjectName> objects) {
    /** Larger files are not in a layer's tree. */
    private static final int INLINE = 4096;

    private static final int CHUNK = 1 << 16;
    private static final int FILES_IN_DIRECTORY = 40;
    private static final int BLOCK = 512;

    /** It matters what the blob is, not how small. */
    private static final class FastGzip extends GZIPOutputStream {
        FastGzip(OutputStream out) throws IOException {
            super(out, CHUNK);
            def.setLevel(Deflater.BEST_SPEED);
        }
    }

    /**
     * Generates one, always the same from the same numbers.
     *
     * @param files how many small files
     * @param large bytes of the large file
     */
    public static GeneratedLayer of(long seed, int files, int large) {
        Random random = new Random(seed);
        List<ObjectName> objects = new ArrayList<>();
        MessageDigest diffId = sha256();
        ByteArrayOutputStream blob = new ByteArrayOutputStream();
        try (OutputStream tar = new DigestOutputStream(new FastGzip(blob), diffId)) {
            write(tar, random, files, large, objects);
        } catch (IOException e) {
            throw new AssertionError("memory takes every byte", e);
        }
        return new GeneratedLayer(
                blob.toByteArray(),
                Digest.ofContent(blob.toByteArray()),
                Digest.of(diffId.digest()),
                List.copyOf(objects));
    }

    private static void write(OutputStream tar, Random random, int files, int large, List<ObjectName> objects)
            throws IOException {
        byte[] text = text(random);
        for (int at = 0; at <= files; at++) {
            String directory = "usr/lib/module-" + at / FILES_IN_DIRECTORY + "/";
            if (at % FILES_IN_DIRECTORY == 0) {
                tar.write(header(directory, '5', 0));
            }
            int size = at == files ? large : (int) (100 * Math.pow(600, random.nextDouble()));
            byte[] content = content(random, text, size);
            tar.write(header(directory + "file-" + at, '0', content.length));
            tar.write(content);
            tar.write(new byte[-content.length & (BLOCK - 1)]);
            if (content.length > INLINE) {
                objects.add(ObjectName.of(Digest.ofContent(content).bytes()));
            }
        }
        tar.write(new byte[2 * BLOCK]);
    }

    /** Words, which compress like sources do. */
    private static byte[] text(Random random) {
        byte[] text = new byte[1 << 20];
        byte[][] words = new byte[2000][];
        for (int i = 0; i < words.length; i++) {
            int most = 1 << (4 + random.nextInt(26));
            words[i] = Integer.toString(random.nextInt(most), 36).getBytes(StandardCharsets.US_ASCII);
        }
        for (int at = 0; at < text.length; ) {
            byte[] word = words[(int) (words.length * random.nextDouble() * random.nextDouble())];
            int length = Math.min(word.length, text.length - at);
            System.arraycopy(word, 0, text, at, length);
            at += length;
            if (at < text.length) {
                text[at++] = ' ';
            }
        }
        return text;
    }

    /** Pieces of the text, and between them, as in machine code, what compresses less. */
    private static byte[] content(Random random, byte[] text, int size) {
        byte[] content = new byte[size];
        byte[] noise = new byte[CHUNK / 4];
        for (int at = 0; at < size; at += CHUNK) {
            System.arraycopy(text, random.nextInt(text.length - CHUNK), content, at, Math.min(CHUNK, size - at));
            random.nextBytes(noise);
            System.arraycopy(noise, 0, content, at, Math.min(noise.length, (size - at) / 4));
        }
        return content;
    }

    /** POSIX ustar. */
    private static byte[] header(String name, char type, int size) {
        byte[] header = new byte[BLOCK];
        put(header, 0, name);
        put(header, 100, type == '5' ? "0000755" : "0000644");
        put(header, 108, "0000000");
        put(header, 116, "0000000");
        put(header, 124, octal(size, 11));
        put(header, 136, "14700000000");
        put(header, 148, "        ");
        header[156] = (byte) type;
        put(header, 257, "ustar\00000");
        int sum = 0;
        for (byte b : header) {
            sum += b & 0xff;
        }
        put(header, 148, octal(sum, 6) + "\0");
        return header;
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
    }

    private static String octal(int number, int digits) {
        String octal = Integer.toOctalString(number);
        return "0".repeat(digits - octal.length()) + octal;
    }

    private static void put(byte[] header, int at, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(bytes, 0, header, at, bytes.length);
    }
}
