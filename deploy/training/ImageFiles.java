import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.zip.Deflater;
import java.util.zip.GZIPOutputStream;

/**
 * A generated image.
 *
 * @param manifest its digest
 * @param documents manifest and configuration, by digest: what containerd fetches itself
 * @param layers from the base up
 */
record ImageFiles(String manifest, Map<String, byte[]> documents, List<Layer> layers) {
    static final String MANIFEST = "application/vnd.oci.image.manifest.v1+json";
    private static final String CONFIG = "application/vnd.oci.image.config.v1+json";
    private static final String LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
    /** Larger files are not in a layer's tree. */
    private static final int INLINE = 4096;

    private static final int CHUNK = 1 << 16;
    private static final int FILES_IN_DIRECTORY = 40;

    /**
     * A layer.
     *
     * @param objects SHA-256 in hex of the files that are not in its tree; the last one is the large one
     */
    record Layer(byte[] blob, String digest, String diffId, List<String> objects) {
        /** With a tar of small files, 100 B to 60 KB, most of them near the lower end, and one large file. */
        static Layer of(long seed, int files, int large) throws IOException {
            Random random = new Random(seed);
            byte[] text = text(random);
            List<String> objects = new ArrayList<>();
            MessageDigest diffId = sha256();
            ByteArrayOutputStream blob = new ByteArrayOutputStream();
            try (OutputStream tar = new DigestOutputStream(new FastGzip(blob), diffId)) {
                for (int at = 0; at <= files; at++) {
                    String directory = "usr/lib/module-" + at / FILES_IN_DIRECTORY + "/";
                    if (at % FILES_IN_DIRECTORY == 0) {
                        tar.write(header(directory, '5', 0));
                    }
                    int size = at == files ? large : (int) (100 * Math.pow(600, random.nextDouble()));
                    byte[] content = content(random, text, size);
                    tar.write(header(directory + "file-" + at, '0', content.length));
                    tar.write(content);
                    tar.write(new byte[-content.length & 511]);
                    if (content.length > INLINE) {
                        objects.add(hex(content));
                    }
                }
                tar.write(new byte[1024]);
            }
            return new Layer(
                    blob.toByteArray(),
                    "sha256:" + hex(blob.toByteArray()),
                    "sha256:" + HexFormat.of().formatHex(diffId.digest()),
                    objects);
        }
    }

    /** It matters what the blob is, not how small. */
    private static final class FastGzip extends GZIPOutputStream {
        FastGzip(OutputStream out) throws IOException {
            super(out, CHUNK);
            def.setLevel(Deflater.BEST_SPEED);
        }
    }

    static ImageFiles of(List<Layer> layers) {
        String diffIds =
                layers.stream().map(layer -> '"' + layer.diffId() + '"').collect(Collectors.joining(","));
        byte[] config = "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}"
                .formatted(diffIds)
                .getBytes(StandardCharsets.UTF_8);
        String descriptors = layers.stream()
                .map(layer -> descriptor(LAYER, layer.digest(), layer.blob().length))
                .collect(Collectors.joining(","));
        byte[] manifest = "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":%s,\"layers\":[%s]}"
                .formatted(MANIFEST, descriptor(CONFIG, "sha256:" + hex(config), config.length), descriptors)
                .getBytes(StandardCharsets.UTF_8);
        Map<String, byte[]> documents = new HashMap<>();
        documents.put("sha256:" + hex(config), config);
        documents.put("sha256:" + hex(manifest), manifest);
        return new ImageFiles("sha256:" + hex(manifest), documents, layers);
    }

    /** What containerd names the snapshots of its layers by, from the base up (OCI image-spec, config.md). */
    List<String> chainIds() {
        List<String> ids = new ArrayList<>();
        for (Layer layer : layers) {
            ids.add(
                    ids.isEmpty()
                            ? layer.diffId()
                            : "sha256:" + hex((ids.getLast() + " " + layer.diffId()).getBytes(StandardCharsets.UTF_8)));
        }
        return ids;
    }

    private static String descriptor(String type, String digest, int size) {
        return "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%d}".formatted(type, digest, size);
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
        byte[] header = new byte[512];
        put(header, 0, name);
        put(header, 100, type == '5' ? "0000755" : "0000644");
        put(header, 108, "0000000");
        put(header, 116, "0000000");
        put(header, 124, "%011o".formatted(size));
        put(header, 136, "14700000000");
        put(header, 148, "        ");
        header[156] = (byte) type;
        put(header, 257, "ustar\00000");
        int sum = 0;
        for (byte b : header) {
            sum += b & 0xff;
        }
        put(header, 148, "%06o\0".formatted(sum));
        return header;
    }

    private static void put(byte[] header, int at, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(bytes, 0, header, at, bytes.length);
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(sha256().digest(bytes));
    }

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }
}
