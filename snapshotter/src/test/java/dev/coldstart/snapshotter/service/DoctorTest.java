package dev.coldstart.snapshotter.service;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.proto.v1.Finding;
import dev.coldstart.proto.v1.Severity;
import dev.coldstart.snapshotter.Configuration;
import dev.coldstart.snapshotter.TestConfiguration;
import dev.coldstart.snapshotter.content.Containerd;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.MetadataStore;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.registry.Credentials;
import dev.coldstart.snapshotter.registry.RegistryClient;
import dev.coldstart.snapshotter.registry.Trust;
import dev.coldstart.snapshotter.rootfs.LayerMounts;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is wrong on a node is said, with what to do about it; what is right is not complained of. */
class DoctorTest {
    private static final Digest LAYER = new Digest("sha256", "ab".repeat(32));
    private static final Digest OTHER = new Digest("sha256", "cd".repeat(32));

    @TempDir
    Path dir;

    private @Nullable MetadataStore metadata;
    private @Nullable Containerd containerd;
    private @Nullable Mounts mounts;
    private @Nullable ObjectStore objects;
    private @Nullable RegistryClient registry;

    /** Mounts that are only remembered. */
    private static final class Mounts extends LayerMounts {
        Mounts(Path root) {
            super(root.resolve("t"), root.resolve("trees"));
        }

        @Override
        protected void mount(Digest layer, Path target) {}
    }

    @BeforeEach
    void open() throws IOException {
        metadata = MetadataStore.open(dir.resolve("log"));
        containerd = new Containerd(dir.resolve("containerd.sock"));
        mounts = new Mounts(dir);
        objects = ObjectStore.open(Files.createDirectories(dir.resolve("store")), StoreSettings.DEFAULTS);
        registry = new RegistryClient(host -> true, Trust.with(List.of()), Credentials.none(), Duration.ofSeconds(1));
    }

    @AfterEach
    void close() throws Exception {
        if (containerd != null) {
            containerd.close();
        }
        if (registry != null) {
            registry.close();
        }
        if (objects != null) {
            objects.close();
        }
        if (metadata != null) {
            metadata.close();
        }
    }

    private MetadataStore metadata() {
        return Objects.requireNonNull(metadata);
    }

    private Mounts mounts() {
        return Objects.requireNonNull(mounts);
    }

    private List<Finding> look(boolean outlived) {
        return new Doctor(
                        "whole layers, because",
                        outlived,
                        TestConfiguration.in(dir, Configuration.Serve.AUTO, StoreSettings.DEFAULTS),
                        metadata(),
                        mounts(),
                        Objects.requireNonNull(objects),
                        Objects.requireNonNull(containerd),
                        Objects.requireNonNull(registry))
                .look();
    }

    private Finding finding(String subject, boolean outlived) {
        List<Finding> found = look(outlived).stream()
                .filter(finding -> finding.getSubject().equals(subject))
                .toList();
        assertThat(found).as(subject).hasSize(1);
        return found.getFirst();
    }

    @Test
    void aLayerThatIsNotMountedIsAProblemUntilItIs() throws Exception {
        assertThat(finding("layers", true).getSeverity()).isEqualTo(Severity.SEVERITY_FINE);
        var _ = metadata().createRemote("one", "", LAYER, Map.of(), 1);
        var _ = metadata().createRemote("two", "one", OTHER, Map.of(), 1);
        var _ = mounts().mount(OTHER);
        Finding missing = finding("layers", true);
        assertThat(missing.getSeverity()).isEqualTo(Severity.SEVERITY_PROBLEM);
        assertThat(missing.getText())
                .contains("1 of 2", "pull", LAYER.toString())
                .doesNotContain(OTHER.hex());
        var _ = mounts().mount(LAYER);
        assertThat(finding("layers", true).getSeverity()).isEqualTo(Severity.SEVERITY_FINE);
        assertThat(finding("layers", true).getText()).contains("2 lazy layers");
    }

    @Test
    void aContainerdThatDoesNotAnswerIsAProblem() {
        Finding silent = finding("containerd", true);
        assertThat(silent.getSeverity()).isEqualTo(Severity.SEVERITY_PROBLEM);
        assertThat(silent.getText())
                .contains("not served lazily", "containerd.sock")
                .doesNotContain("\n");
    }

    @Test
    void whoWouldNotSurviveAnUpgradeIsWarned() {
        assertThat(finding("hand-over", true).getSeverity()).isEqualTo(Severity.SEVERITY_FINE);
        Finding lost = finding("hand-over", false);
        assertThat(lost.getSeverity()).isEqualTo(Severity.SEVERITY_WARNING);
        assertThat(lost.getText()).contains("coldstart-keeper", "systemd");
    }

    @Test
    void theKernelAndTheWayOfServingAreSaid() throws Exception {
        String release = Files.readString(Path.of("/proc/sys/kernel/osrelease")).strip();
        assertThat(finding("kernel", true).getText()).contains(release);
        assertThat(finding("root file systems", true).getText()).isEqualTo("whole layers, because");
        assertThat(look(true))
                .allSatisfy(finding -> assertThat(finding.getText()).isNotBlank());
    }
}
