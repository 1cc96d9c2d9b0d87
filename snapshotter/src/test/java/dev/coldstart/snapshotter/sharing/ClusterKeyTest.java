package dev.coldstart.snapshotter.sharing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ClusterKeyTest {
    @TempDir
    Path dir;

    private ClusterKey key;

    @BeforeEach
    void makeKey() throws Exception {
        key = ClusterKey.read(file("rw-------", 64));
    }

    private Path file(String mode, int bytes) throws IOException {
        Path file = Files.createTempFile(dir, "key", "");
        Files.write(file, new byte[bytes]);
        return Files.setPosixFilePermissions(file, PosixFilePermissions.fromString(mode));
    }

    private byte[] sealed(byte[] bytes, String context) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (OutputStream sealing = key.seal(out, context)) {
            sealing.write(bytes);
        }
        return out.toByteArray();
    }

    private byte[] opened(byte[] bytes, String context) throws IOException {
        try (InputStream in = key.open(new ByteArrayInputStream(bytes), context)) {
            return in.readAllBytes();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 262_143, 262_144, 262_145, 1_000_000})
    void whatWasSealedIsOpened(int length) throws Exception {
        byte[] bytes = new byte[length];
        new Random(length).nextBytes(bytes);
        byte[] sealed = sealed(bytes, "this");
        assertThat(opened(sealed, "this")).isEqualTo(bytes);
        assertThatThrownBy(() -> opened(sealed, "that")).hasMessageContaining("not sealed with this cluster's key");
    }

    @Test
    void whatWasChangedOrCutAnywhereIsRefused() throws Exception {
        byte[] sealed = sealed(new byte[600_000], "c");
        Random random = new Random(1);
        for (int i = 0; i < 300; i++) {
            byte[] wrong = sealed.clone();
            wrong[i < 24 ? i : random.nextInt(wrong.length)] ^= (byte) (1 << random.nextInt(8));
            assertThatThrownBy(() -> opened(wrong, "c")).isInstanceOf(IOException.class);
            byte[] cut = Arrays.copyOf(sealed, random.nextInt(sealed.length));
            assertThatThrownBy(() -> opened(cut, "c")).isInstanceOf(IOException.class);
        }
    }

    @Test
    void aKeyThatOthersReadOrThatIsShortIsRefused() throws Exception {
        assertThatThrownBy(() -> ClusterKey.read(file("rw-r-----", 64))).hasMessageContaining("chmod 0600");
        assertThatThrownBy(() -> ClusterKey.read(file("rw-------", 31))).hasMessageContaining("has 31 bytes");
    }
}
