package dev.coldstart.snapshotter.layer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.linux.RawInflater;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import java.util.zip.Deflater;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class LayerIndexerTest {
    @TempDir
    Path directory;

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6})
    void everySpanOfAGzipLayerInflatesFromItsOwnRange(long seed) throws IOException {
        byte[] tar = randomTar(new Random(seed), 12 << 20);
        int level = List.of(Deflater.BEST_SPEED, 6, Deflater.NO_COMPRESSION).get((int) (seed % 3));
        byte[] blob = Tar.gzip(tar, level);
        checkSpans(blob, tar, 5);
    }

    @Test
    void spansMayCrossMembersOfAGzip() throws IOException {
        byte[] tar = randomTar(new Random(7), 6 << 20);
        ByteArrayOutputStream blob = new ByteArrayOutputStream();
        Random random = new Random(8);
        for (int at = 0; at < tar.length; ) {
            int length = Math.min(tar.length - at, random.nextInt(200_000));
            blob.writeBytes(Tar.gzip(Arrays.copyOfRange(tar, at, at + length)));
            at += length;
        }
        checkSpans(blob.toByteArray(), tar, 3);
    }

    @ParameterizedTest
    @ValueSource(ints = {-7, 1, 3, 6, 9, 13, 17, 19})
    void everySpanOfAZstdLayerIsDecodedFromItsOwnRange(int level) throws IOException {
        byte[] tar = repetitiveTar(new Random(level), level > 12 ? 9 << 20 : 20 << 20);
        checkSpans(Tar.zstd(tar, level), tar, level > 12 ? 3 : 5);
    }

    @ParameterizedTest
    @ValueSource(ints = {10, 16, 27})
    void zstdWindowsMayBeSmallAndLarge(int window) throws IOException {
        byte[] tar = repetitiveTar(new Random(window), 24 << 20);
        checkSpans(Tar.zstd(tar, 3, window), tar, 6);
    }

    @Test
    void spansMayCrossFramesOfAZstd() throws IOException {
        byte[] tar = repetitiveTar(new Random(20), 16 << 20);
        ByteArrayOutputStream blob = new ByteArrayOutputStream();
        blob.writeBytes(Tar.skippable(12));
        Random random = new Random(21);
        for (int at = 0; at < tar.length; ) {
            int length = Math.min(tar.length - at, random.nextInt(random.nextInt(3) == 0 ? 6 << 20 : 100_000));
            blob.writeBytes(Tar.zstd(Arrays.copyOfRange(tar, at, at + length), 1 + random.nextInt(5)));
            if (random.nextInt(3) == 0) {
                blob.writeBytes(Tar.skippable(random.nextInt(1000)));
            }
            at += length;
        }
        int end = blob.size();
        // As a table of contents that other tools look for.
        blob.writeBytes(Tar.skippable(1 << 20));
        checkSpans(blob.toByteArray(), tar, 5);
        try (LayerIndex index = LayerIndex.open(directory.resolve("layer.idx"))) {
            assertThat(index.spanBlobEnd(index.spanCount() - 1)).isLessThanOrEqualTo(end);
        }
    }

    @Test
    void aZstdLayerGivesTheSameTreeAndObjectsAsAGzipLayer() throws IOException {
        byte[] tar = repetitiveTar(new Random(22), 8 << 20);
        Map<ObjectName, byte[]> fromGzip = new HashMap<>();
        IndexedLayer gzip = index(Tar.gzip(tar), Tar.digest(tar), new CollectedObjects(fromGzip));
        byte[] gzipTree = Files.readAllBytes(gzip.tree());
        Map<ObjectName, byte[]> fromZstd = new HashMap<>();
        IndexedLayer zstd = index(Tar.zstd(tar, 3), Tar.digest(tar), new CollectedObjects(fromZstd));
        byte[] zstdTree = Files.readAllBytes(zstd.tree());
        assertThat(fromZstd.keySet()).isEqualTo(fromGzip.keySet());
        fromGzip.forEach((name, body) -> assertThat(fromZstd.get(name)).isEqualTo(body));
        assertThat(zstdTree).hasSameSizeAs(gzipTree);
        int different = 0;
        for (int i = 0; i < gzipTree.length; i++) {
            different += gzipTree[i] == zstdTree[i] ? 0 : 1;
        }
        // The layer's digest is the file system's identity.
        assertThat(different).isLessThanOrEqualTo(16 + 4);
    }

    @Test
    void aZstdOfNothingIsAnEmptyLayer() throws IOException {
        assertThat(index(Tar.zstd(new byte[0], 3), null, null).spans()).isZero();
        LayerIndex.open(directory.resolve("layer.idx")).close();
    }

    @Test
    void aZstdLayerThatNeedsTooMuchIsRefused() {
        byte[] frame = {0x28, (byte) 0xb5, 0x2f, (byte) 0xfd, 0, (byte) ((28 - 10) << 3), 1, 0, 0};
        assertThatThrownBy(() -> index(frame, null, null))
                .isInstanceOf(LayerException.class)
                .hasMessageContaining("more than 128 MiB are not supported");
    }

    @Test
    void aZstdLayerWithAHoleThatNoRequestShouldFetchIsRefused() {
        ByteArrayOutputStream blob = new ByteArrayOutputStream();
        byte[] tar = randomTar(new Random(23), 1 << 20);
        blob.writeBytes(Tar.zstd(Arrays.copyOf(tar, 1000), 3));
        blob.writeBytes(Tar.skippable(LayerIndex.MAX_SPAN));
        blob.writeBytes(Tar.zstd(Arrays.copyOfRange(tar, 1000, tar.length), 3));
        assertThatThrownBy(() -> index(blob.toByteArray(), null, null))
                .isInstanceOf(LayerException.class)
                .hasMessageContaining("more than 64 MiB without data");
    }

    @Test
    void aWrongZstdChecksumIsRefused() {
        byte[] blob = Tar.zstd(new Tar().bytes(), 3);
        blob[blob.length - 1] ^= 1;
        assertThatThrownBy(() -> index(blob, null, null))
                .isInstanceOf(LayerException.class)
                .hasMessageContaining("checksum");
    }

    @Test
    void aPlainTarIsItsOwnSpans() throws IOException {
        byte[] tar = randomTar(new Random(9), 3 << 20);
        checkSpans(tar, tar, 3);
    }

    @Test
    void aGzipOfNothingIsAnEmptyLayer() throws IOException {
        IndexedLayer layer = index(Tar.gzip(new byte[0]), null, null);
        assertThat(layer.spans()).isZero();
        assertThat(layer.inodes()).isEqualTo(1);
        try (LayerIndex index = LayerIndex.open(layer.index())) {
            assertThat(index.find(ObjectName.of(new byte[32]))).isEqualTo(-1);
        }
    }

    @Test
    void objectsAreFoundByNameAndByOffsetAndReachTheSink() throws IOException {
        Random random = new Random(10);
        Tar tar = new Tar();
        Map<ObjectName, byte[]> expected = new HashMap<>();
        for (int i = 0; i < 300; i++) {
            byte[] body = new byte[random.nextInt(20_000)];
            random.nextBytes(body);
            tar.add(Tar.file("f" + i, body));
            if (i % 3 == 0) {
                tar.add(Tar.file("copy" + i, body));
            }
            if (body.length > LayerIndexer.INLINE) {
                expected.put(ObjectName.of(Tar.sha256(body)), body);
            }
        }
        byte[] bytes = tar.bytes();
        Map<ObjectName, byte[]> received = new HashMap<>();
        IndexedLayer layer = index(Tar.gzip(bytes), null, new CollectedObjects(received));
        assertThat(received.keySet()).isEqualTo(expected.keySet());
        assertThat(layer.objects()).isEqualTo(expected.size());
        try (LayerIndex index = LayerIndex.open(layer.index())) {
            assertThat(index.objectCount()).isEqualTo(expected.size());
            expected.forEach((name, body) -> {
                assertThat(received.get(name)).isEqualTo(body);
                int row = index.find(name);
                assertThat(index.objectName(row)).isEqualTo(name);
                int at = (int) index.objectOffset(row);
                assertThat(Arrays.copyOfRange(bytes, at, at + (int) index.objectSize(row)))
                        .isEqualTo(body);
                int first = index.firstObjectIn(index.spanAt(at));
                assertThat(index.objectOffset(index.byOffset(first))).isLessThanOrEqualTo(at);
            });
            assertThat(index.find(ObjectName.of(new byte[32]))).isEqualTo(-1);
        }
    }

    @Test
    void aWrongDigestIsRefusedAndLeavesNothing() throws IOException {
        byte[] tar = new Tar().add(Tar.file("a", new byte[5000])).bytes();
        byte[] blob = Tar.gzip(tar);
        assertThatThrownBy(() -> index(new ByteArrayInputStream(blob), Tar.digest(tar), null, null))
                .isInstanceOf(LayerException.class)
                .hasMessageContaining("its digest is " + Tar.digest(blob));
        assertThatThrownBy(() -> index(new ByteArrayInputStream(blob), Tar.digest(blob), Tar.digest(blob), null))
                .isInstanceOf(LayerException.class)
                .hasMessageContaining("uncompressed bytes is " + Tar.digest(tar));
        assertThat(files()).isEmpty();
    }

    @Test
    void otherFormatsAreNamed() {
        assertThatThrownBy(() -> index("BZh91AY&SY".getBytes(StandardCharsets.US_ASCII), null, null))
                .isInstanceOf(LayerException.class)
                .hasMessageContaining("bzip2");
    }

    @Test
    void aBlobCutOffAnywhereIsRefused() {
        checkCutOff(Tar.gzip(randomTar(new Random(11), 100_000)));
        checkCutOff(Tar.zstd(randomTar(new Random(17), 400_000), 3));
    }

    private void checkCutOff(byte[] blob) {
        Random random = new Random(12);
        for (int i = 0; i < 60; i++) {
            byte[] cut = Arrays.copyOf(blob, i < 20 ? i + 1 : random.nextInt(blob.length));
            assertThatThrownBy(() -> index(cut, null, null)).isInstanceOf(LayerException.class);
        }
        assertThat(files()).isEmpty();
    }

    @Test
    void garbageBehindAMemberIsRefused() {
        byte[] member = Tar.gzip(new Tar().bytes());
        byte[] blob = Arrays.copyOf(member, member.length + 100);
        assertThatThrownBy(() -> index(blob, null, null)).isInstanceOf(LayerException.class);
    }

    @Test
    void aWrongGzipChecksumIsRefused() {
        byte[] blob = Tar.gzip(new Tar().bytes());
        blob[blob.length - 8] ^= 1;
        assertThatThrownBy(() -> index(blob, null, null))
                .isInstanceOf(LayerException.class)
                .hasMessageContaining("checksum");
    }

    @Test
    void aSinkThatFailsEndsThePass() {
        byte[] blob = Tar.gzip(randomTar(new Random(13), 8 << 20));
        ObjectSink full = size -> {
            throw new IOException("no space left");
        };
        assertThatThrownBy(() -> index(blob, null, full))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("no space left");
        assertThat(files()).isEmpty();
    }

    /** The thread that inflates hashes the spans while the other is behind. */
    @Test
    void aSinkThatIsSlowChangesNothing() throws Exception {
        for (byte[] blob : List.of(
                Tar.gzip(randomTar(new Random(15), 8 << 20)),
                randomTar(new Random(16), 8 << 20),
                Tar.gzip(new Tar().bytes()))) {
            index(blob, null, null);
            byte[] expected = Files.readAllBytes(directory.resolve("layer.idx"));
            Map<ObjectName, byte[]> objects = new HashMap<>();
            ObjectSink slow = size -> {
                try {
                    Thread.sleep(Math.min(200, size >> 14));
                } catch (InterruptedException e) {
                    throw new InterruptedIOException();
                }
                return new CollectedObjects(objects).begin(size);
            };
            index(blob, null, slow);
            assertThat(directory.resolve("layer.idx")).hasBinaryContent(expected);
        }
    }

    @Test
    void aBlobThatCannotBeReadOnEndsThePass() {
        byte[] blob = Tar.gzip(randomTar(new Random(14), 8 << 20));
        InputStream broken = new FilterInputStream(new ByteArrayInputStream(blob)) {
            private int left = blob.length / 2;

            @Override
            public int read(byte[] bytes, int from, int length) throws IOException {
                if (left <= 0) {
                    throw new IOException("connection reset");
                }
                int read = super.read(bytes, from, Math.min(length, left));
                left -= read;
                return read;
            }
        };
        assertThatThrownBy(() -> index(broken, Tar.digest(blob), null, null))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("connection reset");
        assertThat(files()).isEmpty();
    }

    @Test
    void directoriesWithoutAnEntryAreKnown() throws Exception {
        Tar tar = new Tar()
                .add(Tar.file("a/b/c", new byte[] {1}))
                .add(Tar.directory("a/"))
                .add(Tar.directory("d/"))
                .add(Tar.file("d/e/f", new byte[] {2}))
                .add(Tar.file("g/h", new byte[] {3}))
                .add(Tar.file("g/.wh..wh..opq", new byte[0]));
        LayerIndexer.index(
                new ByteArrayInputStream(tar.bytes()),
                Tar.digest(tar.bytes()),
                null,
                directory.resolve("implied.idx"),
                directory.resolve("implied.erofs"),
                null,
                ProgressListener.NONE);
        try (LayerIndex index = LayerIndex.open(directory.resolve("implied.idx"))) {
            assertThat(index.implied()).containsExactlyInAnyOrder("a/b", "d/e");
        }
    }

    @Test
    void aSpanThatIsNotWhatTheIndexSaysIsRefused() throws IOException {
        byte[] tar = randomTar(new Random(15), 6 << 20);
        checkWrongSpans(tar, Tar.gzip(tar));
        checkWrongSpans(tar, Tar.zstd(tar, 3));
    }

    private void checkWrongSpans(byte[] tar, byte[] blob) throws IOException {
        IndexedLayer layer = index(blob, null, null);
        try (LayerIndex index = LayerIndex.open(layer.index())) {
            for (RawInflater raw : RawInflaters.all()) {
                checkWrongSpans(index, raw, tar, blob);
            }
        }
    }

    private static void checkWrongSpans(LayerIndex index, RawInflater raw, byte[] tar, byte[] blob) throws IOException {
        try (SpanInflater inflater = new SpanInflater(raw)) {
            Random random = new Random(16);
            int refused = 0;
            for (int i = 0; i < 200; i++) {
                int span = random.nextInt(index.spanCount());
                byte[] range = range(index, span, blob);
                range[random.nextInt(range.length)] ^= (byte) (1 << random.nextInt(8));
                ByteBuffer out = ByteBuffer.allocate((int) (index.spanEnd(span) - index.spanStart(span)));
                try {
                    inflater.inflate(index, span, ByteBuffer.wrap(range), out);
                    // A bit between blocks or behind the end, which means nothing.
                    assertThat(out.array())
                            .isEqualTo(Arrays.copyOfRange(tar, (int) index.spanStart(span), (int) index.spanEnd(span)));
                } catch (LayerException e) {
                    assertThat(out.position()).isZero();
                    refused++;
                }
            }
            assertThat(refused).isGreaterThan(150);
            // And the inflater is none the worse for it.
            checkSpan(index, inflater, 1, blob, tar, true);
        }
    }

    private void checkSpans(byte[] blob, byte[] tar, int least) throws IOException {
        IndexedLayer layer = index(blob, Tar.digest(tar), null);
        assertThat(layer.uncompressedSize()).isEqualTo(tar.length);
        try (LayerIndex index = LayerIndex.open(layer.index())) {
            assertThat(index.layer()).isEqualTo(Tar.digest(blob));
            assertThat(index.diffId()).isEqualTo(Tar.digest(tar));
            assertThat(index.blobSize()).isEqualTo(blob.length);
            assertThat(index.spanCount()).isGreaterThanOrEqualTo(least).isEqualTo(layer.spans());
            long end = 0;
            for (int span = 0; span < index.spanCount(); span++) {
                assertThat(index.spanStart(span)).isEqualTo(end);
                end = index.spanEnd(span);
                assertThat(index.spanAt(end - 1)).isEqualTo(span);
            }
            assertThat(end).isEqualTo(tar.length);
            for (RawInflater raw : RawInflaters.all()) {
                try (SpanInflater inflater = new SpanInflater(raw)) {
                    for (int span = index.spanCount() - 1; span >= 0; span--) {
                        checkSpan(index, inflater, span, blob, tar, span % 2 == 0);
                    }
                }
            }
        }
    }

    private static void checkSpan(
            LayerIndex index, SpanInflater inflater, int span, byte[] blob, byte[] tar, boolean direct)
            throws IOException {
        byte[] range = range(index, span, blob);
        ByteBuffer in =
                direct ? ByteBuffer.allocateDirect(range.length).put(range).flip() : ByteBuffer.wrap(range);
        int length = (int) (index.spanEnd(span) - index.spanStart(span));
        ByteBuffer out = direct ? ByteBuffer.allocateDirect(length + 3) : ByteBuffer.allocate(length + 3);
        out.position(3);
        inflater.inflate(index, span, in, out);
        byte[] bytes = new byte[length];
        out.flip().position(3).get(bytes);
        assertThat(bytes).isEqualTo(Arrays.copyOfRange(tar, (int) index.spanStart(span), (int) index.spanEnd(span)));

        // The same, arriving in pieces of any size.
        Random random = new Random(span);
        ByteBuffer arrived = ByteBuffer.wrap(range).limit(0);
        ByteBuffer again = ByteBuffer.allocateDirect(length);
        inflater.begin(index, span, again);
        while (arrived.limit() < range.length) {
            arrived.limit(Math.min(range.length, arrived.limit() + random.nextInt(1 + range.length / 4)));
            inflater.arrived(arrived);
        }
        inflater.finish(arrived, again);
        byte[] pieced = new byte[length];
        again.flip().get(pieced);
        assertThat(pieced).isEqualTo(Arrays.copyOfRange(tar, (int) index.spanStart(span), (int) index.spanEnd(span)));
    }

    private static byte[] range(LayerIndex index, int span, byte[] blob) {
        return Arrays.copyOfRange(blob, (int) index.spanBlobStart(span), (int) index.spanBlobEnd(span));
    }

    private IndexedLayer index(byte[] blob, @Nullable Digest diffId, @Nullable ObjectSink sink) throws IOException {
        return index(new ByteArrayInputStream(blob), Tar.digest(blob), diffId, sink);
    }

    private IndexedLayer index(InputStream blob, Digest digest, @Nullable Digest diffId, @Nullable ObjectSink sink)
            throws IOException {
        return LayerIndexer.index(
                blob,
                digest,
                diffId,
                directory.resolve("layer.idx"),
                directory.resolve("layer.erofs"),
                sink,
                ProgressListener.NONE);
    }

    private List<Path> files() {
        try (Stream<Path> files = Files.list(directory)) {
            return files.toList();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** Files of many sizes, of bytes that compress well, badly and not at all. */
    private static byte[] randomTar(Random random, int size) {
        Tar tar = new Tar();
        for (int written = 0, i = 0; written < size; i++) {
            byte[] body = new byte[random.nextInt(random.nextInt(4) == 0 ? size / 4 : 20_000)];
            int variety = 1 + random.nextInt(255);
            for (int at = 0; at < body.length; at++) {
                body[at] = (byte) (random.nextInt(8) == 0 ? random.nextInt(variety) : at >>> 4);
            }
            tar.add(Tar.file("dir" + i % 7 + "/file" + i, body));
            written += body.length + 512;
        }
        return tar.bytes();
    }

    /** Files that repeat parts of one another from near and far, as those of a real layer do. */
    private static byte[] repetitiveTar(Random random, int size) {
        byte[] all = new byte[size];
        Tar tar = new Tar();
        for (int at = 0, i = 0; at < size; i++) {
            int length = Math.min(size - at, 1 + random.nextInt(random.nextInt(9) == 0 ? 1 << 20 : 30_000));
            int end = at + length;
            int start = at;
            while (at < end) {
                int part = Math.min(end - at, 4 + random.nextInt(200));
                if (random.nextInt(4) > 0 && at > 300) {
                    int back = random.nextInt(3) > 0 ? 300 + random.nextInt(60_000) : 300 + random.nextInt(at);
                    System.arraycopy(all, Math.max(0, at - back), all, at, part);
                    at += part;
                } else {
                    for (int k = 0; k < part; k++) {
                        all[at++] = (byte) (i % 5 == 0 ? random.nextInt() : 'a' + random.nextInt(20));
                    }
                }
            }
            tar.add(Tar.file("dir" + i % 7 + "/file" + i, Arrays.copyOfRange(all, start, end)));
        }
        return tar.bytes();
    }
}
