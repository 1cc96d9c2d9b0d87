package dev.coldstart.snapshotter.layer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.github.luben.zstd.Zstd;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The first bytes of a frame come out, whatever follows them in the frame and behind it. */
final class ZstdFrameTest {
    private final ZstdFrame frame = new ZstdFrame();

    private static byte[] text(int size) {
        Random random = new Random(8);
        byte[] bytes = new byte[size];
        for (int i = 0; i < size; i++) {
            bytes[i] = (byte) ('a' + random.nextInt(1 + i % 20));
        }
        return bytes;
    }

    @Test
    void theFirstBytesOfAFrame() throws Exception {
        byte[] text = text(1_000_000);
        ByteArrayOutputStream blob = new ByteArrayOutputStream();
        blob.writeBytes(Zstd.compress(text, 3));
        blob.writeBytes(new byte[] {1, 2, 3});
        for (int wanted : new int[] {1, 1000, 200_000, 990_000, 1_000_000, 500}) {
            ByteBuffer out = ByteBuffer.allocate(wanted);
            frame.decode(ByteBuffer.wrap(blob.toByteArray()), out);
            assertThat(out.array()).as("%d bytes", wanted).isEqualTo(Arrays.copyOf(text, wanted));
        }
    }

    @Test
    void runsAndRawBlocks() throws Exception {
        byte[] random = new byte[300_000];
        new Random(9).nextBytes(random);
        for (byte[] bytes : new byte[][] {random, new byte[300_000], new byte[1]}) {
            ByteBuffer out = ByteBuffer.allocate(bytes.length);
            frame.decode(ByteBuffer.wrap(Zstd.compress(bytes, 1)), out);
            assertThat(out.array()).isEqualTo(bytes);
        }
    }

    @Test
    void tooFewBytesAreAnError() {
        byte[] whole = Zstd.compress(text(5000), 3);
        assertThatThrownBy(() -> frame.decode(ByteBuffer.wrap(whole), ByteBuffer.allocate(5001)))
                .hasMessageContaining("fewer bytes");
        assertThatThrownBy(() -> frame.decode(ByteBuffer.wrap(whole, 0, whole.length - 1), ByteBuffer.allocate(5000)))
                .isInstanceOf(IOException.class);
        assertThatThrownBy(() -> frame.decode(ByteBuffer.wrap(new byte[20]), ByteBuffer.allocate(1)))
                .hasMessageContaining("no zstd frame");
    }
}
