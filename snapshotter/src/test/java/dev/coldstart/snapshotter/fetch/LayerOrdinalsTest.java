package dev.coldstart.snapshotter.fetch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LayerOrdinalsTest {
    private static final Digest FIRST = new Digest("sha256", "aa".repeat(32));
    private static final Digest SECOND = new Digest("sha256", "bb".repeat(32));
    private static final Digest THIRD = new Digest("sha256", "cc".repeat(32));

    @TempDir
    Path dir;

    @Test
    void theNextProcessKnowsTheNumbersAfterACrashAnywhere() throws Exception {
        Path file = dir.resolve("layers");
        try (LayerOrdinals ordinals = LayerOrdinals.open(file)) {
            assertThat(ordinals.of(FIRST)).isEqualTo(1);
            assertThat(ordinals.of(SECOND)).isEqualTo(2);
            assertThat(ordinals.of(FIRST)).isEqualTo(1);
        }
        byte[] whole = Files.readAllBytes(file);
        for (int cut = 0; cut <= whole.length; cut++) {
            Files.write(file, Arrays.copyOf(whole, cut));
            int kept = cut / (whole.length / 2);
            try (LayerOrdinals ordinals = LayerOrdinals.open(file)) {
                assertThat(ordinals.of(THIRD)).as("cut at %s", cut).isEqualTo(kept + 1);
            }
            try (LayerOrdinals ordinals = LayerOrdinals.open(file)) {
                assertThat(ordinals.of(THIRD)).as("cut at %s", cut).isEqualTo(kept + 1);
                assertThat(ordinals.of(FIRST)).isEqualTo(kept > 0 ? 1 : 2);
            }
        }
    }

    @Test
    void damageIsNotGuessedAt() throws Exception {
        Path file = Files.writeString(dir.resolve("layers"), "sha256:nonsense\n");
        assertThatThrownBy(() -> LayerOrdinals.open(file))
                .isInstanceOf(IOException.class)
                .hasMessageContaining(file.toString());
    }
}
