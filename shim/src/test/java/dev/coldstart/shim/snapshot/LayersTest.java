package dev.coldstart.shim.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.linux.MountTable;
import dev.coldstart.proto.containerd.types.Mount;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class LayersTest {
    private static final Mount ROOTFS = Mount.newBuilder()
            .setType("overlay")
            .addOptions(
                    "lowerdir=/run/coldstart/t/2:/run/coldstart/t/1::/var/lib/coldstart/objects::/run/coldstart/remote")
            .addOptions("upperdir=/u/fs")
            .addOptions("workdir=/u/work")
            .build();

    private static MountTable.Entry mount(String point, String source) {
        return new MountTable.Entry(1, 1, "0:1", "/", point, "ro", List.of(), "erofs", source, "ro");
    }

    @Test
    void namesLayersByTheirTreesWithoutTiers() throws IOException {
        Layers layers = Layers.of(List.of(ROOTFS));
        assertThat(layers.lowerdirs()).containsExactly(Path.of("/run/coldstart/t/2"), Path.of("/run/coldstart/t/1"));
        assertThat(layers.upperdir()).isEqualTo(Path.of("/u/fs"));
        String one = "1".repeat(64);
        String two = "2".repeat(64);
        assertThat(layers.digests(List.of(
                        mount("/run/coldstart/t/1", "/var/lib/coldstart/trees/" + one + ".erofs"),
                        mount("/run/coldstart/t/2", "/var/lib/coldstart/trees/" + two + ".erofs"))))
                .containsExactly("sha256:" + two, "sha256:" + one);
    }

    @Test
    void otherSnapshottersHaveNoDigests() throws IOException {
        Layers layers = Layers.of(List.of(ROOTFS));
        assertThatThrownBy(() -> layers.digests(List.of(mount("/run/coldstart/t/2", "/dev/loop0"))))
                .hasMessageContaining("does not come from the snapshotter \"coldstart\"");
    }

    @Test
    void aBindMountIsNoOverlay() {
        assertThatThrownBy(() ->
                        Layers.of(List.of(Mount.newBuilder().setType("bind").build())))
                .hasMessage("The root file system is no overlay with a writable layer.");
    }
}
