package dev.coldstart.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileSystemSpaceTest {
    @Test
    void saysWhatJavaSaysAndTheInodes(@TempDir Path dir) throws Exception {
        FileSystemSpace space = FileSystemSpace.of(dir);
        assertThat(space.bytes()).isEqualTo(Files.getFileStore(dir).getTotalSpace());
        assertThat(space.freeBytes()).isBetween(1L, space.bytes());
        assertThat(space.freeInodes()).isBetween(0L, space.inodes());
        assertThatThrownBy(() -> FileSystemSpace.of(dir.resolve("none")))
                .isInstanceOf(LinuxException.class)
                .hasMessageContaining("none");
    }
}
