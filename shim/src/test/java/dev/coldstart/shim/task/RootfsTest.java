package dev.coldstart.shim.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.abort;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.linux.Errno;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.MountTable;
import dev.coldstart.proto.containerd.types.Mount;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Real mounts, on a file system that can hold an overlay's layers. */
class RootfsTest {
    @TempDir
    Path bundle;

    private Rootfs rootfs;
    private Path root;
    private Path layers;

    @BeforeEach
    void needsRoot() throws IOException {
        assumeTrue("root".equals(System.getProperty("user.name")), "needs root: mounts");
        root = bundle.resolve("rootfs");
        layers = bundle.resolve("layers");
        Files.createDirectories(layers);
        try {
            dev.coldstart.linux.Mount.mount("tmpfs", "tmpfs", layers.toString(), List.of("mode=755"));
        } catch (LinuxException e) {
            if (e.errno() == Errno.EPERM) {
                abort("needs the right to mount: " + e.getMessage());
            }
            throw e;
        }
        rootfs = new Rootfs(bundle);
    }

    @AfterEach
    void unmount() throws IOException {
        if (rootfs != null) {
            rootfs.unmount();
            dev.coldstart.linux.Mount.umount(layers.toString(), dev.coldstart.linux.Mount.MNT_DETACH);
        }
    }

    private Path layer(String name, String file) throws IOException {
        Path layer = Files.createDirectories(layers.resolve(name));
        Files.writeString(layer.resolve(file), name);
        return layer;
    }

    private static Mount mount(String type, String source, String... options) {
        return Mount.newBuilder()
                .setType(type)
                .setSource(source)
                .addAllOptions(List.of(options))
                .build();
    }

    private List<String> mounted() throws IOException {
        return MountTable.read().stream()
                .map(MountTable.Entry::mountPoint)
                .filter(point -> point.startsWith(root.toString()))
                .toList();
    }

    @Test
    void mountsInOrderAndUnmountsAll() throws IOException {
        Path below = layer("below", "file");
        Path above = layer("above", "file");
        rootfs.mount(
                List.of(mount("bind", below.toString(), "rbind", "rw"), mount("bind", above.toString(), "bind", "ro")));
        assertThat(root.resolve("file")).hasContent("above");
        assertThatThrownBy(() -> Files.writeString(root.resolve("new"), "x")).hasMessageContaining("Read-only");
        rootfs.unmount();
        assertThat(mounted()).isEmpty();
        assertThat(root).isEmptyDirectory();
        rootfs.unmount();
    }

    @Test
    void mountsNothingWhereThereIsNothingToMount() throws IOException {
        rootfs.mount(List.of());
        assertThat(mounted()).isEmpty();
    }

    @Test
    void aFailureLeavesNoMount() throws IOException {
        Path below = layer("below", "file");
        assertThatThrownBy(() -> rootfs.mount(List.of(
                        mount("bind", below.toString(), "bind"),
                        mount("bind", layers.resolve("none").toString(), "bind"))))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("ENOENT");
        assertThat(mounted()).isEmpty();
    }

    @Test
    void optionsMayTakeMoreThanOnePage() throws IOException {
        List<String> lower = new ArrayList<>();
        for (int i = 0; i < 127; i++) {
            lower.add(layer(
                            "var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/" + i + "/fs",
                            "file" + i)
                    .toString());
        }
        Path upper = Files.createDirectories(layers.resolve("upper"));
        Path work = Files.createDirectories(layers.resolve("work"));
        rootfs.mount(List.of(mount(
                "overlay",
                "overlay",
                "index=off",
                "workdir=" + work,
                "upperdir=" + upper,
                "lowerdir=" + String.join(":", lower))));
        assertThat(root.resolve("file0")).exists();
        assertThat(root.resolve("file126")).exists();
        Files.writeString(root.resolve("file126"), "changed");
        assertThat(upper.resolve("file126")).hasContent("changed");
    }

    @Test
    void layersThatShareNoDirectoryMustFit() throws IOException {
        List<String> lower = new ArrayList<>(List.of("/proc"));
        for (int i = 0; i < 127; i++) {
            lower.add(layer("l".repeat(60) + i, "file").toString());
        }
        assertThatThrownBy(() ->
                        rootfs.mount(List.of(mount("overlay", "overlay", "lowerdir=" + String.join(":", lower)))))
                .hasMessageContaining("an image with fewer layers fits");
    }

    @Test
    void ownersAreMappedForAUserNamespace() throws IOException {
        Path one = layer("one", "file");
        Path two = layer("two", "other");
        Path upper = Files.createDirectories(layers.resolve("upper"));
        Path work = Files.createDirectories(layers.resolve("work"));
        rootfs.mount(List.of(mount(
                "overlay",
                "overlay",
                "uidmap=0:200000:65536",
                "gidmap=0:300000:65536",
                "workdir=" + work,
                "upperdir=" + upper,
                "lowerdir=" + one + ":" + two)));
        for (String file : List.of("file", "other")) {
            assertThat(Files.getAttribute(root.resolve(file), "unix:uid")).isEqualTo(200000);
            assertThat(Files.getAttribute(root.resolve(file), "unix:gid")).isEqualTo(300000);
        }
        assertThat(MountTable.read()).noneMatch(mount -> mount.mountPoint().contains("/lower"));
        rootfs.unmount();

        Files.setAttribute(one.resolve("file"), "unix:uid", 7);
        rootfs.mount(List.of(
                mount("bind", one.toString(), "bind", "uidmap=0:1000:1,1:200000:65535", "gidmap=0:300000:65536")));
        assertThat(Files.getAttribute(root.resolve("file"), "unix:uid")).isEqualTo(200006);
        assertThat(Files.getAttribute(root, "unix:uid")).isEqualTo(1000);
        rootfs.unmount();
        assertThat(mounted()).isEmpty();

        assertThatThrownBy(() -> rootfs.mount(
                        List.of(mount("bind", one.toString(), "bind", "uidmap=0:1:2,2:5", "gidmap=0:1:2"))))
                .hasMessageContaining("\"0:1:2,2:5\" is no list of ranges CONTAINER:HOST:SIZE");
    }

    @Test
    void targetsStayInside() {
        assertThatThrownBy(() -> rootfs.mount(List.of(Mount.newBuilder()
                        .setType("tmpfs")
                        .setSource("t")
                        .setTarget("../x")
                        .build())))
                .hasMessageContaining("outside of the root file system");
    }
}
