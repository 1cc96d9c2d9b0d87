package dev.coldstart.restore.criu;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CriuLogTest {
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "(criu/files-reg.c:1790): Can't lookup mount=89 for fd=1 path=/run/c1.o | file /run/c1.o open as descriptor 1 | true",
                "(criu/sockets.c:628): sockets: Can't get 1:16 opt: Operation not supported | needs CRIU 4.2 | true",
                "(criu/cr-restore.c:1496): Can't fork for 7: File exists | process id | false",
                "(criu/mount.c:1243): mnt: No mapping for 1234:/data mountpoint | 1234:/data has no counterpart | true",
                "(criu/files-reg.c:2278): File srv/log has bad size 10 (expect 1235) | file srv/log is not the one | true",
                "(criu/pagemap.c:10): write: No space left on device | disk is full | false",
                "(criu/files-reg.c:2222): Can't open file srv/x on restore: No such file or directory | srv/x, open when | true",
                "(criu/never.c:1): something new | CRIU says: something new. | true"
            })
    void theCauseIsOneSentence(String error, String part, boolean lasting) {
        String log = "(00.000826) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: EPERM\n"
                + "(00.01) Error " + error + "\n(00.02) Error (criu/cr-dump.c:2111): Dumping FAILED.\n";

        assertThat(CriuLog.cause(log)).hasValueSatisfying(cause -> {
            assertThat(cause.sentence()).contains(part).endsWith(".");
            assertThat(cause.lasting()).isEqualTo(lasting);
        });
    }

    @Test
    void theEndOfALargeLogIsRead(@TempDir Path directory) throws IOException {
        Path log = directory.resolve("dump.log");
        Files.writeString(log, "x\n".repeat(1 << 20) + "(1.0) Error (criu/a.c:1): the cause\n");

        assertThat(CriuLog.cause(log)).map(CriuLog.Cause::sentence).hasValue("CRIU says: the cause.");
    }

    @Test
    void noLogAndNoErrorTellNothing(@TempDir Path directory) {
        assertThat(CriuLog.cause(directory.resolve("none"))).isEmpty();
        assertThat(CriuLog.cause("(0.1) all well\n")).isEmpty();
    }
}
