package dev.coldstart.snapshotter.object;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.layer.Digest;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PinsTest {
    private static final Digest ONE = new Digest("sha256", "1".repeat(64));
    private static final Digest TWO = new Digest("sha256", "2".repeat(64));

    @Test
    void whatIsWantedIsKnownAfterARestart(@TempDir Path dir) throws Exception {
        Path file = dir.resolve("pins");
        Pins pins = Pins.open(file);
        pins.set(ONE, Tier.DISK);
        pins.set(TWO, Tier.DISK);
        pins.set(TWO, Tier.RAM);
        assertThat(Pins.open(file).all()).isEqualTo(Map.of(ONE, Tier.DISK, TWO, Tier.RAM));
        pins.set(ONE, null);
        assertThat(Pins.open(file).tier(ONE)).isNull();
        assertThat(Pins.open(file).tier(TWO)).isEqualTo(Tier.RAM);

        Files.writeString(file, ONE + " TAPE\n");
        assertThatThrownBy(() -> Pins.open(file)).hasMessageContaining("is not a digest and a tier");
    }
}
