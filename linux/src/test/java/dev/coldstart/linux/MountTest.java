package dev.coldstart.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MountTest {
    @Test
    void knownWordsBecomeFlagsAndTheRestIsTheFileSystems() {
        Mount.Options options = Mount.Options.parse(
                List.of("ro", "nosuid", "lowerdir=/a:/b::/c", "nodev", "dev", "rw", "metacopy=on", "defaults"));

        assertThat(options.flags()).isEqualTo(Mount.MS_NOSUID);
        assertThat(options.data()).isEqualTo("lowerdir=/a:/b::/c,metacopy=on");
        assertThat(Mount.Options.parse(List.of("rbind", "ro")).flags())
                .isEqualTo(Mount.MS_BIND | Mount.MS_REC | Mount.MS_RDONLY);
    }

    @Test
    void aReadOnlyBindIsReadOnly(@TempDir Path dir) throws Exception {
        assumeTrue(Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0), "mounting needs root");
        Path source = Files.createDirectory(dir.resolve("a b"));
        Path target = Files.createDirectory(dir.resolve("target"));
        Mount.mount("bind", source.toString(), target.toString(), List.of("rbind", "ro"));
        try {
            assertThatThrownBy(() -> Files.createFile(target.resolve("x"))).isInstanceOf(IOException.class);
            assertThat(MountTable.read()).anySatisfy(entry -> {
                assertThat(entry.mountPoint()).isEqualTo(target.toString());
                assertThat(entry.root()).endsWith("/a b");
            });
        } finally {
            Mount.umount(target.toString(), 0);
        }
        assertThat(MountTable.read()).noneMatch(entry -> entry.mountPoint().equals(target.toString()));
    }

    @Test
    void aFailedMountSaysWhatWasTried(@TempDir Path dir) {
        assertThatThrownBy(() ->
                        Mount.mount("overlay", "overlay", dir.resolve("none").toString(), List.of("lowerdir=/x")))
                .isInstanceOf(LinuxException.class)
                .hasMessageContaining("mount overlay overlay on " + dir)
                .hasMessageContaining("lowerdir=/x");
    }

    @Test
    void mountinfoLinesAreTakenApart() throws IOException {
        MountTable.Entry entry = MountTable.parse(
                "36 35 98:0 /mnt1 /mnt\\040two rw,noatime shared:7 master:1 - erofs /var/lib/a.erofs ro,errors=continue");

        assertThat(entry.id()).isEqualTo(36);
        assertThat(entry.mountPoint()).isEqualTo("/mnt two");
        assertThat(entry.propagation()).containsExactly("shared:7", "master:1");
        assertThat(entry.type()).isEqualTo("erofs");
        assertThat(entry.source()).isEqualTo("/var/lib/a.erofs");
        assertThatThrownBy(() -> MountTable.parse("36 35")).isInstanceOf(IOException.class);
    }
}
