package dev.coldstart.snapshotter.layer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whatever bytes come: a sound result or a {@link LayerException}, and nothing left behind. */
final class HostileInputFuzzTest {
    @TempDir
    Path directory;

    @FuzzTest(maxDuration = "2m")
    void anyBytesAsALayer(byte[] bytes) throws Exception {
        layer(bytes, Arrays.hashCode(bytes) % 16 == 0);
    }

    @FuzzTest(maxDuration = "2m")
    void anyBytesAsATarWithRightChecksums(byte[] bytes) throws Exception {
        layer(withChecksums(bytes), Arrays.hashCode(bytes) % 16 == 0);
    }

    @FuzzTest(maxDuration = "2m")
    void anyBytesAsAnIndexWithRightChecksums(byte[] bytes) throws Exception {
        index(withIndexChecksums(bytes.clone()), new byte[0]);
    }

    @Test
    void mutatedTarsGiveASoundTreeOrNone() throws Exception {
        byte[] sound = tar();
        Random random = new Random(1);
        int refused = 0;
        for (int i = 0; i < 300; i++) {
            byte[] mutant = mutate(random, sound);
            if (i % 10 != 0) {
                mutant = withChecksums(mutant);
            }
            refused += layer(i % 2 == 0 ? mutant : Tar.gzip(mutant), true) ? 0 : 1;
        }
        assertThat(refused).isBetween(30, 270);
    }

    @Test
    void mutatedGzipsAreRefused() throws Exception {
        byte[] sound = Tar.gzip(tar());
        Random random = new Random(2);
        for (int i = 0; i < 150; i++) {
            layer(mutate(random, sound), true);
        }
    }

    @Test
    void mutatedZstdsAreRefused() throws Exception {
        byte[] sound = Tar.zstd(tar(), 19);
        Random random = new Random(5);
        for (int i = 0; i < 500; i++) {
            layer(mutate(random, sound), i % 10 == 0);
        }
    }

    @Test
    void mutatedIndexesAreRefusedOrHarmless() throws Exception {
        mutateIndex(Tar.gzip(tar()), 1000);
    }

    @Test
    void mutatedIndexesOfZstdLayersAreRefusedOrHarmless() throws Exception {
        Tar tar = new Tar();
        Random random = new Random(6);
        byte[] body = new byte[200_000];
        random.nextBytes(body);
        for (int i = 0; i < 25; i++) {
            System.arraycopy(body, random.nextInt(100_000), body, 100_000, 50_000);
            tar.add(Tar.file("f" + i, body));
        }
        mutateIndex(Tar.zstd(tar.bytes(), 3), 300);
    }

    private void mutateIndex(byte[] blob, int mutants) throws IOException {
        Path idx = directory.resolve("sound.idx");
        LayerIndexer.index(
                new ByteArrayInputStream(blob),
                Tar.digest(blob),
                null,
                idx,
                directory.resolve("sound.erofs"),
                null,
                ProgressListener.NONE);
        byte[] sound = Files.readAllBytes(idx);
        Files.delete(idx);
        Files.delete(directory.resolve("sound.erofs"));
        Random random = new Random(3);
        for (int i = 0; i < mutants; i++) {
            byte[] mutant = mutate(random, sound);
            index(i % 10 == 0 ? mutant : withIndexChecksums(mutant), blob);
        }
    }

    @Test
    void mutatedIndexesOfChunksAreRefusedOrHarmless() throws Exception {
        Random random = new Random(5);
        for (ChunkedLayer.Compression compression : ChunkedLayer.Compression.values()) {
            byte[] sound = chunked(compression);
            for (int i = 0; i < 1000; i++) {
                index(withIndexChecksums(mutate(random, sound)), new byte[5000]);
            }
        }
    }

    @FuzzTest(maxDuration = "2m")
    void anyBytesAsChunksWithRightChecksums(byte[] bytes) throws Exception {
        byte[] sound = chunked(ChunkedLayer.Compression.GZIP);
        System.arraycopy(bytes, 0, sound, 8, Math.min(bytes.length, sound.length - 8));
        index(withIndexChecksums(sound), new byte[5000]);
    }

    private byte[] chunked(ChunkedLayer.Compression compression) throws Exception {
        Path idx = directory.resolve("chunked.idx");
        try (ChunkedLayer layer = new ChunkedLayer(idx, directory.resolve("chunked.erofs"))) {
            for (int file = 0; file < 12; file++) {
                ObjectName name = new ObjectName(file, 1, 1, 1);
                long at = 100 + 50L * file;
                layer.add(
                        new LayerEntry('0', "f" + file, "", 0644, 0, 0, 0, 0, 0, 0, Map.of(), 700_000, name),
                        List.of(
                                new LayerEntry.Chunk(at, 0, 0, 300_000, name, false),
                                new LayerEntry.Chunk(at, 0, 0, 200_000, null, true),
                                new LayerEntry.Chunk(at + 25, 0, 0, 100_000, name, false),
                                new LayerEntry.Chunk(at + 25, 0, 150_000, 100_000, name, false)));
            }
            layer.finish(compression, Tar.digest(new byte[1]), Tar.digest(new byte[2]), 2000, 1000);
        }
        byte[] sound = Files.readAllBytes(idx);
        Files.delete(idx);
        Files.delete(directory.resolve("chunked.erofs"));
        return sound;
    }

    @Test
    void mutatedIndexesOfOthersCheckpointsAreRefusedOrHarmless() throws Exception {
        Path idx = directory.resolve("checkpointed.idx");
        Random random = new Random(6);
        byte[] window = new byte[32 << 10];
        random.nextBytes(window);
        Digest layer = Tar.digest(new byte[1]);
        try (CheckpointedLayer made =
                new CheckpointedLayer(idx, directory.resolve("checkpointed.erofs"), layer, layer)) {
            for (int file = 0; file < 20; file++) {
                made.add(
                        new LayerEntry('0', "f" + file, "", 0644, 0, 0, 0, 0, 0, 0, Map.of(), 90_000, null),
                        512 + 100_000L * file);
            }
            for (int span = 0; span < 4; span++) {
                made.addSpan(500_000L * span, 10 + 1000L * span, span, window, layer);
            }
            made.finish(layer, 5000, 2_500_000, 4500);
        }
        byte[] sound = Files.readAllBytes(idx);
        Files.delete(idx);
        Files.delete(directory.resolve("checkpointed.erofs"));
        for (int i = 0; i < 1000; i++) {
            index(withIndexChecksums(mutate(random, sound)), new byte[5000]);
        }
    }

    @Test
    void aPlainTarWithTwoSizesIsRefused() throws Exception {
        Path idx = directory.resolve("plain.idx");
        byte[] tar = tar();
        LayerIndexer.index(
                new ByteArrayInputStream(tar),
                Tar.digest(tar),
                null,
                idx,
                directory.resolve("plain.erofs"),
                null,
                ProgressListener.NONE);
        byte[] bytes = Files.readAllBytes(idx);
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(80, tar.length + 1L);
        Files.write(idx, withIndexChecksums(bytes));
        assertThatThrownBy(() -> LayerIndex.open(idx))
                .isInstanceOf(LayerException.class)
                .hasMessageContaining("two sizes");
    }

    /** Returns whether it was taken. */
    private boolean layer(byte[] blob, boolean check) throws Exception {
        Path idx = directory.resolve("fuzz.idx");
        Path tree = directory.resolve("fuzz.erofs");
        boolean taken = true;
        try {
            LayerIndexer.index(
                    new ByteArrayInputStream(blob), Tar.digest(blob), null, idx, tree, null, ProgressListener.NONE);
            index(Files.readAllBytes(idx), blob);
            if (check) {
                Fsck.check(tree);
            }
        } catch (LayerException e) {
            taken = false;
        }
        Files.deleteIfExists(idx);
        Files.deleteIfExists(tree);
        try (Stream<Path> left = Files.list(directory)) {
            assertThat(left).isEmpty();
        }
        return taken;
    }

    private void index(byte[] bytes, byte[] blob) throws IOException {
        Path path = directory.resolve("mutant.idx");
        Files.write(path, bytes);
        try (LayerIndex index = LayerIndex.open(path);
                SpanInflater inflater = new SpanInflater()) {
            for (int row = 0; row < index.objectCount(); row++) {
                assertThat(index.find(index.objectName(row))).isEqualTo(row);
                assertThat(index.objectOffset(index.byOffset(row))).isNotNegative();
            }
            for (int span = 0; span < Math.min(index.spanCount(), 10); span++) {
                assertThat(index.spanAt(index.spanStart(span))).isEqualTo(span);
                assertThat(index.firstObjectIn(span)).isBetween(0, index.objectCount());
                long range = index.spanBlobEnd(span) - index.spanBlobStart(span);
                if (range < 1 << 20) {
                    try {
                        ByteBuffer compressed = ByteBuffer.allocate((int) range);
                        int from = (int) Math.min(index.spanBlobStart(span), blob.length);
                        compressed
                                .put(blob, from, Math.min(blob.length - from, (int) range))
                                .clear();
                        inflater.inflate(index, span, compressed, ByteBuffer.allocate((int)
                                (index.spanEnd(span) - index.spanStart(span))));
                    } catch (LayerException e) {
                        assertThat(e).hasMessageMatching("(?s).*(span|chunk|object) .* of layer .*");
                    }
                }
            }
        } catch (LayerException e) {
            assertThat(e).hasMessageContaining("mutant.idx");
        } finally {
            Files.delete(path);
        }
    }

    private static byte[] mutate(Random random, byte[] sound) {
        byte[] mutant = sound.clone();
        for (int i = random.nextInt(4); i >= 0; i--) {
            int at = random.nextInt(mutant.length);
            switch (random.nextInt(6)) {
                case 0 -> mutant[at] ^= (byte) (1 << random.nextInt(8));
                case 1 -> mutant[at] = (byte) random.nextInt(256);
                case 2 -> mutant[at] = (byte) "0179/.=\n \0xLS".charAt(random.nextInt(13));
                case 3 -> {
                    int length = Math.min(1 + random.nextInt(12), mutant.length - at);
                    Arrays.fill(mutant, at, at + length, (byte) random.nextInt(256));
                }
                case 4 -> {
                    int record = at / TarReader.RECORD * TarReader.RECORD;
                    int other = random.nextInt(mutant.length) / TarReader.RECORD * TarReader.RECORD;
                    int length = Math.min(TarReader.RECORD, mutant.length - Math.max(record, other));
                    System.arraycopy(sound, other, mutant, record, length);
                }
                default -> mutant = random.nextInt(8) == 0 ? Arrays.copyOf(mutant, Math.max(at, 1)) : mutant;
            }
        }
        return mutant;
    }

    private static byte[] withChecksums(byte[] bytes) {
        byte[] tar = bytes.clone();
        for (int at = 0; at + TarReader.RECORD <= tar.length; at += TarReader.RECORD) {
            if (tar[at + 257] != 'u' || tar[at + 258] != 's') {
                continue;
            }
            Arrays.fill(tar, at + 148, at + 156, (byte) ' ');
            int sum = 0;
            for (int i = at; i < at + TarReader.RECORD; i++) {
                sum += tar[i] & 0xff;
            }
            byte[] digits = String.format(Locale.ROOT, "%06o\0", sum).getBytes(StandardCharsets.US_ASCII);
            System.arraycopy(digits, 0, tar, at + 148, digits.length);
        }
        return tar;
    }

    private static byte[] withIndexChecksums(byte[] bytes) {
        if (bytes.length < LayerIndex.HEADER) {
            return bytes;
        }
        ByteBuffer index = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        index.putLong(0, LayerIndex.MAGIC).putInt(8, LayerIndex.VERSION);
        long tables = index.getLong(104);
        if (tables >= LayerIndex.HEADER && tables <= bytes.length) {
            index.putInt(112, LayerIndex.checksum(index, (int) tables, bytes.length - (int) tables));
        }
        long chunks = index.getLong(160);
        long chunkBytes = (long) index.getInt(168) * LayerIndex.CHUNK_ROW;
        if (index.getInt(12) == LayerIndex.FORMAT_GZIP_PROVEN) {
            chunks = LayerIndex.HEADER;
            chunkBytes = index.getLong(116) - LayerIndex.HEADER;
        }
        if (chunks >= LayerIndex.HEADER && chunkBytes >= 0 && chunks <= bytes.length - chunkBytes) {
            index.putInt(172, LayerIndex.checksum(index, (int) chunks, (int) chunkBytes));
        }
        CRC32C crc = new CRC32C();
        crc.update(bytes, 0, LayerIndex.HEADER - 4);
        index.putInt(LayerIndex.HEADER - 4, (int) crc.getValue());
        return bytes;
    }

    private static byte[] tar() {
        Random random = new Random(4);
        byte[] body = new byte[5000];
        random.nextBytes(body);
        Tar tar = new Tar()
                .add(Tar.directory("a"))
                .add(Tar.file("a/small", "hello".getBytes(StandardCharsets.UTF_8)))
                .add(Tar.file("a/object", body).xattr("user.x", body))
                .add(Tar.of("a/link", '2').link("../b"))
                .add(Tar.of("b", '2').link("a"))
                .add(Tar.file("b/through-a-link", body))
                .add(Tar.of("c/hard", '1').link("a/object"))
                .add(Tar.of("null", '3').device(1, 3))
                .add(Tar.file("a/.wh.gone", new byte[0]))
                .add(Tar.file("c/.wh..wh..opq", new byte[0]))
                .add(Tar.file("x", body).pax("path", "long/".repeat(50) + "name"))
                .add(Tar.file(
                                "s",
                                "2\n0\n5\n90000\n5\n"
                                        .concat("\0".repeat(498))
                                        .concat("0123456789")
                                        .getBytes(StandardCharsets.US_ASCII))
                        .pax("GNU.sparse.major", "1")
                        .pax("GNU.sparse.minor", "0")
                        .pax("GNU.sparse.name", "sparse")
                        .pax("GNU.sparse.realsize", "100000"));
        for (String name : List.of("d/1", "d/2", "d/3", "d/1")) {
            tar.add(Tar.file(name, Arrays.copyOf(body, random.nextInt(5000))));
        }
        return tar.bytes();
    }
}
