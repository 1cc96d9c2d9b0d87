package dev.coldstart.shim.runc;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class SealedRuntimeTest {
    @TempDir
    Path directory;

    private Path pool;
    private Path runtime;
    private String path;

    @BeforeEach
    void install() throws Exception {
        pool = Files.createDirectory(directory.resolve("pool"));
        Path first = Files.createDirectory(directory.resolve("first"));
        Path second = Files.createDirectory(directory.resolve("second"));
        runtime = install(second.resolve("runc"), "1");
        path = first + ":" + second;
    }

    private static Path install(Path file, String version) throws Exception {
        Path fresh = Files.writeString(file.resolveSibling("fresh"), "version " + version);
        Files.setPosixFilePermissions(fresh, PosixFilePermissions.fromString("rwxr-xr-x"));
        Files.deleteIfExists(file);
        return Files.move(fresh, file);
    }

    @Test
    void withoutAPoolTheRuntimeIsWhereItsPathSays() {
        SealedRuntime none = new SealedRuntime(directory.resolve("none"));
        assertThat(none.find("runc", path)).isEqualTo(runtime.toString());
        assertThat(none.find(runtime.toString(), "")).isEqualTo(runtime.toString());
        assertThat(none.find("crun", path)).isEqualTo("crun");
        assertThat(none.find("./runc", path)).isEqualTo("./runc");
    }

    @Test
    void allShimsExecuteTheCopyThatOneHasMade() throws Exception {
        SealedRuntime maker = new SealedRuntime(pool);
        maker.provide("runc", path);
        SealedRuntime other = new SealedRuntime(pool);
        assertThat(Path.of(other.find("runc", path)))
                .startsWithRaw(Path.of("/proc"))
                .hasContent("version 1");
        assertThat(Path.of(other.find(runtime.toString(), ""))).startsWithRaw(Path.of("/proc"));
        Path link = Files.readSymbolicLink(pool.resolve("runtime"));
        new SealedRuntime(pool).provide("runc", path);
        assertThat(pool.resolve("runtime")).isSymbolicLink();
        assertThat(Files.readSymbolicLink(pool.resolve("runtime"))).isEqualTo(link);
    }

    @Test
    void anotherRuntimeThanTheOneThatWasCopiedIsExecutedItself() throws Exception {
        SealedRuntime shim = new SealedRuntime(pool);
        shim.provide("runc", path);
        assertThat(shim.find("runc", path)).startsWith("/proc/");
        install(runtime, "2");
        assertThat(shim.find("runc", path)).isEqualTo(runtime.toString());
        Path nearer = install(directory.resolve("first/runc"), "3");
        assertThat(new SealedRuntime(pool).find("runc", path)).isEqualTo(nearer.toString());
        shim.provide(runtime.toString(), "");
        assertThat(Path.of(new SealedRuntime(pool).find(runtime.toString(), "")))
                .hasContent("version 2");
    }

    @Test
    void whereFilesInMemoryAreNotExecutedNoneIs() throws Exception {
        SealedRuntime shim = new SealedRuntime(pool);
        shim.provide("runc", path);
        shim.forbid();
        assertThat(shim.find("runc", path)).isEqualTo(runtime.toString());
    }
}
