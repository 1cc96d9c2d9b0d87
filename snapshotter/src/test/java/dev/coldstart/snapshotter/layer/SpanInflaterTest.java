package dev.coldstart.snapshotter.layer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.linux.Igzip;
import dev.coldstart.linux.RawInflater;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Spans of gzip layers of every make, by libz and by igzip. */
final class SpanInflaterTest {
    private static final int[] FLUSHES = {Deflater.NO_FLUSH, Deflater.SYNC_FLUSH, Deflater.FULL_FLUSH};
    private static final int BROKEN = 400;

    @TempDir
    Path directory;

    @BeforeEach
    void needsBoth() {
        assumeTrue(Igzip.isAvailable(), "needs libisal2");
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void bothReadTheSameHoweverItArrives(long seed) throws IOException {
        Random random = new Random(seed);
        byte[] tar = tar(random);
        byte[] blob = gzip(random, tar);
        try (LayerIndex index = index(tar, blob)) {
            assertThat(index.spanCount()).isGreaterThan(2);
            for (RawInflater raw : RawInflaters.all()) {
                try (SpanInflater inflater = new SpanInflater(raw)) {
                    for (int span = 0; span < index.spanCount(); span++) {
                        byte[] expected =
                                Arrays.copyOfRange(tar, (int) index.spanStart(span), (int) index.spanEnd(span));
                        byte[] range = range(index, span, blob);
                        for (int piece :
                                new int[] {1, 1 + random.nextInt(50), 1 + random.nextInt(range.length), range.length}) {
                            assertThat(Arrays.equals(inflate(inflater, index, span, range, piece), expected))
                                    .as("span %d in pieces of %d bytes by %s, seed %d", span, piece, raw, seed)
                                    .isTrue();
                        }
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {11, 12, 13, 14, 15})
    void wrongBytesNeverPass(long seed) throws IOException {
        Random random = new Random(seed);
        byte[] tar = tar(random);
        byte[] blob = gzip(random, tar);
        try (LayerIndex index = index(tar, blob)) {
            for (RawInflater raw : RawInflaters.all()) {
                int refused = 0;
                try (SpanInflater inflater = new SpanInflater(raw)) {
                    for (int i = 0; i < BROKEN; i++) {
                        int span = random.nextInt(index.spanCount());
                        byte[] range = range(index, span, blob);
                        for (int k = random.nextInt(3); k >= 0; k--) {
                            int at = random.nextInt(random.nextBoolean() ? range.length : Math.min(400, range.length));
                            range[at] = (byte) random.nextInt();
                        }
                        int piece = random.nextBoolean() ? range.length : 1 + random.nextInt(range.length);
                        try {
                            // Bits between blocks and headers of members mean nothing.
                            assertThat(Arrays.equals(
                                            inflate(inflater, index, span, range, piece),
                                            Arrays.copyOfRange(
                                                    tar, (int) index.spanStart(span), (int) index.spanEnd(span))))
                                    .as("case %d of seed %d by %s", i, seed, raw)
                                    .isTrue();
                        } catch (LayerException e) {
                            refused++;
                        }
                    }
                    assertThat(refused).isGreaterThan(BROKEN / 2);
                    byte[] sound = range(index, 1, blob);
                    assertThat(inflate(inflater, index, 1, sound, sound.length))
                            .isEqualTo(Arrays.copyOfRange(tar, (int) index.spanStart(1), (int) index.spanEnd(1)));
                }
            }
        }
    }

    private static byte[] inflate(SpanInflater inflater, LayerIndex index, int span, byte[] range, int piece)
            throws LayerException {
        ByteBuffer in = ByteBuffer.allocateDirect(range.length).put(range).clear();
        ByteBuffer out = ByteBuffer.allocateDirect((int) (index.spanEnd(span) - index.spanStart(span)));
        inflater.begin(index, span, out);
        for (int at = piece; at < range.length; at += piece) {
            inflater.arrived(in.limit(at));
        }
        inflater.finish(in.limit(range.length), out);
        byte[] bytes = new byte[out.position()];
        out.flip().get(bytes);
        return bytes;
    }

    private LayerIndex index(byte[] tar, byte[] blob) throws IOException {
        return LayerIndex.open(LayerIndexer.index(
                        new ByteArrayInputStream(blob),
                        Tar.digest(blob),
                        Tar.digest(tar),
                        directory.resolve("layer.idx"),
                        directory.resolve("layer.erofs"),
                        null,
                        ProgressListener.NONE)
                .index());
    }

    private static byte[] range(LayerIndex index, int span, byte[] blob) {
        return Arrays.copyOfRange(blob, (int) index.spanBlobStart(span), (int) index.spanBlobEnd(span));
    }

    private static byte[] tar(Random random) {
        Tar tar = new Tar();
        for (int written = 0, i = 0; written < 4 << 20; i++) {
            byte[] body = new byte[random.nextInt(random.nextInt(4) == 0 ? 1 << 20 : 20_000)];
            int variety = 1 + random.nextInt(255);
            for (int at = 0; at < body.length; at++) {
                body[at] = (byte) (random.nextInt(8) == 0 ? random.nextInt(variety) : at >>> 4);
            }
            tar.add(Tar.file("file" + i, body));
            written += body.length + TarReader.RECORD;
        }
        return tar.bytes();
    }

    /** Members of every level and strategy, flushed here and there, or of fixed codes and stored blocks. */
    private static byte[] gzip(Random random, byte[] plain) {
        ByteArrayOutputStream blob = new ByteArrayOutputStream();
        int most = random.nextBoolean() ? plain.length : 300_000;
        for (int at = 0; at < plain.length; ) {
            int length = Math.min(plain.length - at, 1 + random.nextInt(most));
            byte[] part = Arrays.copyOfRange(plain, at, at + length);
            blob.writeBytes(new byte[] {0x1f, (byte) 0x8b, 8, 0, 0, 0, 0, 0, 0, 3});
            blob.writeBytes(random.nextInt(3) == 0 ? fixedAndStored(random, part) : deflated(random, part));
            CRC32 crc = new CRC32();
            crc.update(part);
            for (long word : List.of(crc.getValue(), (long) length)) {
                for (int shift = 0; shift < 32; shift += 8) {
                    blob.write((int) (word >>> shift));
                }
            }
            at += length;
        }
        return blob.toByteArray();
    }

    private static byte[] deflated(Random random, byte[] plain) {
        Deflater deflater = new Deflater(random.nextInt(10), true);
        try {
            deflater.setStrategy(random.nextInt(3));
            byte[] stream = new byte[2 * plain.length + 100_000];
            int length = 0;
            for (int at = 0; at < plain.length; ) {
                int piece = Math.min(plain.length - at, 1 + random.nextInt(random.nextInt(3) == 0 ? 100 : 200_000));
                deflater.setInput(plain, at, piece);
                at += piece;
                int flush = FLUSHES[random.nextInt(3)];
                do {
                    length += deflater.deflate(stream, length, stream.length - length, flush);
                } while (!deflater.needsInput());
            }
            deflater.finish();
            length += deflater.deflate(stream, length, stream.length - length);
            return Arrays.copyOf(stream, length);
        } finally {
            deflater.end();
        }
    }

    /** What zlib seldom makes: long blocks of fixed codes, short and empty stored ones, and a tiny window. */
    private static byte[] fixedAndStored(Random random, byte[] plain) {
        Bits bits = new Bits();
        int[] last = new int[1 << 12];
        Arrays.fill(last, -1);
        int window = 1 << random.nextInt(13);
        for (int at = 0; at < plain.length; ) {
            int end = Math.min(plain.length, at + random.nextInt(random.nextInt(3) == 0 ? 50 : 60_000));
            bits.put(0, 1);
            if (random.nextInt(3) == 0) {
                bits.put(0, 2);
                bits.align();
                bits.put(end - at, 16);
                bits.put(~(end - at) & 0xffff, 16);
                for (; at < end; at++) {
                    bits.put(plain[at] & 0xff, 8);
                }
                continue;
            }
            bits.put(1, 2);
            while (at < end) {
                int length = 0;
                int from = -1;
                if (at + 3 <= end) {
                    int hash = ((plain[at] * 31 + plain[at + 1]) * 31 + plain[at + 2]) & 0xfff;
                    from = last[hash];
                    last[hash] = at;
                    while (from >= 0
                            && at - from <= window
                            && length < 10
                            && at + length < end
                            && plain[from + length] == plain[at + length]) {
                        length++;
                    }
                }
                if (length >= 3) {
                    // Lengths of 3 to 10 are codes 257 to 264, without extra bits.
                    bits.code(length - 2, 7);
                    bits.distance(at - from);
                    at += length;
                } else {
                    int literal = plain[at++] & 0xff;
                    if (literal < 144) {
                        bits.code(0x30 + literal, 8);
                    } else {
                        bits.code(0x190 + literal - 144, 9);
                    }
                }
            }
            bits.code(0, 7);
        }
        bits.put(1, 1);
        bits.put(1, 2);
        bits.code(0, 7);
        bits.align();
        return bits.out.toByteArray();
    }

    /** RFC 1951, 3.1.1 and 3.2.6. */
    private static final class Bits {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream();
        private int held;
        private int count;

        void put(int value, int bits) {
            held |= value << count;
            for (count += bits; count >= 8; count -= 8) {
                out.write(held);
                held >>>= 8;
            }
        }

        void code(int value, int bits) {
            put(Integer.reverse(value) >>> (32 - bits), bits);
        }

        void distance(int distance) {
            int value = distance - 1;
            if (value < 4) {
                code(value, 5);
                return;
            }
            int extra = 30 - Integer.numberOfLeadingZeros(value);
            code(2 * extra + (value >>> extra), 5);
            put(value & ((1 << extra) - 1), extra);
        }

        void align() {
            if (count > 0) {
                put(0, 8 - count);
            }
        }
    }
}
