package dev.coldstart.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DirectoryLockTest {
    @TempDir
    Path directory;

    @Test
    void manyMayReadAndTheLockStaysWithADirectoryThatIsRenamed() throws IOException {
        Path name = Files.createDirectory(directory.resolve("a"));
        DirectoryLock one = DirectoryLock.shared(name).orElseThrow();
        DirectoryLock two = DirectoryLock.shared(name).orElseThrow();
        Path renamed = Files.move(name, directory.resolve("b"));

        assertThat(DirectoryLock.exclusive(renamed)).isEmpty();
        one.close();
        one.close();
        assertThat(DirectoryLock.exclusive(renamed)).isEmpty();
        two.close();
        try (DirectoryLock alone = DirectoryLock.exclusive(renamed).orElseThrow()) {
            assertThat(alone).isNotNull();
            assertThat(DirectoryLock.shared(renamed)).isEmpty();
        }
    }

    @Test
    void onlyADirectoryIsLocked() throws IOException {
        Path file = Files.createFile(directory.resolve("file"));

        assertThatThrownBy(() -> DirectoryLock.shared(file)).isInstanceOf(LinuxException.class);
        assertThatThrownBy(() -> DirectoryLock.shared(directory.resolve("none")))
                .isInstanceOfSatisfying(
                        LinuxException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ENOENT));
    }

    @Test
    void twoDirectoriesChangeNames() throws IOException {
        Path one = Files.createDirectory(directory.resolve("one"));
        Path other = Files.createDirectory(directory.resolve("other"));
        Files.createFile(one.resolve("was-one"));

        Durability.exchange(one, other);
        Durability.syncDirectory(directory);
        Durability.syncFileSystem(directory);

        assertThat(other.resolve("was-one")).exists();
        assertThat(one).isEmptyDirectory();
        assertThatThrownBy(() -> Durability.exchange(one, directory.resolve("none")))
                .isInstanceOf(LinuxException.class)
                .hasMessageContaining("exchange " + one);
    }
}
