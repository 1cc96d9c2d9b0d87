package dev.coldstart.snapshotter.zstd;

import static org.assertj.core.api.Assertions.assertThat;

import com.code_intelligence.jazzer.junit.FuzzTest;
import com.github.luben.zstd.Zstd;
import com.github.luben.zstd.ZstdCompressCtx;
import com.github.luben.zstd.ZstdDecompressCtx;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Whatever bytes come: what the reference library makes of them, or a {@link ZstdException}; whole, in pieces, or resumed. */
final class HostileDataFuzzTest {
    private static final int ROOM = 1 << 20;

    private final ZstdDecoder decoder = new ZstdDecoder();

    @FuzzTest(maxDuration = "2m")
    void anyBytes(byte[] bytes) {
        decode(bytes);
        resume(bytes);
    }

    @Test
    void mutatedFramesGiveWhatTheReferenceLibraryMakesOfThem() {
        Random random = new Random(1);
        int taken = 0;
        for (int i = 0; i < 4000; i++) {
            byte[] mutant = mutant(random, 200 + random.nextInt(i % 10 == 0 ? 200_000 : 3000));
            taken += decode(mutant) == null ? 0 : 1;
        }
        // Without checksums many mutants are frames of something else.
        assertThat(taken).isBetween(200, 3800);
    }

    @Test
    void mutatedCheckpointsAreRefusedOrHarmless() throws Exception {
        byte[] bytes = Generated.bytes(new Random(2), 1 << 20);
        byte[] compressed = compress(bytes, 9);
        ZstdStream stream = new ZstdStream();
        ByteBuffer in = ByteBuffer.wrap(compressed);
        int from = 0;
        for (int done = 0; done < bytes.length / 2; from = in.position()) {
            stream.next(in);
            done += stream.length();
        }
        stream.mark();
        while (in.hasRemaining()) {
            stream.next(in);
        }
        byte[] sound = stream.checkpoint();
        byte[] rest = Arrays.copyOfRange(compressed, from, compressed.length);
        Random random = new Random(3);
        for (int i = 0; i < 2000; i++) {
            byte[] mutant = sound.clone();
            for (int k = random.nextInt(3); k >= 0; k--) {
                mutant[random.nextInt(random.nextBoolean() ? 100 : mutant.length)] = (byte) random.nextInt(256);
            }
            byte[] state = new byte[mutant.length + 2 * ZstdDecoder.MARGIN];
            System.arraycopy(mutant, 0, state, ZstdDecoder.MARGIN, mutant.length);
            int end = i % 7 == 0 ? random.nextInt(mutant.length) : mutant.length;
            try {
                decoder.begin(ROOM, state, ZstdDecoder.MARGIN, ZstdDecoder.MARGIN + end);
                decoder.arrived(ByteBuffer.wrap(rest));
            } catch (ZstdException e) {
                assertThat(e).hasMessageMatching("[a-z].*[^.]");
            }
        }
    }

    private static byte[] mutant(Random random, int size) {
        byte[] bytes = compress(Generated.bytes(random, size), 1 + random.nextInt(12));
        for (int k = random.nextInt(4); k >= 0; k--) {
            // Headers and tables lie at the front, where a change means most.
            int at = random.nextInt(random.nextBoolean() ? Math.min(60, bytes.length) : bytes.length);
            if (random.nextBoolean()) {
                bytes[at] ^= (byte) (1 << random.nextInt(8));
            } else {
                bytes[at] = (byte) random.nextInt(256);
            }
        }
        return random.nextInt(20) == 0 ? Arrays.copyOf(bytes, random.nextInt(bytes.length)) : bytes;
    }

    private static byte[] compress(byte[] bytes, int level) {
        try (ZstdCompressCtx context = new ZstdCompressCtx()) {
            context.setLevel(level);
            context.setChecksum(false);
            return context.compress(bytes);
        }
    }

    /** Decodes in three ways, which have to give the same, and compares with the reference library; null if refused. */
    private byte @Nullable [] decode(byte[] bytes) {
        byte[] whole = null;
        String refusal = "";
        try {
            ByteBuffer out = ByteBuffer.allocate(ROOM);
            decoder.decode(ByteBuffer.wrap(bytes), out);
            whole = Arrays.copyOf(out.array(), out.position());
        } catch (ZstdException e) {
            refusal = e.getMessage();
            assertThat(e).hasMessageMatching("[a-z].*[^.]");
        }
        byte[] streamed = stream(bytes);
        if (whole != null && streamed != null) {
            assertThat(streamed).isEqualTo(whole);
        }
        byte[] expected = reference(bytes);
        if (whole != null || expected == null) {
            assertThat(whole).isEqualTo(expected);
        } else {
            // The one thing that the specification forbids and the library lets pass.
            assertThat(refusal).isEqualTo("a stream of literals does not end where it should");
        }
        return whole;
    }

    private static byte @Nullable [] stream(byte[] bytes) {
        ByteBuffer out = ByteBuffer.allocate(ROOM + ZstdStream.MAX_BLOCK);
        ZstdStream stream = new ZstdStream();
        ByteBuffer in = ByteBuffer.wrap(bytes).limit(0);
        Random random = new Random(bytes.length);
        try {
            while (out.position() <= ROOM) {
                switch (stream.next(in)) {
                    case NONE -> {
                        if (in.limit() == bytes.length) {
                            return stream.mayEnd() && !in.hasRemaining()
                                    ? Arrays.copyOf(out.array(), out.position())
                                    : null;
                        }
                        in.limit(Math.min(bytes.length, in.limit() + 1 + random.nextInt(1000)));
                    }
                    case BLOCK -> out.put(stream.bytes(), stream.from(), stream.length());
                    case FRAME, OTHER -> {}
                }
            }
        } catch (ZstdException e) {
            assertThat(e).hasMessageMatching("[a-z].*[^.]");
        }
        return null;
    }

    private void resume(byte[] bytes) {
        byte[] state = new byte[bytes.length + 2 * ZstdDecoder.MARGIN];
        System.arraycopy(bytes, 0, state, ZstdDecoder.MARGIN, bytes.length);
        int half = ZstdDecoder.MARGIN + bytes.length / 2;
        try {
            decoder.begin(ROOM, state, ZstdDecoder.MARGIN, half);
            decoder.arrived(ByteBuffer.wrap(bytes, bytes.length / 2, bytes.length - bytes.length / 2));
        } catch (ZstdException e) {
            assertThat(e).hasMessageMatching("[a-z].*[^.]");
        }
    }

    private static byte @Nullable [] reference(byte[] bytes) {
        byte[] out = new byte[ROOM];
        try (ZstdDecompressCtx context = new ZstdDecompressCtx()) {
            long size = context.decompressByteArray(out, 0, out.length, bytes, 0, bytes.length);
            return Zstd.isError(size) ? null : Arrays.copyOf(out, (int) size);
        } catch (com.github.luben.zstd.ZstdException e) {
            return null;
        }
    }
}
