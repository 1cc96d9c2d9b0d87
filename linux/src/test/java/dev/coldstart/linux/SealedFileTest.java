package dev.coldstart.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class SealedFileTest {
    @Test
    void hasTheSameBytesAndNobodyCanChangeThem(@TempDir Path directory) throws Exception {
        byte[] bytes = new byte[5_000_000];
        new Random(1).nextBytes(bytes);
        Path file = Files.write(directory.resolve("file"), bytes);
        try (SealedFile sealed = SealedFile.copyOf(file, "copy")) {
            assertThat(Files.readAllBytes(sealed.path())).isEqualTo(bytes);
            assertThatThrownBy(() -> Files.write(sealed.path(), new byte[1], StandardOpenOption.WRITE))
                    .isInstanceOf(IOException.class);
            assertThatThrownBy(() -> Files.write(sealed.path(), new byte[1], StandardOpenOption.APPEND))
                    .isInstanceOf(IOException.class);
            assertThat(Files.readAllBytes(sealed.path())).isEqualTo(bytes);
        }
    }

    @Test
    void isOpenedByItsNameOnly(@TempDir Path directory) throws Exception {
        Path file = Files.writeString(directory.resolve("file"), "bytes");
        try (SealedFile sealed = SealedFile.copyOf(file, "copy 1")) {
            Path link = Files.createSymbolicLink(directory.resolve("link"), sealed.path());
            try (SealedFile again = SealedFile.open(link, "copy 1").orElseThrow()) {
                assertThat(again.path()).isNotEqualTo(sealed.path()).hasContent("bytes");
            }
            assertThat(SealedFile.open(link, "copy")).isEmpty();
        }
        assertThat(SealedFile.open(directory.resolve("link"), "copy 1")).isEmpty();
        assertThat(SealedFile.open(file, file.toString())).isEmpty();
    }

    @Test
    void canBeExecuted() throws Exception {
        try (SealedFile sealed = SealedFile.copyOf(Path.of("/bin/sh"), "sh")) {
            int pid = new Spawn(List.of("sh", "-c", "exit 7"))
                    .executable(sealed.path().toString())
                    .start();
            Optional<Waiting.Exit> exit = Waiting.reap(pid);
            while (exit.isEmpty()) {
                Thread.sleep(10);
                exit = Waiting.reap(pid);
            }
            assertThat(exit.get().status()).isEqualTo(7);
        }
    }

    @Test
    void saysWhatCannotBeCopied(@TempDir Path directory) {
        Path missing = directory.resolve("missing");
        assertThatThrownBy(() -> SealedFile.copyOf(missing, "copy"))
                .isInstanceOf(LinuxException.class)
                .hasMessageContaining(missing.toString());
    }
}
