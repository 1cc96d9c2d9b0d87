package dev.coldstart.snapshotter.service;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.proto.containerd.services.introspection.InitError;
import dev.coldstart.proto.containerd.services.introspection.Plugin;
import dev.coldstart.proto.v1.Finding;
import dev.coldstart.proto.v1.Severity;
import dev.coldstart.snapshotter.content.Containerd;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.tomlj.Toml;
import org.tomlj.TomlParseResult;

/** What is wrong with a configuration as {@code containerd config dump} prints it. */
class ContainerdDoctorTest {
    private static final String PROXY = """
            [proxy_plugins.cold]
              type = "snapshot"
              address = "/run/coldstart/snapshotter.sock"
            """;
    private static final String EXPORTS = """
            [proxy_plugins.cold.exports]
              root = "/var/lib/coldstart"
            """;
    private static final String UNPACK = """
            [[plugins."io.containerd.transfer.v1.local".unpack_config]]
              snapshotter = "overlayfs"
            [[plugins."io.containerd.transfer.v1.local".unpack_config]]
              snapshotter = "cold"
            """;
    private static final String RUNTIME = """
            [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.lazy]
              snapshotter = "cold"
            """;
    private static final String PULLS = """
            [plugins."io.containerd.cri.v1.images".runtime_platforms.lazy]
              snapshotter = "cold"
            """;
    private static final Plugin LOADED = Plugin.newBuilder()
            .setType("io.containerd.snapshotter.v1")
            .setId("cold")
            .build();

    private static List<String> wrong(String configuration, Plugin... loaded) {
        TomlParseResult parsed = Toml.parse(configuration);
        assertThat(parsed.errors()).isEmpty();
        List<Finding> findings = new ArrayList<>();
        try (Containerd nobody = new Containerd(Path.of("/nowhere/containerd.sock"))) {
            new ContainerdDoctor(nobody, Path.of("/run/coldstart/snapshotter.sock"), Path.of("/var/lib/coldstart"))
                    .look(parsed, List.of(loaded), findings);
        }
        return findings.stream()
                .filter(finding -> finding.getSeverity() != Severity.SEVERITY_FINE)
                .map(finding -> finding.getSubject() + ": " + finding.getText())
                .toList();
    }

    @Test
    void whatTheInstallerWritesIsRight() {
        assertThat(wrong(PROXY + EXPORTS + UNPACK + RUNTIME + PULLS, LOADED)).isEmpty();
        assertThat(wrong(
                        PROXY.replace("/run", "unix:///run")
                                + EXPORTS
                                + UNPACK
                                + RUNTIME.replace("io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"),
                        LOADED))
                .isEmpty();
    }

    @Test
    void eachOmissionIsToldApart() {
        assertThat(wrong(PROXY.replace("/run/", "/srv/") + UNPACK, LOADED))
                .singleElement()
                .asString()
                .contains("/run/coldstart/snapshotter.sock", "coldstart-containerd add");
        assertThat(wrong(PROXY + EXPORTS + UNPACK)).singleElement().asString().contains("restart containerd");
        assertThat(wrong(
                        PROXY + EXPORTS + UNPACK,
                        LOADED.toBuilder()
                                .setInitErr(InitError.newBuilder().setMessage("no such socket"))
                                .build()))
                .singleElement()
                .asString()
                .contains("no such socket");
        assertThat(wrong(
                        PROXY + EXPORTS + UNPACK + RUNTIME + PULLS,
                        LOADED,
                        Plugin.newBuilder()
                                .setType("io.containerd.grpc.v1")
                                .setId("cri")
                                .setInitErr(InitError.newBuilder().setMessage("no runtime of that name"))
                                .build()))
                .singleElement()
                .asString()
                .contains("no runtime of that name");
        assertThat(wrong(PROXY + EXPORTS + UNPACK.replace("cold", "other"), LOADED))
                .singleElement()
                .asString()
                .contains("unpack_config", "ctr");
        assertThat(wrong(PROXY + UNPACK, LOADED)).singleElement().asString().contains("kubelet");
        assertThat(wrong(PROXY + EXPORTS.replace("/var", "/srv") + UNPACK, LOADED))
                .singleElement()
                .asString()
                .contains("/srv/lib/coldstart", "/var/lib/coldstart");
        assertThat(wrong(PROXY + EXPORTS + UNPACK + RUNTIME, LOADED))
                .singleElement()
                .asString()
                .contains("lazy", "another snapshotter first");
        assertThat(wrong(
                        "disabled_plugins = [\"io.containerd.cri.v1.runtime\"]\n" + PROXY + EXPORTS + UNPACK + RUNTIME,
                        LOADED))
                .isEmpty();
    }

    @ParameterizedTest
    @CsvSource({
        "containerd,",
        "containerd|--config|/a/b.toml, /a/b.toml",
        "containerd|-c|/a/b.toml|-l|debug, /a/b.toml",
        "containerd|-l|debug|--config=/a/b.toml, /a/b.toml",
        "containerd|--config,"
    })
    void theConfigurationIsTheOneThatContainerdWasStartedWith(String commandLine, String file) {
        assertThat(ContainerdDoctor.configurationOption(commandLine.replace('|', '\0') + '\0'))
                .isEqualTo(file == null ? List.of() : List.of("--config", file));
    }
}
