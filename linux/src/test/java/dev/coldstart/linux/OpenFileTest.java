package dev.coldstart.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OpenFileTest {
    @Test
    void anUnnamedFileBecomesVisibleWholeAndNeverReplacesAnother(@TempDir Path dir) throws Exception {
        Path name = dir.resolve("object");
        try (Arena arena = Arena.ofConfined();
                OpenFile first = OpenFile.unnamed(dir, 0444);
                OpenFile second = OpenFile.unnamed(dir, 0444)) {
            CallState state = new CallState(arena);
            first.write(state, arena.allocateFrom("first"), 0);
            first.truncate(state, 5);
            assertThat(dir).isEmptyDirectory();

            assertThat(first.link(state, name)).isTrue();
            assertThat(second.link(state, name)).isFalse();
            assertThat(name).hasContent("first");
        }
    }

    @Test
    void readsAtAnOffsetAndStopsAtTheEnd(@TempDir Path dir) throws Exception {
        Path path = Files.writeString(dir.resolve("file"), "0123456789");
        try (Arena arena = Arena.ofConfined();
                OpenFile file = OpenFile.forReading(path)) {
            CallState state = new CallState(arena);
            MemorySegment into = arena.allocate(8);
            assertThat(file.read(state, into, 8, 6)).isEqualTo(4);
            assertThat(into.get(ValueLayout.JAVA_BYTE, 0)).isEqualTo((byte) '6');
            assertThatThrownBy(() -> file.write(state, into, 0))
                    .isInstanceOf(LinuxException.class)
                    .hasMessageContaining("Bad file descriptor");
        }
        assertThatThrownBy(() -> OpenFile.forReading(dir.resolve("none")))
                .isInstanceOf(LinuxException.class)
                .hasMessageContaining("ENOENT");
    }

    @Test
    void aPunchedHoleReadsAsZerosAndTakesNoRoom(@TempDir Path dir) throws Exception {
        Path path = dir.resolve("file");
        try (Arena arena = Arena.ofConfined();
                OpenFile file = OpenFile.forWriting(path)) {
            CallState state = new CallState(arena);
            MemorySegment bytes = arena.allocate(1 << 20).fill((byte) 7);
            file.write(state, bytes, 0);
            file.sync(state);
            assertThat(FileAttributes.allocatedBytes(path)).isBetween(1L << 20, (1L << 20) + 65536);
            file.punchHole(state, 100_000, 800_000);
            assertThat(FileAttributes.allocatedBytes(path)).isBetween(200_000L, 400_000L);
            assertThat(file.read(state, bytes, 1 << 20, 0)).isEqualTo(1 << 20);
            assertThat(bytes.get(ValueLayout.JAVA_BYTE, 99_999)).isEqualTo((byte) 7);
            assertThat(bytes.get(ValueLayout.JAVA_BYTE, 100_000)).isZero();
            assertThat(bytes.get(ValueLayout.JAVA_BYTE, 899_999)).isZero();
            assertThat(bytes.get(ValueLayout.JAVA_BYTE, 900_000)).isEqualTo((byte) 7);
        }
    }
}
