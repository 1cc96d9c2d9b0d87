package dev.coldstart.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileCopyTest {
    @TempDir
    Path directory;

    private static long kibOnDisk(Path file) throws IOException, InterruptedException {
        Process du = new ProcessBuilder("du", "-k", file.toString()).start();
        String output = new String(du.getInputStream().readAllBytes(), StandardCharsets.US_ASCII);
        du.waitFor();
        return Long.parseLong(output.split("\t", 2)[0]);
    }

    @Test
    void bytesAndHolesAreTheSame() throws Exception {
        Path from = directory.resolve("from");
        Random random = new Random(3);
        byte[] data = new byte[100_000];
        random.nextBytes(data);
        try (FileChannel channel = FileChannel.open(from, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.wrap(data), 5 << 20);
            channel.write(ByteBuffer.wrap(data), 40 << 20);
            channel.write(ByteBuffer.wrap(new byte[1]), (60 << 20) - 1);
        }
        Path to = directory.resolve("to");

        FileCopy.copy(from, to);

        assertThat(Files.mismatch(from, to)).isEqualTo(-1);
        assertThat(kibOnDisk(to)).isLessThan(1024);
    }

    @Test
    void anEmptyFileAndOneOfATmpfsAreCopied() throws Exception {
        Path empty = Files.createFile(directory.resolve("empty"));
        FileCopy.copy(empty, directory.resolve("empty2"));
        assertThat(directory.resolve("empty2")).isEmptyFile();

        Path shm = Path.of("/dev/shm");
        assumeTrue(Files.isWritable(shm), "a second file system needs /dev/shm");
        Path from = Files.createTempFile(shm, "copy", "");
        try {
            byte[] data = new byte[3 << 20];
            new Random(5).nextBytes(data);
            Files.write(from, data);
            FileCopy.copy(from, directory.resolve("across"));
            assertThat(directory.resolve("across")).hasBinaryContent(data);
        } finally {
            Files.delete(from);
        }
    }

    @Test
    void linksAreNotFollowedAndNothingIsOverwritten() throws IOException {
        Path file = Files.writeString(directory.resolve("file"), "x");
        Path link = Files.createSymbolicLink(directory.resolve("link"), file);

        assertThatThrownBy(() -> FileCopy.copy(link, directory.resolve("new")))
                .isInstanceOf(LinuxException.class)
                .hasMessageContaining("open " + link);
        assertThatThrownBy(() -> FileCopy.copy(file, link)).isInstanceOf(LinuxException.class);
    }

    @Test
    void attributesOfAnyNameAreReadAndSet() throws Exception {
        // A name that is no text in any locale; only the kernel's bytes name it.
        Process touch = new ProcessBuilder("sh", "-c", "touch \"$(printf 'n\\377%%41')\"")
                .directory(directory.toFile())
                .start();
        assertThat(touch.waitFor()).isZero();
        Path file;
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory)) {
            file = files.iterator().next();
        }
        try {
            Xattr.set(file, "user.coldstart", new byte[] {1, 0, 2});
        } catch (LinuxException e) {
            assumeTrue(e.errno() != Errno.EOPNOTSUPP, "this file system has no user attributes");
            throw e;
        }

        assertThat(Xattr.list(file)).containsExactly("user.coldstart");
        assertThat(Xattr.get(file, "user.coldstart")).containsExactly(1, 0, 2);
        assertThatThrownBy(() -> Xattr.get(file, "user.none"))
                .isInstanceOfSatisfying(
                        LinuxException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ENODATA));
    }
}
