package dev.coldstart.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Random;
import java.util.zip.DataFormatException;
import java.util.zip.Deflater;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class IgzipTest {
    private static final byte[] TRAILER = {1, 2, 3, 4, 5, 6, 7, 8, 9};

    private static final int[] FLUSHES = {Deflater.NO_FLUSH, Deflater.SYNC_FLUSH, Deflater.FULL_FLUSH};

    @BeforeEach
    void needsTheLibrary() {
        assumeTrue(Igzip.isAvailable(), "needs libisal2");
    }

    @Test
    void theFastestIsThisOne() {
        try (RawInflater inflater = RawInflater.fastest()) {
            assertThat(inflater).isInstanceOf(Igzip.class);
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void aStreamIsEnteredAtEveryBlockAndLeftAtItsEnd(long seed) throws DataFormatException {
        Random random = new Random(seed);
        byte[] plain = plain(random, 1 << 20);
        byte[] stream = stream(random, plain);
        try (Zlib zlib = new Zlib();
                Igzip igzip = new Igzip()) {
            ByteBuffer in = ByteBuffer.wrap(stream);
            ByteBuffer out = ByteBuffer.allocate(plain.length);
            byte[] window = new byte[RawInflater.WINDOW];
            int blocks = 0;
            int oddBits = 0;
            while (zlib.inflate(in, out, true) == RawInflater.Status.MORE) {
                if (!zlib.betweenBlocks()) {
                    continue;
                }
                int bits = zlib.unusedBits();
                int length = zlib.window(window);
                ByteBuffer rest = ByteBuffer.wrap(stream).position(in.position());
                igzip.reset();
                igzip.setWindow(ByteBuffer.wrap(window, 0, length));
                if (bits > 0) {
                    igzip.prime(bits, (stream[in.position() - 1] & 0xff) >>> (8 - bits));
                }
                byte[] expected = Arrays.copyOfRange(plain, out.position(), plain.length);
                assertThat(inPieces(igzip, rest, expected.length, random)).isEqualTo(expected);
                assertThat(rest.remaining()).isEqualTo(TRAILER.length);
                blocks++;
                oddBits += bits == 0 ? 0 : 1;
            }
            assertThat(blocks).isGreaterThan(5);
            assertThat(oddBits).isGreaterThan(2);
        }
    }

    @Test
    void roomOfAnySizeIsFilled() throws DataFormatException {
        Random random = new Random(4);
        byte[] plain = plain(random, 300_000);
        byte[] stream = stream(random, plain);
        try (Igzip igzip = new Igzip()) {
            for (int length : new int[] {0, 1, 300, 65_535, 65_536, 65_537, 200_000, plain.length}) {
                igzip.reset();
                ByteBuffer in =
                        ByteBuffer.allocateDirect(stream.length).put(stream).flip();
                ByteBuffer out = ByteBuffer.allocateDirect(length + 1).limit(length);
                while (out.hasRemaining()) {
                    igzip.inflate(in, out);
                }
                byte[] bytes = new byte[length];
                out.clear().get(bytes);
                assertThat(bytes).isEqualTo(Arrays.copyOf(plain, length));
                assertThat(out.get()).isZero();
            }
        }
    }

    @Test
    void theEndIsToldAgain() throws DataFormatException {
        byte[] stream = stream(new Random(5), new byte[100]);
        try (Igzip igzip = new Igzip()) {
            ByteBuffer in = ByteBuffer.wrap(stream);
            ByteBuffer out = ByteBuffer.allocate(200);
            for (int i = 0; i < 3; i++) {
                assertThat(igzip.inflate(in, out)).isEqualTo(RawInflater.Status.END);
                assertThat(out.position()).isEqualTo(100);
                assertThat(in.remaining()).isEqualTo(TRAILER.length);
            }
        }
    }

    @Test
    void whatIsNotDeflateDataIsRefusedAndTheStreamGoesOnAfterReset() throws DataFormatException {
        byte[] stream = stream(new Random(6), new byte[100]);
        try (Igzip igzip = new Igzip()) {
            assertThatThrownBy(() -> igzip.inflate(ByteBuffer.wrap(new byte[] {7}), ByteBuffer.allocate(9)))
                    .isInstanceOf(DataFormatException.class)
                    .hasMessageContaining("invalid block");
            igzip.reset();
            ByteBuffer out = ByteBuffer.allocate(100);
            assertThat(igzip.inflate(ByteBuffer.wrap(stream), out)).isEqualTo(RawInflater.Status.END);
            assertThat(out.position()).isEqualTo(100);
        }
    }

    /** What libz takes igzip takes; the rest must end in an exception or in other bytes, not the process. */
    @Test
    void brokenStreamsAreRefusedOrHarmless() throws DataFormatException {
        long seed = 7;
        Random random = new Random(seed);
        int both = 0;
        int refused = 0;
        try (Zlib zlib = new Zlib();
                Igzip igzip = new Igzip()) {
            for (int i = 0; i < 6000; i++) {
                byte[] plain = plain(random, 1 + random.nextInt(random.nextInt(20) == 0 ? 200_000 : 3000));
                byte[] stream = stream(random, plain);
                for (int k = random.nextInt(4); k > 0; k--) {
                    int at = random.nextInt(random.nextBoolean() ? stream.length : Math.min(stream.length, 300));
                    stream[at] = (byte) (random.nextBoolean() ? random.nextInt() : stream[at] ^ 1 << random.nextInt(8));
                }
                zlib.reset();
                ByteBuffer in = ByteBuffer.wrap(stream);
                ByteBuffer out = ByteBuffer.allocate(2 * plain.length + 1000);
                boolean whole = false;
                try {
                    while (!whole && in.hasRemaining() && out.hasRemaining()) {
                        whole = zlib.inflate(in, out) == RawInflater.Status.END;
                    }
                } catch (DataFormatException e) {
                    refused++;
                }
                igzip.reset();
                ByteBuffer again = ByteBuffer.wrap(stream);
                if (whole) {
                    assertThat(inPieces(igzip, again, out.position(), random))
                            .as("case %d of seed %d", i, seed)
                            .isEqualTo(Arrays.copyOf(out.array(), out.position()));
                    assertThat(again.position()).isEqualTo(in.position());
                    both++;
                } else {
                    try {
                        inPieces(igzip, again, out.capacity(), random);
                    } catch (DataFormatException e) {
                        assertThat(e).hasMessageContaining("invalid");
                    }
                }
            }
        }
        assertThat(both).isGreaterThan(1500);
        assertThat(refused).isGreaterThan(1500);
    }

    /** Until the stream is at its end, the input used up, or there are {@code most} bytes and no more room. */
    private static byte[] inPieces(Igzip igzip, ByteBuffer in, int most, Random random) throws DataFormatException {
        int all = in.limit();
        int piece = random.nextInt(4) == 0 ? 1 : 1 + random.nextInt(all);
        ByteBuffer out = random.nextBoolean() ? ByteBuffer.allocate(most) : ByteBuffer.allocateDirect(most);
        in.limit(in.position());
        while (true) {
            in.limit(Math.max(in.limit(), Math.min(all, in.position() + piece)));
            int before = in.remaining() + out.remaining();
            if (igzip.inflate(in, out) == RawInflater.Status.END
                    || (in.limit() == all && in.remaining() + out.remaining() == before)) {
                break;
            }
        }
        in.limit(all);
        byte[] bytes = new byte[out.position()];
        out.flip().get(bytes);
        return bytes;
    }

    private static byte[] plain(Random random, int length) {
        byte[] plain = new byte[length];
        int variety = 1 + random.nextInt(255);
        for (int i = 0; i < length; i++) {
            plain[i] = (byte) (random.nextInt(3) == 0 ? random.nextInt(variety) : i >> 5);
        }
        return plain;
    }

    /** Raw deflate data of all kinds of blocks, and a trailer that is no part of it. */
    private static byte[] stream(Random random, byte[] plain) {
        Deflater deflater = new Deflater(random.nextInt(10), true);
        try {
            deflater.setStrategy(random.nextInt(3));
            byte[] stream = new byte[2 * plain.length + 100_000];
            int length = 0;
            for (int at = 0; at < plain.length; ) {
                int piece = Math.min(plain.length - at, 1 + random.nextInt(1 + plain.length / 3));
                deflater.setInput(plain, at, piece);
                at += piece;
                int flush = FLUSHES[random.nextInt(3)];
                do {
                    length += deflater.deflate(stream, length, stream.length - length, flush);
                } while (!deflater.needsInput());
            }
            deflater.finish();
            length += deflater.deflate(stream, length, stream.length - length);
            System.arraycopy(TRAILER, 0, stream, length, TRAILER.length);
            return Arrays.copyOf(stream, length + TRAILER.length);
        } finally {
            deflater.end();
        }
    }
}
