package dev.coldstart.snapshotter.trace;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.code_intelligence.jazzer.junit.FuzzTest;
import dev.coldstart.snapshotter.fetch.Prefetch;
import dev.coldstart.snapshotter.layer.Digest;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.zip.Inflater;
import org.junit.jupiter.api.Test;

class PrefetchBlobTest {
    private static final Digest LAYER = new Digest("sha256", "ab".repeat(32));

    private static byte[] tar(Random random, int size) {
        byte[] tar = new byte[size];
        for (int i = 0; i < size; i++) {
            tar[i] = (byte) (random.nextInt(16) * (i / 5000 % 3));
        }
        return tar;
    }

    private static byte[] blob(byte[] tar, List<Prefetch.Range> ranges) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        PrefetchBlob.write(
                out,
                LAYER,
                ranges,
                (range, into) -> System.arraycopy(tar, (int) range.offset(), into, 0, range.length()));
        return out.toByteArray();
    }

    /** The bytes of all ranges, one behind the other. */
    private static byte[] read(byte[] blob) throws Exception {
        PrefetchBlob.Reader reader = PrefetchBlob.open(new ByteArrayInputStream(blob), LAYER);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        List<Prefetch.Range> seen = new ArrayList<>();
        Inflater inflater = new Inflater(true);
        for (PrefetchBlob.Frame frame = reader.next(); frame != null; frame = reader.next()) {
            inflater.reset();
            inflater.setInput(frame.compressed());
            byte[] raw = new byte[frame.length()];
            assertThat(inflater.inflate(raw)).isEqualTo(frame.length());
            bytes.write(raw);
            seen.addAll(frame.ranges());
        }
        inflater.end();
        assertThat(seen).isEqualTo(reader.ranges());
        return bytes.toByteArray();
    }

    @Test
    void whatIsWrittenIsReadInItsOrder() throws Exception {
        Random random = new Random(1);
        byte[] tar = tar(random, 12 << 20);
        List<Prefetch.Range> ranges = new ArrayList<>();
        ByteArrayOutputStream expected = new ByteArrayOutputStream();
        for (int i = 0; i < 60; i++) {
            int length = 1 + random.nextInt(i % 20 == 0 ? 4 << 20 : 300_000);
            int offset = random.nextInt(tar.length - length);
            ranges.add(new Prefetch.Range(offset, length));
            expected.write(tar, offset, length);
        }
        assertThat(read(blob(tar, ranges))).isEqualTo(expected.toByteArray());
        assertThat(read(blob(tar, List.of()))).isEmpty();
    }

    @Test
    void theBlobOfAnotherLayerAndOneThatIsCutAreRefused() throws Exception {
        byte[] blob = blob(tar(new Random(2), 100_000), List.of(new Prefetch.Range(10, 90_000)));
        assertThatThrownBy(
                        () -> PrefetchBlob.open(new ByteArrayInputStream(blob), new Digest("sha256", "cd".repeat(32))))
                .isInstanceOf(TraceException.class)
                .hasMessageContaining(LAYER.toString());
        for (int length = 0; length < blob.length; length += 1 + length / 7) {
            byte[] cut = Arrays.copyOf(blob, length);
            assertThatThrownBy(() -> read(cut)).isInstanceOf(EOFException.class);
        }
    }

    @FuzzTest(maxDuration = "1m")
    void anyBytes(byte[] bytes) throws IOException {
        parse(bytes);
    }

    @Test
    void mutatedBlobsAreRefusedOrSound() throws Exception {
        Random random = new Random(3);
        byte[] tar = tar(random, 50_000);
        List<Prefetch.Range> ranges = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            ranges.add(new Prefetch.Range(random.nextInt(40_000), 1 + random.nextInt(5000)));
        }
        byte[] sound = blob(tar, ranges);
        for (int i = 0; i < 5000; i++) {
            byte[] mutant = sound.clone();
            for (int n = 1 + random.nextInt(3); n > 0; n--) {
                mutant[random.nextInt(Math.min(400, mutant.length))] = (byte) random.nextInt(256);
            }
            parse(mutant);
        }
    }

    /** Anything but a sound blob, a {@link TraceException} or an early end is thrown on. */
    private static void parse(byte[] bytes) throws IOException {
        try {
            PrefetchBlob.Reader reader = PrefetchBlob.open(new ByteArrayInputStream(bytes), LAYER);
            for (PrefetchBlob.Frame frame = reader.next(); frame != null; frame = reader.next()) {
                assertThat(frame.ranges().stream()
                                .mapToLong(Prefetch.Range::length)
                                .sum())
                        .isEqualTo(frame.length());
            }
        } catch (TraceException | EOFException e) {
            assertThat(e).hasNoSuppressedExceptions();
        }
    }
}
