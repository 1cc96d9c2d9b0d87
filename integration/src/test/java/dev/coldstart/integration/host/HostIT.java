package dev.coldstart.integration.host;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class HostIT {
    private static final Repository REPOSITORY = Repository.here();

    @BeforeAll
    static void needsRoot() {
        Root.assume();
    }

    @Test
    void leavesNothingBehind() throws IOException {
        try (TestHost host = TestHost.create(REPOSITORY, "t-first", Suite.TRIXIE, List.of())) {
            host.ask("true");
        }
        List<String> before = traces();
        for (int i = 0; i < 20; i++) {
            try (TestHost one = TestHost.create(REPOSITORY, "t-one", Suite.TRIXIE, List.of());
                    TestHost other = TestHost.create(REPOSITORY, "t-other", Suite.TRIXIE, List.of())) {
                one.link(other, "1gbit");
                one.spawn("/var/log/sleep.log", "sleep", "1000");
                other.script(TestHost.SOON, "mount -t tmpfs tmpfs /mnt; mkdir /sys/fs/cgroup/*/inner; true");
            }
        }
        assertThat(traces()).isSubsetOf(before);
    }

    @Test
    void aHostThatWasKilledIsCleanedUp() throws IOException {
        List<String> before = traces();
        TestHost host = TestHost.create(REPOSITORY, "t-killed", Suite.TRIXIE, List.of());
        killPidOne("t-killed");
        host.close();
        assertThat(traces()).isSubsetOf(before);
    }

    @Test
    void aHostThatIsDeadMakesRoom() throws IOException {
        List<String> before = traces();
        TestHost.create(REPOSITORY, "t-dead", Suite.TRIXIE, List.of());
        killPidOne("t-dead");
        try (TestHost next = TestHost.create(REPOSITORY, "t-dead", Suite.TRIXIE, List.of())) {
            next.ask("true");
        }
        assertThat(traces()).isSubsetOf(before);
    }

    @Test
    void aHostMakesRoomOnceItsOwnerIsDead() throws IOException, InterruptedException {
        List<String> before = traces();
        Process owner = new ProcessBuilder("sleep", "1000").start();
        try {
            testhost("create", "t-orphan", "--owner", Long.toString(owner.pid()));
            assertThatThrownBy(() -> TestHost.create(REPOSITORY, "t-orphan", Suite.TRIXIE, List.of()))
                    .hasMessageContaining("a host 't-orphan' exists");
        } finally {
            owner.destroyForcibly().waitFor();
        }
        try (TestHost next = TestHost.create(REPOSITORY, "t-orphan", Suite.TRIXIE, List.of())) {
            next.ask("true");
        }
        assertThat(traces()).isSubsetOf(before);
    }

    @Test
    void passesInputOutputAndExitStatusOn() {
        try (TestHost host = TestHost.create(REPOSITORY, "t-pass", Suite.TRIXIE, List.of())) {
            Output output = host.run(TestHost.SOON, "sh", "-c", "echo out; echo err >&2; exit 7");
            assertThat(output).isEqualTo(new Output(7, "out", "err"));
            host.write("/root/file", "two\nlines\n");
            assertThat(host.ask("cat", "/root/file")).isEqualTo("two\nlines");
            assertThatThrownBy(() -> host.ask("false")).isInstanceOf(HostException.class);
        }
    }

    @Test
    void checkpointsAndRestoresAContainer() {
        try (TestHost host = TestHost.create(REPOSITORY, "t-criu", Suite.TRIXIE, List.of())) {
            host.ask("criu", "check");
            String printed = host.script(Duration.ofMinutes(2), """
                    set -e
                    mkdir -p /var/lib/c/rootfs/proc && cd /var/lib/c
                    for file in /usr/bin/sleep $(ldd /usr/bin/sleep | grep -o '/[^ ]*'); do
                        mkdir -p "rootfs$(dirname $file)" && cp -L "$file" "rootfs$file"
                    done
                    runc spec
                    sed -i 's/"terminal": true/"terminal": false/; s/"readonly": true/"readonly": false/; s/"sh"/"\\/usr\\/bin\\/sleep", "1000"/' config.json
                    runc run -d c </dev/null >/dev/null 2>&1
                    runc checkpoint --leave-running --image-path image --work-path work c
                    runc delete -f c
                    runc restore -d --image-path image --work-path work c </dev/null >/dev/null 2>&1
                    runc state c | grep -o running
                    runc delete -f c
                    """);
            assertThat(printed).isEqualTo("running");
        }
    }

    @Test
    void aBadNameIsRefusedBeforeAnythingIsMade() {
        assertThatThrownBy(() -> TestHost.create(REPOSITORY, "../up", Suite.TRIXIE, List.of()))
                .hasMessageContaining("is no name for a host");
    }

    private static void killPidOne(String name) {
        long pid = Long.parseLong(testhost("pid", name).out());
        ProcessHandle.of(pid).orElseThrow().destroyForcibly();
    }

    private static Output testhost(String... arguments) {
        List<String> command =
                new ArrayList<>(List.of(REPOSITORY.script("testhost").toString()));
        command.addAll(List.of(arguments));
        Output output = Commands.run(command, "", TestHost.SOON);
        assertThat(output.status()).as(output.err()).isZero();
        return output;
    }

    /** Whatever a test host named t-… could leave on this machine. */
    private static List<String> traces() throws IOException {
        List<String> traces = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of("/proc/self/mountinfo"))) {
            if (line.contains("testhost-t-")) {
                traces.add("mount " + line);
            }
        }
        add(traces, Path.of("/sys/class/net"), 1, "to-t-");
        add(traces, Path.of("/sys/fs/cgroup"), 4, "t-");
        add(traces, Path.of("/run/coldstart-testhost"), 1, "t-");
        ProcessHandle.allProcesses()
                .filter(process -> inHost(process.pid()))
                .forEach(process -> traces.add("process " + process.pid()));
        return traces;
    }

    private static void add(List<String> traces, Path directory, int depth, String prefix) throws IOException {
        if (Files.isDirectory(directory)) {
            try (Stream<Path> found = Files.find(
                    directory,
                    depth,
                    (path, attributes) -> path.getFileName().toString().startsWith(prefix))) {
                found.sorted().forEach(path -> traces.add(path.toString()));
            }
        }
    }

    /** A process in a host, or that only holds on to the host's mounts. */
    private static boolean inHost(long pid) {
        try {
            return Files.readString(Path.of("/proc/" + pid + "/mountinfo")).contains("testhost-t-");
        } catch (IOException e) {
            return false;
        }
    }
}
