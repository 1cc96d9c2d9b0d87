package dev.coldstart.snapshotter.zstd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.github.luben.zstd.Zstd;
import com.github.luben.zstd.ZstdCompressCtx;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class ZstdDecoderTest {
    private final ZstdDecoder decoder = new ZstdDecoder();

    @ParameterizedTest
    @ValueSource(ints = {-50, -5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19})
    void everyLevelOfTheReferenceLibraryIsUnderstood(int level) throws Exception {
        Random random = new Random(level);
        for (int i = 0; i < 12; i++) {
            byte[] bytes = Generated.bytes(random, random.nextInt(1 << (4 + i % 4 * 6)));
            byte[] compressed = compress(bytes, level, random.nextBoolean(), random.nextBoolean());
            assertThat(decode(compressed, bytes.length))
                    .as("level %d, case %d", level, i)
                    .isEqualTo(bytes);
        }
    }

    @Test
    void smallInputsOfEverySizeAreUnderstood() throws Exception {
        Random random = new Random(100);
        for (int size = 0; size < 600; size++) {
            byte[] bytes = Generated.bytes(random, size);
            assertThat(decode(compress(bytes, 1 + size % 19, size % 3 == 0, true), size))
                    .as("size %d", size)
                    .isEqualTo(bytes);
        }
    }

    @Test
    void framesFollowOneAnotherWithSkippedOnesBetween() throws Exception {
        Random random = new Random(101);
        ByteArrayOutputStream compressed = new ByteArrayOutputStream();
        ByteArrayOutputStream expected = new ByteArrayOutputStream();
        for (int i = 0; i < 50; i++) {
            byte[] bytes = Generated.bytes(random, random.nextInt(i % 10 == 0 ? 300_000 : 2000));
            byte[] skipped = new byte[random.nextInt(100)];
            if (i % 3 == 0) {
                compressed.writeBytes(ByteBuffer.allocate(8)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putInt(0x184d2a50 + i % 16)
                        .putInt(skipped.length)
                        .array());
                compressed.writeBytes(skipped);
            }
            compressed.writeBytes(compress(bytes, 1 + random.nextInt(19), true, i % 2 == 0));
            expected.writeBytes(bytes);
        }
        assertThat(decode(compressed.toByteArray(), expected.size())).isEqualTo(expected.toByteArray());
    }

    @Test
    void theExampleOfTheSpecificationOfTheHashIsRight() {
        XxHash64 hash = new XxHash64();
        byte[] text = "Nobody inspects the spammish repetition".getBytes(StandardCharsets.US_ASCII);
        for (int cut = 0; cut <= text.length; cut++) {
            hash.reset();
            hash.update(text, 0, cut);
            hash.update(text, cut, text.length - cut);
            assertThat(hash.value()).isEqualTo(0xfbcea83c8a378bf1L);
        }
        hash.reset();
        assertThat(hash.value()).isEqualTo(0xef46db3751d8e999L);
    }

    @Test
    void aFlippedBitIsNoticedByTheChecksum() throws Exception {
        Random random = new Random(102);
        byte[] bytes = Generated.bytes(random, 20_000);
        byte[] compressed = compress(bytes, 3, true, true);
        for (int i = 0; i < 3000; i++) {
            byte[] wrong = compressed.clone();
            wrong[random.nextInt(wrong.length)] ^= (byte) (1 << random.nextInt(8));
            try {
                // A bit that means nothing.
                assertThat(decode(wrong, bytes.length)).isEqualTo(bytes);
            } catch (ZstdException e) {
                assertThat(e).hasMessageMatching("[a-z].*[^.]");
            }
        }
    }

    @Test
    void whatIsCutOffIsRefused() throws Exception {
        byte[] compressed = compress(Generated.bytes(new Random(103), 9000), 3, true, true);
        for (int length = 1; length < compressed.length; length++) {
            byte[] cut = Arrays.copyOf(compressed, length);
            assertThatThrownBy(() -> decode(cut, 9000)).isInstanceOf(ZstdException.class);
        }
    }

    @Test
    void moreThanThereIsRoomForIsRefused() throws Exception {
        byte[] bytes = Generated.bytes(new Random(104), 300_000);
        byte[] compressed = compress(bytes, 3, false, false);
        for (int room : new int[] {0, 1, 100_000, 299_999}) {
            ByteBuffer out = ByteBuffer.allocate(room);
            assertThatThrownBy(() -> decoder.decode(ByteBuffer.wrap(compressed), out))
                    .isInstanceOf(ZstdException.class);
            assertThat(out.position()).isZero();
        }
        ByteBuffer large = ByteBuffer.allocateDirect(400_000);
        large.position(5);
        decoder.decode(ByteBuffer.wrap(compressed), large);
        assertThat(large.position()).isEqualTo(300_005);
    }

    @Test
    void dictionariesAreRefusedInOneSentence() throws Exception {
        byte[] dictionary = new byte[4000];
        byte[][] samples = new byte[200][];
        Random random = new Random(105);
        for (int i = 0; i < samples.length; i++) {
            samples[i] = ("{\"name\":\"n" + random.nextInt(99) + "\",\"value\":" + random.nextInt(9999) + "}")
                    .getBytes(StandardCharsets.US_ASCII);
        }
        int size = (int) Zstd.trainFromBuffer(samples, dictionary);
        try (ZstdCompressCtx context = new ZstdCompressCtx()) {
            context.loadDict(Arrays.copyOf(dictionary, size));
            byte[] compressed = context.compress(samples[0]);
            assertThatThrownBy(() -> decode(compressed, 1000))
                    .isInstanceOf(ZstdException.class)
                    .hasMessageContaining("dictionaries are not supported");
        }
    }

    @Test
    void otherDataIsRefused() {
        assertThatThrownBy(() -> decode(HexFormat.of().parseHex("1f8b08000000000000ff"), 10))
                .isInstanceOf(ZstdException.class)
                .hasMessage("there is no frame where one has to be");
    }

    private byte[] decode(byte[] compressed, int size) throws ZstdException {
        ByteBuffer out = ByteBuffer.allocate(size);
        ByteBuffer in = ByteBuffer.wrap(compressed);
        decoder.decode(in, out);
        assertThat(in.hasRemaining()).isFalse();
        return Arrays.copyOf(out.array(), out.position());
    }

    private static byte[] compress(byte[] bytes, int level, boolean checksum, boolean sized) {
        try (ZstdCompressCtx context = new ZstdCompressCtx()) {
            context.setLevel(level);
            context.setChecksum(checksum);
            context.setContentSize(sized);
            return context.compress(bytes);
        }
    }
}
