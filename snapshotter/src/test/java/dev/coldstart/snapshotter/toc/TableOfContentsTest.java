package dev.coldstart.snapshotter.toc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.fetch.TestLayer;
import dev.coldstart.snapshotter.layer.LayerException;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.LayerIndexer;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.layer.ProgressListener;
import dev.coldstart.snapshotter.layer.SpanInflater;
import dev.coldstart.snapshotter.rootfs.IndexOrigin;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Layers with a table of contents give what a pass over the same tar gives. */
final class TableOfContentsTest {
    @TempDir
    Path directory;

    private static IndexOrigin origin(Fixture fixture) {
        return fixture.mediaType().equals(Fixture.ZSTD)
                ? new ZstdChunkedOrigin(fixture.source())
                : new EstargzOrigin(fixture.source());
    }

    private boolean provide(Fixture fixture) throws IOException {
        return origin(fixture).provide(fixture.layer(), directory.resolve("toc.idx"), directory.resolve("toc.erofs"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"estargz", "estargz-packed", "zstdchunked", "zstdchunked-stargz"})
    void treeAndBytesAreThoseOfAPass(String name) throws Exception {
        Contents.Sink objects = new Contents.Sink();
        byte[] gzip = Fixture.bytes("gzip");
        LayerIndexer.index(
                new ByteArrayInputStream(gzip),
                TestLayer.sha256(gzip),
                null,
                directory.resolve("pass.idx"),
                directory.resolve("pass.erofs"),
                objects,
                ProgressListener.NONE);
        Map<String, String> expected = Contents.of(directory.resolve("pass.erofs"), objects);

        Fixture fixture = Fixture.of(name);
        assertThat(provide(fixture)).isTrue();

        try (LayerIndex index = LayerIndex.open(directory.resolve("toc.idx"));
                LayerIndex pass = LayerIndex.open(directory.resolve("pass.idx"))) {
            assertThat(Contents.of(directory.resolve("toc.erofs"), Contents.inflated(index, fixture.blob())))
                    .isEqualTo(expected);
            assertThat(index.implied()).isEqualTo(pass.implied());
            assertThat(index.layer()).isEqualTo(fixture.digest());
            assertThat(index.blobSize()).isEqualTo(fixture.blob().length);
            assertThat(index.spanCount()).as("small neighbours come together").isLessThan(index.objectCount() / 4);
        }
        try (Stream<Path> files = Files.list(directory)) {
            assertThat(files).hasSize(4);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"zstdchunked", "zstdchunked-stargz"})
    void theFooterSaysWhatAnAnnotationDoesNot(String name) throws Exception {
        assertThat(provide(Fixture.of(name).without("manifest-position"))).isTrue();
        LayerIndex.open(directory.resolve("toc.idx")).close();
    }

    @Test
    void theTableItselfMayBeNamedInsteadOfItsCompressedForm() throws Exception {
        assertThat(provide(Fixture.of("zstdchunked-stargz").without("manifest-checksum")))
                .isTrue();
    }

    @ParameterizedTest
    @ValueSource(strings = {"estargz", "zstdchunked"})
    void aTableThatTheImageDoesNotNameIsNotUsed(String name) throws Exception {
        assertThat(provide(Fixture.of(name).without("digest").without("checksum")))
                .isFalse();
        assertThat(directory).isEmptyDirectory();
    }

    @ParameterizedTest
    @ValueSource(strings = {"estargz", "estargz-packed", "zstdchunked", "zstdchunked-stargz"})
    void anotherTableThanTheImageNamesIsRefused(String name) throws Exception {
        Fixture fixture = Fixture.of(name);
        fixture.annotations()
                .replaceAll((key, value) -> value.startsWith("sha256:")
                        ? TestLayer.sha256(new byte[0]).toString()
                        : value);
        assertThatThrownBy(() -> provide(fixture))
                .isInstanceOf(LayerException.class)
                .hasMessageContaining("the digest of its table of contents is sha256:");
        assertThat(directory).isEmptyDirectory();
    }

    @ParameterizedTest
    @ValueSource(strings = {"estargz", "estargz-packed", "zstdchunked", "zstdchunked-stargz"})
    void aBlobWithWrongBytesGivesErrorsAndNothingElse(String name) throws Exception {
        Fixture fixture = Fixture.of(name);
        Random random = new Random(5);
        int refused = 0;
        for (int i = 0; i < 60; i++) {
            byte[] blob = fixture.blob().clone();
            // A layer made of its parts, some cut off.
            int at = random.nextInt(4) == 0 ? blob.length - 1 - random.nextInt(3000) : random.nextInt(blob.length);
            blob[at] ^= (byte) (1 << random.nextInt(8));
            Fixture wrong = fixture.with(i % 10 == 0 ? Arrays.copyOf(blob, at) : blob);
            try {
                if (provide(wrong)) {
                    refused += refused(wrong.blob()) ? 1 : 0;
                }
            } catch (IOException e) {
                assertThat(e).hasMessageNotContaining("null");
                refused++;
            }
            Files.deleteIfExists(directory.resolve("toc.idx"));
            Files.deleteIfExists(directory.resolve("toc.erofs"));
            assertThat(directory).isEmptyDirectory();
        }
        // Some bytes are headers of the tar between two files, which are not read.
        assertThat(refused).isGreaterThan(20);
    }

    /** Whether some span cannot be had; those that can be have the right bytes. */
    private boolean refused(byte[] blob) throws IOException {
        boolean refused = false;
        try (LayerIndex index = LayerIndex.open(directory.resolve("toc.idx"));
                SpanInflater inflater = new SpanInflater()) {
            for (int span = 0; span < index.spanCount(); span++) {
                byte[] range = Arrays.copyOfRange(blob, (int) index.spanBlobStart(span), (int) index.spanBlobEnd(span));
                ByteBuffer out = ByteBuffer.allocate((int) (index.spanEnd(span) - index.spanStart(span)));
                try {
                    inflater.inflate(index, span, ByteBuffer.wrap(range), out);
                } catch (LayerException e) {
                    refused = true;
                    continue;
                }
                for (int i = index.firstObjectIn(span); i < index.objectCount(); i++) {
                    int row = index.byOffset(i);
                    int from = (int) (index.objectOffset(row) - index.spanStart(span));
                    if (from >= 0 && from + index.objectSize(row) <= out.limit()) {
                        assertThat(TestLayer.sha256(
                                        Arrays.copyOfRange(out.array(), from, (int) (from + index.objectSize(row)))))
                                .hasToString("sha256:" + index.objectName(row));
                    }
                }
            }
        }
        return refused;
    }

    @Test
    void aNameThatIsNotThatOfTheBytesIsRefusedBeforeTheyAreKept() throws Exception {
        // The same file in two chunks, under the name of another one.
        String victim = "sha256:" + "ab".repeat(32);
        byte[] half = "half ".repeat(100).getBytes(StandardCharsets.UTF_8);
        Estargz blob = new Estargz();
        long first = blob.member(half);
        long second = blob.member(half);
        String digest = TestLayer.sha256(half).toString();
        Fixture fixture = blob.finish("""
                {"version":1,"entries":[
                {"name":"a","type":"reg","size":1000,"offset":%d,"chunkSize":500,"digest":"%s","chunkDigest":"%s"},
                {"name":"a","type":"chunk","offset":%d,"chunkOffset":500,"chunkDigest":"%s"}]}""".formatted(first, victim, digest, second, digest));
        assertThat(provide(fixture)).isTrue();
        try (LayerIndex index = LayerIndex.open(directory.resolve("toc.idx"))) {
            assertThatThrownBy(() -> Contents.inflated(index, fixture.blob()).get(ObjectName.parse("ab".repeat(32))))
                    .isInstanceOf(LayerException.class)
                    .hasMessageContaining("is not what its name says");
        }
    }

    @Test
    void entriesThatCannotBeAreRefused() throws Exception {
        String sha = TestLayer.sha256("x".getBytes(StandardCharsets.UTF_8)).toString();
        String file = "{\"name\":\"a\",\"type\":\"reg\",\"size\":1,\"digest\":\"" + sha + "\",";
        List<List<String>> wrong = List.of(
                List.of("no valid JSON", "{\"version\":1,\"entries\":[{]}", "{\"entries\":[{\"name\":\"a\""),
                List.of("no JSON object", "[", "1", "null"),
                List.of("an entry that is none", entries("{\"name\":\"a\",\"type\":\"dir\"}", "7")),
                List.of("unknown version", "{\"version\":2,\"entries\":[]}"),
                List.of("no entries", "{\"version\":1}"),
                List.of("unknown type", entries("{\"name\":\"a\",\"type\":\"door\"}")),
                List.of("leads upwards", entries("{\"name\":\"../a\",\"type\":\"dir\"}")),
                List.of("not UTF-8", entries("{\"name\":\"a\ufffd\",\"type\":\"dir\"}")),
                List.of("nowhere in the blob", entries(file + "\"offset\":0}")),
                List.of(
                        "cannot be there",
                        entries(file + "\"offset\":999999}"),
                        entries(file + "\"offset\":20,\"innerOffset\":99999999}"),
                        entries(file + "\"offset\":30,\"endOffset\":20}")),
                List.of(
                        "wrong",
                        entries(file + "\"offset\":-1}"),
                        entries(file + "\"offset\":1,\"chunkOffset\":1}"),
                        entries(file + "\"offset\":1,\"chunkSize\":2}"),
                        entries(file + "\"offset\":1,\"chunkDigest\":\"md5:1\"}"),
                        entries("{\"name\":\"a\",\"type\":\"chunk\",\"offset\":1}")),
                List.of("Linux has not", entries(file + "\"offset\":1,\"uid\":4294967295}")),
                List.of("which is none", entries(file + "\"offset\":1,\"modtime\":\"yesterday\"}")),
                List.of(
                        "another one than its only chunk",
                        entries(file + "\"offset\":1,\"chunkDigest\":\"sha256:" + "0".repeat(64) + "\"}")));
        for (List<String> flaw : wrong) {
            for (String json : flaw.subList(1, flaw.size())) {
                Estargz blob = new Estargz();
                blob.member(new byte[100]);
                assertThatThrownBy(() -> provide(blob.finish(json)))
                        .as(json)
                        .isInstanceOf(IOException.class)
                        .hasMessageContaining(flaw.getFirst());
                assertThat(directory).isEmptyDirectory();
            }
        }
    }

    private static String entries(String... entries) {
        return "{\"version\":1,\"entries\":[" + String.join(",", entries) + "]}";
    }

    @Test
    void aHoleOfAnySizeTakesNoBytesOfTheBlob() throws Exception {
        byte[] head = "head".getBytes(StandardCharsets.UTF_8);
        Estargz blob = new Estargz();
        long offset = blob.member(head);
        long size = 3L << 20;
        byte[] whole = Arrays.copyOf(head, (int) size + 4);
        Fixture fixture = blob.finish(entries(
                "{\"name\":\"a\",\"type\":\"reg\",\"size\":%d,\"digest\":\"%s\",\"offset\":%d,\"chunkSize\":4,\"chunkDigest\":\"%s\"}"
                        .formatted(size + 4, TestLayer.sha256(whole), offset, TestLayer.sha256(head)),
                "{\"name\":\"a\",\"type\":\"chunk\",\"offset\":%d,\"chunkOffset\":4,\"chunkSize\":%d,\"chunkType\":\"zeros\"}"
                        .formatted(offset, size)));
        assertThat(provide(fixture)).isTrue();
        try (LayerIndex index = LayerIndex.open(directory.resolve("toc.idx"))) {
            assertThat(index.spanCount()).isEqualTo(4);
            assertThat(Contents.inflated(index, fixture.blob()).get(index.objectName(0)))
                    .isEqualTo(whole);
        }
    }
}
