package dev.coldstart.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class HostnameTest {
    @Test
    void anotherNamespacesHostNameAndLoopbackAreSet() throws Exception {
        assumeTrue(System.getProperty("user.name", "").equals("root"), "entering a network namespace needs root");
        Process inside = new ProcessBuilder(
                        "unshare",
                        "-n",
                        "-u",
                        "sh",
                        "-c",
                        "echo in; read line; hostname; grep 127.0.0.1 /proc/net/fib_trie")
                .start();
        try (var in = inside.inputReader(StandardCharsets.US_ASCII);
                var out = inside.outputWriter(StandardCharsets.US_ASCII)) {
            assertThat(in.readLine()).isEqualTo("in");

            Loopback.up(Path.of("/proc/" + inside.pid() + "/ns/net"));

            Hostname.set(Path.of("/proc/" + inside.pid() + "/ns/uts"), "restored-1");

            out.write("\n");
            out.flush();
            assertThat(in.readLine()).isEqualTo("restored-1");
            assertThat(in.readLine()).contains("127.0.0.1");
        } finally {
            inside.destroyForcibly().waitFor();
        }
    }
}
