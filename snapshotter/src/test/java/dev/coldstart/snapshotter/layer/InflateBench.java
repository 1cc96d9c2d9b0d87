package dev.coldstart.snapshotter.layer;

import dev.coldstart.linux.RawInflater;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.List;
import java.util.Locale;

/**
 * What the spans of a gzip layer cost by each decompressor that this host has, inflated whole and while they arrive in pieces
 * of 64 KiB; not a test. Argument: the layer's blob. Prints MB of uncompressed bytes per second of this thread's processor
 * time, medians of the passes, in which the decompressors take turns: the SHA-256 that proves a span is part of it, and the
 * ratio is that of what is left without.
 */
final class InflateBench {
    private static final int PASSES = 5;
    private static final int SPANS = 200;
    private static final int PIECE = 64 << 10;
    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

    private InflateBench() {}

    public static void main(String[] args) throws IOException {
        Path blob = Path.of(args[0]);
        Path directory = Files.createTempDirectory("inflate-bench");
        Path idx = directory.resolve("layer.idx");
        Path tree = directory.resolve("layer.erofs");
        try {
            try (InputStream in = new BufferedInputStream(Files.newInputStream(blob), 1 << 16)) {
                LayerIndexer.index(in, TreeBench.digest(blob), null, idx, tree, null, ProgressListener.NONE);
            }
            try (LayerIndex index = LayerIndex.open(idx)) {
                measure(index, spans(index, blob));
            }
        } finally {
            Files.deleteIfExists(idx);
            Files.deleteIfExists(tree);
            Files.deleteIfExists(directory);
        }
    }

    /** The first spans' ranges of the blob. */
    private static ByteBuffer[] spans(LayerIndex index, Path blob) throws IOException {
        ByteBuffer[] ranges = new ByteBuffer[Math.min(SPANS, index.spanCount())];
        try (InputStream in = Files.newInputStream(blob)) {
            byte[] bytes = in.readNBytes((int) Math.min(index.spanBlobEnd(ranges.length - 1), Integer.MAX_VALUE - 8));
            for (int span = 0; span < ranges.length; span++) {
                int length = (int) (index.spanBlobEnd(span) - index.spanBlobStart(span));
                ranges[span] = ByteBuffer.allocateDirect(length).put(bytes, (int) index.spanBlobStart(span), length);
            }
        }
        return ranges;
    }

    private static void measure(LayerIndex index, ByteBuffer[] ranges) throws IOException {
        List<RawInflater> raws = RawInflaters.all();
        SpanInflater[] inflaters = raws.stream().map(SpanInflater::new).toArray(SpanInflater[]::new);
        double[][] whole = new double[inflaters.length][PASSES];
        double[][] pieces = new double[inflaters.length][PASSES];
        double[] proof = new double[PASSES];
        ByteBuffer out = ByteBuffer.allocateDirect(LayerIndex.MAX_SPAN);
        // The first pass is not counted.
        for (int pass = -1; pass < PASSES; pass++) {
            int at = Math.max(0, pass);
            for (int i = 0; i < inflaters.length; i++) {
                whole[i][at] = seconds(inflaters[i], index, ranges, out, Integer.MAX_VALUE);
                pieces[i][at] = seconds(inflaters[i], index, ranges, out, PIECE);
            }
            proof[at] = proofSeconds(index, ranges.length, out);
        }
        double megabytes = index.spanEnd(ranges.length - 1) / 1e6;
        double sha256 = TreeBench.median(proof);
        System.out.printf(
                Locale.ROOT,
                "%d spans, %.0f MB; SHA-256 alone %.0f MB/s%n",
                ranges.length,
                megabytes,
                megabytes / sha256);
        System.out.printf(
                Locale.ROOT, "%-8s %12s %12s %18s %18s%n", "", "whole", "64 KiB", "whole, no SHA", "64 KiB, no SHA");
        for (int i = 0; i < inflaters.length; i++) {
            System.out.printf(
                    Locale.ROOT,
                    "%-8s %12.0f %12.0f %11.0f (%.2f) %11.0f (%.2f)%n",
                    raws.get(i).getClass().getSimpleName(),
                    megabytes / TreeBench.median(whole[i]),
                    megabytes / TreeBench.median(pieces[i]),
                    megabytes / (TreeBench.median(whole[i]) - sha256),
                    (TreeBench.median(whole[0]) - sha256) / (TreeBench.median(whole[i]) - sha256),
                    megabytes / (TreeBench.median(pieces[i]) - sha256),
                    (TreeBench.median(pieces[0]) - sha256) / (TreeBench.median(pieces[i]) - sha256));
            inflaters[i].close();
        }
    }

    private static double seconds(
            SpanInflater inflater, LayerIndex index, ByteBuffer[] ranges, ByteBuffer out, int piece)
            throws LayerException {
        long start = THREADS.getCurrentThreadCpuTime();
        for (int span = 0; span < ranges.length; span++) {
            ByteBuffer in = ranges[span].clear();
            int length = in.limit();
            inflater.begin(index, span, out.clear());
            for (long limit = piece; limit < length; limit += piece) {
                inflater.arrived(in.limit((int) limit));
            }
            inflater.finish(in.limit(length), out);
        }
        return (THREADS.getCurrentThreadCpuTime() - start) / 1e9;
    }

    private static double proofSeconds(LayerIndex index, int spans, ByteBuffer out) {
        MessageDigest sha256 = Sha256.digest();
        long start = THREADS.getCurrentThreadCpuTime();
        for (int span = 0; span < spans; span++) {
            sha256.update(out.clear().limit((int) (index.spanEnd(span) - index.spanStart(span))));
            sha256.digest();
        }
        return (THREADS.getCurrentThreadCpuTime() - start) / 1e9;
    }
}
