package dev.coldstart.snapshotter.layer;

import dev.coldstart.linux.Mount;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.Arrays;
import java.util.Locale;
import java.util.Random;
import java.util.zip.Deflater;
import java.util.zip.GZIPOutputStream;

/**
 * How fast a layer of very many files becomes index and tree, and how long mounting the tree takes; not a test. Prints a
 * table and, as its last line, RESULT and JSON. Argument: a directory for the layers, 2 GiB on a real disk.
 */
final class TreeBench {
    private static final int PASSES = 5;
    private static final int MOUNTS = 101;
    private static final int BLOCK = 512;
    private static final int LEVEL = 6;

    private TreeBench() {}

    /**
     * A layer's shape.
     *
     * @param inDirectory how many of the files lie in one directory
     * @param least the smallest file's bytes
     * @param most the largest file's bytes
     */
    private record Shape(String title, int files, int inDirectory, int least, int most) {}

    /** Medians of the passes over one layer. */
    private record Measured(double filesPerSecond, double mountMillis) {}

    public static void main(String[] args) throws IOException {
        Path directory = Path.of(args[0]);
        System.out.printf(
                Locale.ROOT,
                "%-52s %9s %9s %8s %8s %10s %9s%n",
                "layer",
                "tar MiB",
                "blob MiB",
                "s",
                "cpu s",
                "files/s",
                "mount ms");
        // Half of a Python layer's files and most of an npm tree's are so small.
        Shape tiny = new Shape("500,000 files of 0 to 1 KiB", 500_000, 100, 0, 1 << 10);
        Shape flat = new Shape("300,000 of them in one directory", 300_000, 300_000, 0, 1 << 10);
        Shape mixed = new Shape("200,000 files of 0 to 8 KiB, half of them objects", 200_000, 100, 0, 8 << 10);
        Measured plain = measure(directory, tiny, false);
        Measured gzip = measure(directory, tiny, true);
        Measured one = measure(directory, flat, false);
        measure(directory, flat, true);
        measure(directory, mixed, false);
        Measured objects = measure(directory, mixed, true);
        System.out.printf(
                Locale.ROOT,
                "RESULT {\"tree_files_per_s\": %.0f, \"tree_one_directory_files_per_s\": %.0f, "
                        + "\"index_gzip_files_per_s\": %.0f, \"index_gzip_objects_files_per_s\": %.0f, \"mount_ms_p50\": %.2f}%n",
                plain.filesPerSecond(),
                one.filesPerSecond(),
                gzip.filesPerSecond(),
                objects.filesPerSecond(),
                plain.mountMillis());
    }

    private static Measured measure(Path directory, Shape shape, boolean gzip) throws IOException {
        Path blob = directory.resolve("layer");
        Path index = directory.resolve("layer.idx");
        Path tree = directory.resolve("layer.erofs");
        Path target = Files.createDirectories(directory.resolve("mounted"));
        try {
            try (OutputStream file = new BufferedOutputStream(Files.newOutputStream(blob), 1 << 20);
                    OutputStream out = gzip ? new Gzip(file) : file) {
                write(shape, out);
            }
            Digest digest = digest(blob);
            double[] seconds = new double[PASSES];
            double[] processor = new double[PASSES];
            IndexedLayer layer = null;
            for (int pass = 0; pass < PASSES; pass++) {
                double before = processorSeconds();
                long start = System.nanoTime();
                try (InputStream in = new BufferedInputStream(Files.newInputStream(blob), 1 << 16)) {
                    layer = LayerIndexer.index(in, digest, null, index, tree, null, ProgressListener.NONE);
                }
                seconds[pass] = (System.nanoTime() - start) / 1e9;
                processor[pass] = processorSeconds() - before;
            }
            double median = median(seconds);
            double millis = mountMillis(tree, target);
            System.out.printf(
                    Locale.ROOT,
                    "%-52s %9.0f %9.0f %8.2f %8.2f %10.0f %9.2f%n",
                    shape.title() + (gzip ? ", gzip" : ", tar"),
                    layer == null ? 0 : layer.uncompressedSize() / 1048576.0,
                    Files.size(blob) / 1048576.0,
                    median,
                    median(processor),
                    shape.files() / median,
                    millis);
            return new Measured(shape.files() / median, millis);
        } finally {
            Files.deleteIfExists(blob);
            Files.deleteIfExists(index);
            Files.deleteIfExists(tree);
            Files.deleteIfExists(target);
        }
    }

    private static double mountMillis(Path tree, Path target) throws IOException {
        double[] millis = new double[MOUNTS];
        for (int i = 0; i < MOUNTS; i++) {
            long start = System.nanoTime();
            Mount.mount(tree.toString(), target.toString(), "erofs", Mount.MS_RDONLY, null);
            millis[i] = (System.nanoTime() - start) / 1e6;
            Mount.umount(target.toString(), 0);
        }
        return median(millis);
    }

    /** Of all threads: on a machine that does other things as well this says more than the clock. */
    private static double processorSeconds() {
        return ProcessHandle.current()
                        .info()
                        .totalCpuDuration()
                        .orElse(Duration.ZERO)
                        .toMillis()
                / 1e3;
    }

    static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    static Digest digest(Path file) throws IOException {
        MessageDigest sha256 = Sha256.digest();
        byte[] buffer = new byte[1 << 16];
        try (InputStream in = Files.newInputStream(file)) {
            for (int n = in.read(buffer); n > 0; n = in.read(buffer)) {
                sha256.update(buffer, 0, n);
            }
        }
        return Digest.of(sha256.digest());
    }

    /** As docker compresses layers. */
    private static final class Gzip extends GZIPOutputStream {
        Gzip(OutputStream out) throws IOException {
            super(out, 1 << 16);
            def.setLevel(LEVEL);
            def.setStrategy(Deflater.DEFAULT_STRATEGY);
        }
    }

    /** Text of few words, no two files alike. */
    private static void write(Shape shape, OutputStream out) throws IOException {
        Random random = new Random(20261122);
        byte[] words = new byte[1 << 20];
        for (int i = 0; i < words.length; i += 8) {
            byte[] word = String.format(Locale.ROOT, "%07x ", random.nextInt(5000) * 7919)
                    .getBytes(StandardCharsets.US_ASCII);
            System.arraycopy(word, 0, words, i, 8);
        }
        for (int i = 0; i < shape.files(); i++) {
            String directory = "usr/lib/node_modules/package-" + i / shape.inDirectory() + "/";
            if (i % shape.inDirectory() == 0) {
                header(out, directory, '5', 0);
            }
            int size = shape.least() + random.nextInt(shape.most() - shape.least());
            header(out, directory + "module-" + i + ".js", '0', size);
            byte[] name = Integer.toString(i).getBytes(StandardCharsets.US_ASCII);
            int own = Math.min(size, name.length);
            out.write(name, 0, own);
            out.write(words, random.nextInt(words.length - shape.most()), size - own);
            out.write(new byte[(BLOCK - size % BLOCK) % BLOCK]);
        }
        out.write(new byte[2 * BLOCK]);
    }

    private static void header(OutputStream out, String path, char type, int size) throws IOException {
        byte[] block = new byte[BLOCK];
        put(block, 0, path);
        put(block, 100, type == '5' ? "0000755" : "0000644");
        put(block, 108, "0000000");
        put(block, 116, "0000000");
        put(block, 124, String.format(Locale.ROOT, "%011o", size));
        put(block, 136, "15212345670");
        put(block, 148, "        ");
        block[156] = (byte) type;
        put(block, 257, "ustar\00000");
        int sum = 0;
        for (byte b : block) {
            sum += b & 0xff;
        }
        put(block, 148, String.format(Locale.ROOT, "%06o\0", sum));
        out.write(block);
    }

    private static void put(byte[] block, int at, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(bytes, 0, block, at, bytes.length);
    }
}
