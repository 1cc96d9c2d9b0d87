package dev.coldstart.snapshotter.trace;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.code_intelligence.jazzer.junit.FuzzTest;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.trace.LayerTrace.Range;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LayerTraceTest {
    private static final Digest LAYER = new Digest("sha256", "ab".repeat(32));
    private static final Digest OTHER = new Digest("sha256", "cd".repeat(32));

    @TempDir
    Path directory;

    private static LayerTrace sample() {
        return new LayerTrace(
                LAYER, List.of(new Range(3 << 20, 1 << 20, 0), new Range(0, 1 << 20, 20), new Range(1L << 40, 77, 20)));
    }

    @Test
    void whatIsGivenToAnotherNodeIsWhatItHas() throws Exception {
        TraceFiles here = new TraceFiles(Files.createDirectory(directory.resolve("here")));
        TraceFiles there = new TraceFiles(Files.createDirectory(directory.resolve("there")));
        assertThat(here.read(LAYER)).isNull();
        here.add(LAYER, sample().bytes());
        there.add(LAYER, Objects.requireNonNull(here.read(LAYER)));
        assertThat(there.find(LAYER)).isEqualTo(sample());
        assertThat(there.read(OTHER)).isNull();
    }

    @Test
    void whatAnotherStartReadComesInAtItsTimeAndWhatIsKnownStaysWhereItWas() throws Exception {
        TraceFiles traces = new TraceFiles(directory);
        traces.add(LAYER, sample().bytes());
        traces.add(
                LAYER,
                List.of(new Range(0, 1 << 20, 1), new Range(5 << 20, 100, 10), new Range((5 << 20) + 50, 9, 12)));
        assertThat(traces.find(LAYER))
                .isEqualTo(new LayerTrace(
                        LAYER,
                        List.of(
                                new Range(3 << 20, 1 << 20, 0),
                                new Range(5 << 20, 100, 10),
                                new Range(0, 1 << 20, 20),
                                new Range(1L << 40, 77, 20))));
    }

    @Test
    void ofRangesThatOverlapWhatIsKnownTheRestIsAdded() {
        Random random = new Random(5);
        for (int round = 0; round < 200; round++) {
            LayerTrace trace = new LayerTrace(LAYER, List.of());
            BitSet read = new BitSet();
            for (int start = 0; start < 3; start++) {
                List<Range> ranges = new ArrayList<>();
                for (int i = random.nextInt(20); i > 0; i--) {
                    Range range = new Range(random.nextInt(1000), 1 + random.nextInt(100), random.nextInt(50));
                    ranges.add(range);
                    read.set((int) range.offset(), (int) range.offset() + range.length());
                }
                trace = trace.with(ranges);
            }
            BitSet known = new BitSet();
            int bytes = 0;
            for (Range range : trace.ranges()) {
                known.set((int) range.offset(), (int) range.offset() + range.length());
                bytes += range.length();
            }
            assertThat(known).isEqualTo(read);
            assertThat(bytes).as("without overlap").isEqualTo(read.cardinality());
            assertThat(isSound(trace.bytes())).isTrue();
        }
    }

    @Test
    void aTraceOfAnotherLayerIsRefusedAndADamagedFileIsNone() throws Exception {
        TraceFiles traces = new TraceFiles(directory);
        assertThatThrownBy(() -> traces.add(OTHER, sample().bytes()))
                .isInstanceOf(TraceException.class)
                .hasMessageContaining(LAYER.toString());
        traces.add(LAYER, sample().bytes());
        Path file = directory.resolve(LAYER.hex() + ".trace");
        byte[] bytes = Files.readAllBytes(file);
        bytes[60] ^= 1;
        Files.write(file, bytes);
        assertThat(traces.read(LAYER)).isNull();
        traces.add(LAYER, sample().bytes());
        assertThat(traces.find(LAYER)).isEqualTo(sample());
    }

    @FuzzTest(maxDuration = "1m")
    void anyBytes(byte[] bytes) {
        var _ = isSound(bytes);
        var _ = isSound(withChecksum(bytes));
    }

    @Test
    void mutatedTracesAreRefusedOrSound() {
        byte[] sound = sample().bytes();
        Random random = new Random(4);
        int refused = 0;
        for (int i = 0; i < 5000; i++) {
            byte[] mutant = sound.clone();
            for (int n = 1 + random.nextInt(3); n > 0; n--) {
                mutant[random.nextInt(mutant.length)] = (byte) random.nextInt(256);
            }
            refused += isSound(i % 10 == 0 ? mutant : withChecksum(mutant)) ? 0 : 1;
        }
        assertThat(refused).isBetween(1000, 4900);
        for (int length = 0; length < sound.length; length++) {
            assertThat(isSound(Arrays.copyOf(sound, length))).isFalse();
        }
    }

    /** Whether it parses, and then says the same again; anything but a {@link TraceException} is thrown on. */
    private static boolean isSound(byte[] bytes) {
        try {
            LayerTrace trace = LayerTrace.parse(bytes);
            assertThat(trace.bytes()).isEqualTo(bytes);
            assertThat(trace.with(trace.ranges())).isEqualTo(trace);
            return true;
        } catch (TraceException e) {
            return false;
        }
    }

    private static byte[] withChecksum(byte[] bytes) {
        if (bytes.length < 4) {
            return bytes;
        }
        byte[] fixed = bytes.clone();
        CRC32C crc = new CRC32C();
        crc.update(fixed, 0, fixed.length - 4);
        ByteBuffer.wrap(fixed).order(ByteOrder.LITTLE_ENDIAN).putInt(fixed.length - 4, (int) crc.getValue());
        return fixed;
    }
}
