package dev.coldstart.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.zip.DataFormatException;
import java.util.zip.Deflater;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ZlibTest {
    @Test
    void aStreamIsEnteredAgainAtEveryBlock() throws DataFormatException {
        byte[] plain = new byte[1 << 20];
        Random random = new Random(1);
        for (int i = 0; i < plain.length; i++) {
            plain[i] = (byte) (random.nextInt(3) == 0 ? random.nextInt(40) : i >> 5);
        }
        byte[] deflated = deflate(plain);
        try (Zlib first = new Zlib();
                Zlib second = new Zlib()) {
            ByteBuffer in =
                    ByteBuffer.allocateDirect(deflated.length).put(deflated).flip();
            ByteBuffer out = ByteBuffer.allocate(plain.length);
            byte[] window = new byte[Zlib.WINDOW];
            int blocks = 0;
            int oddBits = 0;
            while (first.inflate(in, out, true) == Zlib.Status.MORE) {
                if (!first.betweenBlocks() || out.position() == 0) {
                    continue;
                }
                blocks++;
                int bits = first.unusedBits();
                oddBits += bits == 0 ? 0 : 1;
                int length = first.window(window);
                second.reset();
                if (bits > 0) {
                    second.prime(bits, (deflated[in.position() - 1] & 0xff) >>> (8 - bits));
                }
                second.setWindow(ByteBuffer.wrap(window, 0, length));
                ByteBuffer rest = ByteBuffer.wrap(deflated, in.position(), deflated.length - in.position());
                ByteBuffer some = ByteBuffer.allocateDirect(Math.min(50_000, plain.length - out.position()));
                second.inflate(rest, some, false);
                byte[] bytes = new byte[some.position()];
                some.flip().get(bytes);
                assertThat(bytes)
                        .isNotEmpty()
                        .isEqualTo(Arrays.copyOfRange(plain, out.position(), out.position() + bytes.length));
            }
            assertThat(out.array()).isEqualTo(plain);
            assertThat(blocks).isGreaterThan(5);
            assertThat(oddBits).isGreaterThan(2);
        }
    }

    @Test
    void whatIsNotDeflateDataIsRefusedAndTheStreamGoesOnAfterReset() throws DataFormatException {
        byte[] deflated = deflate(new byte[100]);
        try (Zlib zlib = new Zlib()) {
            assertThatThrownBy(() -> zlib.inflate(ByteBuffer.wrap(new byte[] {7}), ByteBuffer.allocate(9), false))
                    .isInstanceOf(DataFormatException.class)
                    .hasMessageContaining("invalid block type");
            zlib.reset();
            ByteBuffer out = ByteBuffer.allocate(100);
            assertThat(zlib.inflate(ByteBuffer.wrap(deflated), out, false)).isEqualTo(Zlib.Status.END);
            assertThat(out.position()).isEqualTo(100);
        }
    }

    @Test
    void aClosedMappingCannotBeRead(@TempDir Path directory) throws IOException {
        Path path = Files.write(directory.resolve("file"), new byte[] {1, 2, 3});
        MappedFile file = MappedFile.open(path);
        ByteBuffer bytes = file.bytes();
        assertThat(bytes.limit()).isEqualTo(3);
        assertThat(bytes.get(2)).isEqualTo((byte) 3);
        file.close();
        assertThatThrownBy(() -> bytes.get(2)).isInstanceOf(IllegalStateException.class);
    }

    private static byte[] deflate(byte[] plain) {
        Deflater deflater = new Deflater(6, true);
        try {
            deflater.setInput(plain);
            deflater.finish();
            byte[] deflated = new byte[plain.length + 1000];
            return Arrays.copyOf(deflated, deflater.deflate(deflated));
        } finally {
            deflater.end();
        }
    }
}
