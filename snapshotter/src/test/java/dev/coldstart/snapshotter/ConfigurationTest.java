package dev.coldstart.snapshotter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class ConfigurationTest {
    private static final Path FILE = Path.of("/etc/coldstart/config.toml");

    @Test
    void otherProgramsSectionsAreTheirs() throws Exception {
        Configuration configuration = Configuration.parse(FILE, """
                [snapshotter]
                root = "/data"
                [registry."10.0.0.1:5000"]
                plain_http = true
                [registry."localhost:5000"]
                [shim]
                anything = 1
                """);
        assertThat(configuration.root()).isEqualTo(Path.of("/data"));
        assertThat(configuration.state()).isEqualTo(Path.of("/run/coldstart"));
        assertThat(configuration.registries())
                .containsEntry("10.0.0.1:5000", new Configuration.Registry(true, null))
                .containsEntry("localhost:5000", new Configuration.Registry(true, null));
        assertThat(configuration.nodeName()).isNotEmpty();
        assertThat(configuration.serve()).isEqualTo(Configuration.Serve.AUTO);
    }

    @Test
    void unknownKeysAreRefusedWithKeyAndFile() {
        assertThatThrownBy(() -> Configuration.parse(FILE, "[snapshotter]\nrot = \"/x\""))
                .hasMessage("unknown key snapshotter.rot in /etc/coldstart/config.toml");
        assertThatThrownBy(() -> Configuration.parse(FILE, "[registry.\"h:1\"]\nplain = true"))
                .hasMessage("unknown key registry.\"h:1\".plain in /etc/coldstart/config.toml");
        assertThatThrownBy(() -> Configuration.parse(FILE, "[snap]\n"))
                .hasMessage("unknown key snap in /etc/coldstart/config.toml");
        assertThatThrownBy(() -> Configuration.parse(FILE, "[snapshotter]\nroot = 1"))
                .hasMessageContaining("must be a string");
        assertThatThrownBy(() -> Configuration.parse(FILE, "[snapshotter]\nroot = \"/a:b\""))
                .hasMessageContaining("absolute path");
        assertThatThrownBy(() -> Configuration.parse(FILE, "[snapshotter]\nserve = \"both\""))
                .hasMessageContaining("snapshotter.serve")
                .hasMessageContaining("\"fuse\"");
        assertThatThrownBy(() -> Configuration.parse(FILE, "[snapshotter")).hasMessageContaining("is not valid TOML");
    }
}
