package dev.coldstart.shim.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ShimConfigTest {
    @TempDir
    Path directory;

    private ShimConfig read(String toml) throws IOException {
        return ShimConfig.read(Files.writeString(directory.resolve("config.toml"), toml));
    }

    @Test
    void readsItsSectionAndLeavesOthersAlone() throws IOException {
        assertThat(
                        read(
                                "[snapshotter]\nroot = \"/a\"\n[store]\ndisk_max = \"80%\"\n[fetch]\nreplay = true\n[index]\npublish = true\n[cri]\n[registry.\"r:5000\"]\nplain_http = true\n[shim]\nroot = \"/b\"\npool = 3\npool_memory = \"1 GiB\"\n"))
                .isEqualTo(new ShimConfig(Path.of("/b"), Path.of("/run/coldstart"), 3, 1L << 30));
        assertThat(ShimConfig.read(directory.resolve("none"))).isEqualTo(ShimConfig.defaults());
    }

    @Test
    void refusesWhatItDoesNotKnow() {
        assertThatThrownBy(() -> read("[shim]\nrot = \"/b\"\n"))
                .hasMessageEndingWith("has an unknown key rot in [shim]; remove it.");
        assertThatThrownBy(() -> read("[shimm]\n")).hasMessageEndingWith("has an unknown section [shimm]; remove it.");
        assertThatThrownBy(() -> read("[shim]\nroot = 3\n")).hasMessageContaining("root in [shim] must be a string");
        assertThatThrownBy(() -> read("[shim]\npool = -1\n")).hasMessageContaining("must be a number from 0 to 64");
        assertThatThrownBy(() -> read("[shim]\npool_memory = 7\n")).hasMessageContaining("a size such as \"256 MiB\"");
        assertThatThrownBy(() -> read("[shim\n")).hasMessageContaining("is not valid TOML");
    }
}
