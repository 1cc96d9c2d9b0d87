package dev.coldstart.snapshotter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.object.StoreSettings;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

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

    @Test
    void nodesShareWhatTheClustersKeySeals() throws Exception {
        assertThat(Configuration.parse(FILE, "").sharing()).isEqualTo(Configuration.Sharing.NONE);
        assertThat(Configuration.parse(FILE, """
                        [index]
                        key_file = "/etc/coldstart/key"
                        listen = "[::]:7070"
                        peers = ["nodes.example:7070"]
                        publish = true
                        """).sharing())
                .isEqualTo(new Configuration.Sharing(
                        Path.of("/etc/coldstart/key"), "[::]:7070", List.of("nodes.example:7070"), true));
        assertThatThrownBy(() -> Configuration.parse(FILE, "[index]\npublish = true"))
                .hasMessageContaining("needs key_file");
        assertThatThrownBy(() -> Configuration.parse(FILE, "[index]\nlisten = \"7070\""))
                .hasMessageContaining("index.listen in /etc/coldstart/config.toml must be HOST:PORT");
        assertThatThrownBy(() -> Configuration.parse(FILE, "[index]\npeers = [\"node\"]"))
                .hasMessageContaining("index.peers");
    }

    @Test
    void whereMirrorsAndCredentialsLieCanBeSaid() throws Exception {
        Configuration usual = Configuration.parse(FILE, "");
        assertThat(usual.hostsDirectory()).isEqualTo(Path.of("/etc/containerd/certs.d"));
        assertThat(usual.pullSecrets()).isNull();
        assertThat(usual.imageService()).isNull();
        Configuration said = Configuration.parse(FILE, """
                [registry]
                hosts_dir = "/hosts"
                pull_secrets = "/secrets"
                [registry."r:5000"]
                plain_http = true
                [cri]
                image_service = "/run/coldstart/image.sock"
                """);
        assertThat(said.hostsDirectory()).isEqualTo(Path.of("/hosts"));
        assertThat(said.pullSecrets()).isEqualTo(Path.of("/secrets"));
        assertThat(said.imageService()).isEqualTo(Path.of("/run/coldstart/image.sock"));
        assertThat(said.registries()).containsOnlyKeys("r:5000");
        assertThatThrownBy(() -> Configuration.parse(FILE, "[registry]\npull_secrets = \"x\""))
                .hasMessageContaining("key registry.pull_secrets")
                .hasMessageContaining("absolute path");
        assertThatThrownBy(() -> Configuration.parse(FILE, "[registry]\nsecrets = \"/x\""))
                .hasMessage("unknown key registry.secrets in /etc/coldstart/config.toml");
        assertThatThrownBy(() -> Configuration.parse(FILE, "[cri]\nsocket = \"/x\""))
                .hasMessage("unknown key cri.socket in /etc/coldstart/config.toml");
    }

    @Test
    void startsAreReplayedAndImagesAreNotFilledUnlessTheFileSaysSo() throws Exception {
        assertThat(Configuration.parse(FILE, "").fetch()).isEqualTo(new Configuration.Fetch(true, false));
        assertThat(Configuration.parse(FILE, "[fetch]\nreplay = false\nbackground = true")
                        .fetch())
                .isEqualTo(new Configuration.Fetch(false, true));
        assertThatThrownBy(() -> Configuration.parse(FILE, "[fetch]\nbackground = 1"))
                .hasMessage("key fetch.background in /etc/coldstart/config.toml must be true or false");
        assertThatThrownBy(() -> Configuration.parse(FILE, "[fetch]\nahead = true"))
                .hasMessageContaining("unknown key fetch.ahead");
    }

    @Test
    void boundsOfTheStoreAreSizesOrShares() throws Exception {
        assertThat(Configuration.parse(FILE, "").store()).isEqualTo(StoreSettings.DEFAULTS);
        StoreSettings store = Configuration.parse(FILE, """
                        [store]
                        disk_max = "80 GiB"
                        free_min = "0"
                        ram_max = "512MiB"
                        verify = "always"
                        scrub_days = 0
                        """).store();
        assertThat(store.diskMax().of(1)).isEqualTo(80L << 30);
        assertThat(store.freeMin().of(1000)).isZero();
        assertThat(store.ramMax()).isEqualTo(512 << 20);
        assertThat(store.verify()).isEqualTo(StoreSettings.Verify.ALWAYS);
        assertThat(store.scrubDays()).isZero();
        assertThat(Configuration.parse(FILE, "[store]\ndisk_max = \"25%\"")
                        .store()
                        .diskMax()
                        .of(1000))
                .isEqualTo(250);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "disk_max = \"80\"",
                "disk_max = \"80 GB\"",
                "disk_max = \"1.5 GiB\"",
                "disk_max = \"-1 GiB\"",
                "disk_max = \"80  GiB\"",
                "disk_max = \"101%\"",
                "disk_max = \"99999999999 TiB\"",
                "disk_max = 80",
                "ram_max = \"10%\"",
                "verify = \"never\"",
                "scrub_days = -1",
                "scrub_days = \"7\"",
                "cap = \"1 GiB\""
            })
    void whatIsNotABoundIsRefusedWithItsKey(String line) {
        assertThatThrownBy(() -> Configuration.parse(FILE, "[store]\n" + line))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("key store." + line.substring(0, line.indexOf(' ')))
                .hasMessageContaining("/etc/coldstart/config.toml");
    }
}
