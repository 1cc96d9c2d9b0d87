package dev.coldstart.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class LoopbackTest {
    @Test
    void theInterfaceOfANewNamespaceIsSetUp() throws Exception {
        assumeTrue(System.getProperty("user.name", "").equals("root"), "entering a network namespace needs root");
        Process inside = new ProcessBuilder(
                        "unshare", "-n", "sh", "-c", "echo in; read line; grep 127.0.0.1 /proc/net/fib_trie")
                .start();
        try (var in = inside.inputReader(StandardCharsets.US_ASCII);
                var out = inside.outputWriter(StandardCharsets.US_ASCII)) {
            assertThat(in.readLine()).isEqualTo("in");

            Loopback.up(Path.of("/proc/" + inside.pid() + "/ns/net"));

            out.write("\n");
            out.flush();
            assertThat(in.readLine()).contains("127.0.0.1");
        } finally {
            inside.destroyForcibly().waitFor();
        }
    }
}
