package dev.coldstart.snapshotter.registry;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.registry.HostsFile.Server;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** containerd's hosts.toml as containerd reads it. */
class HostsFileTest {
    private static final Path FILE = Path.of("/etc/containerd/certs.d/r/hosts.toml");

    @TempDir
    Path directory;

    @Test
    void everyKeyInTheOrderOfTheFile() throws Exception {
        List<Server> servers = HostsFile.parse(FILE, """
                server = "https://registry.example"
                capabilities = ["pull", "push"]
                [host."https://z.example:5000"]
                  capabilities = ["Pull", "Resolve"]
                  ca = "z.crt"
                  client = [["/c/a.cert", "a.key"], ["b.pem", ""], "c.pem"]
                  dial_timeout = "1m1.5s"
                  [host."https://z.example:5000".header]
                    X-One = "1"
                    X-Two = ["2", "3"]
                [host."http://a.example/mirror/"]
                  ca = ["/one.pem", "two.pem"]
                  skip_verify = true
                  unknown = "is containerd's business"
                [host."m.example/v2/"]
                [host."https://other.example/artifactory/api"]
                  override_path = true
                """);
        assertThat(servers.stream().map(Server::base))
                .containsExactly(
                        URI.create("https://z.example:5000/v2"),
                        URI.create("http://a.example/mirror/v2"),
                        URI.create("https://m.example/v2"),
                        URI.create("https://other.example/artifactory/api"),
                        URI.create("https://registry.example/v2"));
        Server first = servers.getFirst();
        assertThat(first.tls().authorities()).containsExactly(FILE.resolveSibling("z.crt"));
        assertThat(first.tls().keys())
                .containsExactly(
                        new Tls.Key(Path.of("/c/a.cert"), FILE.resolveSibling("a.key")),
                        new Tls.Key(FILE.resolveSibling("b.pem"), null),
                        new Tls.Key(FILE.resolveSibling("c.pem"), null));
        assertThat(first.dialTimeout()).isEqualTo(Duration.ofMillis(61_500));
        assertThat(first.headers()).containsEntry("X-One", List.of("1")).containsEntry("X-Two", List.of("2", "3"));
        assertThat(first.pulls()).isTrue();
        assertThat(first.resolves()).isTrue();
        assertThat(servers.get(1).tls().skipVerify()).isTrue();
        assertThat(servers.get(1).tls().authorities())
                .containsExactly(Path.of("/one.pem"), FILE.resolveSibling("two.pem"));
        assertThat(servers.getLast().resolves()).isFalse();
    }

    @Test
    void withoutAServerTheRegistryItselfIsLast() throws Exception {
        assertThat(HostsFile.parse(FILE, "").getFirst().base()).isNull();
        assertThat(HostsFile.parse(FILE, "skip_verify = true").getFirst().tls().skipVerify())
                .isTrue();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "server = 1",
                "server = \"http:x\"",
                "server = \"http://user:pw@h\"",
                "host = \"x\"",
                "[host.\"https://x y\"]",
                "[host.\"https://x\"]\ncapabilities = [\"fly\"]",
                "[host.\"https://x\"]\ncapabilities = [1]",
                "[host.\"https://x\"]\nca = 1",
                "[host.\"https://x\"]\nclient = [[\"a\"]]",
                "[host.\"https://x\"]\nclient = true",
                "[host.\"https://x\"]\nskip_verify = \"yes\"",
                "[host.\"https://x\"]\noverride_path = 1",
                "[host.\"https://x\"]\ndial_timeout = \"5\"",
                "[host.\"https://x\"]\ndial_timeout = \"5 s\"",
                "[host.\"https://x\".header]\nAuthorization = \"Bearer s3cret\\r\\nX: y\"",
                "[host.\"https://x\".header]\nHost = \"s3cret\"",
                "[host.\"https://x\".header]\nAuthorization = s3cret"
            })
    void whatIsWrongIsAnErrorThatQuotesNoValue(String text) {
        assertThatThrownBy(() -> HostsFile.parse(FILE, text))
                .isInstanceOf(IOException.class)
                .hasMessageContaining(FILE.toString())
                .hasMessageNotContaining("s3cret");
    }

    private void write(String host, String text) throws IOException {
        Files.writeString(Files.createDirectories(directory.resolve(host)).resolve("hosts.toml"), text);
    }

    private List<String> endpoints(String host) throws RegistryException {
        return new RegistryHosts(directory, name -> null)
                .endpoints(host).stream()
                        .map(e -> e.base() + " " + e.namespace())
                        .toList();
    }

    @Test
    void theDirectoryOfAHostIsFoundAsContainerdFindsIt() throws Exception {
        write("_default", "[host.\"https://all.example\"]");
        write("a.example_5000_", "server = \"https://one.example\"");
        write("b.example:5000", "server = \"https://two.example\"");
        write("docker.io", "server = \"https://registry-1.docker.io\"\n[host.\"https://hub.example\"]");
        assertThat(endpoints("a.example:5000")).containsExactly("https://one.example/v2 a.example:5000");
        assertThat(endpoints("b.example:5000")).containsExactly("https://two.example/v2 b.example:5000");
        assertThat(endpoints("c.example"))
                .containsExactly("https://all.example/v2 c.example", "https://c.example/v2 null");
        assertThat(endpoints("docker.io"))
                .containsExactly("https://hub.example/v2 docker.io", "https://registry-1.docker.io/v2 null");
        assertThat(endpoints("localhost:5000"))
                .containsExactly("https://all.example/v2 localhost:5000", "http://localhost:5000/v2 null");
        assertThatThrownBy(() -> endpoints("../../etc")).isInstanceOf(RegistryException.class);
    }

    @Test
    void ourOwnConfigurationOfAHostWins() throws Exception {
        write("r.example_5000_", "server = \"https://other.example\"\n[host.\"https://m.example\"]");
        assertThat(new RegistryHosts(directory, host -> host.equals("r.example:5000") ? true : null)
                        .endpoints("r.example:5000").stream().map(Endpoint::toString))
                .containsExactly("https://m.example/v2", "http://r.example:5000/v2");
    }

    @Test
    void aFileThatCannotBeReadLeavesTheRegistryItself() throws Exception {
        write("r.example", "[host.\"https://m.example\"\nheader = \"s3cret");
        try (CapturedLog log = new CapturedLog()) {
            assertThat(endpoints("r.example")).containsExactly("https://r.example/v2 null");
            assertThat(log.text())
                    .contains("mirrors of r.example are not asked")
                    .doesNotContain("s3cret");
        }
    }
}
