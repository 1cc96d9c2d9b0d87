package dev.coldstart.shim;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.PidFd;
import dev.coldstart.linux.Spawn;
import dev.coldstart.shim.process.Child;
import dev.coldstart.shim.process.Children;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The pool's keeper and the script that takes from it, with scripts in the places of the JVMs: real ones take seconds. */
@Timeout(120)
class PoolTest {
    private static final Path SCRIPTS = Path.of("../deploy/bin");
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int SIGKILL = 9;
    private static final int SIGTERM = 15;
    private static final int SIGSTOP = 19;

    /** What waits in a pool: takes the request, and keeps what it says. */
    private static final String WAITING = """
            exec 6<>"$1/$$.in" 7<>"$1/$$.out"
            : >"$1/$$.ready"
            echo ready >"$1/wake"
            while read -r line && [ "$line" != . ]; do echo "$line" >>"$2/request"; done <&6
            read -r caller <"$2/request"
            cat "/proc/$caller/fd/8" >"$2/options"
            rm -f "$1/$$.ready" "$1/$$.in" "$1/$$.out" "$1/$$.claim"
            echo "unix://$1/warm" >&7
            exec 6<&- 7<&-
            echo taken >"$1/wake"
            sleep 60
            """;

    @TempDir
    Path directory;

    private Path home;
    private Path pool;
    private Path bundle;
    private final Set<Integer> started = new HashSet<>();

    @BeforeEach
    void install() throws IOException {
        home = Files.createDirectories(directory.resolve("opt"));
        pool = directory.resolve("pool");
        bundle = Files.createDirectories(directory.resolve("bundle"));
        Files.writeString(bundle.resolve("config.json"), "{\"annotations\":{}}");
        Files.createDirectories(home.resolve("bin"));
        for (String name : List.of("containerd-shim-coldstart-v1", "coldstart-shim-pool")) {
            Files.copy(SCRIPTS.resolve(name), home.resolve("bin").resolve(name), StandardCopyOption.COPY_ATTRIBUTES);
        }
        // A shell in the JVM's place, so that it is of this installation.
        Path java = Files.createDirectories(home.resolve("runtime/bin")).resolve("java");
        Files.copy(Path.of("/bin/dash"), java, StandardCopyOption.COPY_ATTRIBUTES);
        Files.writeString(home.resolve("waiting"), WAITING);
        settings(2);
    }

    private void settings(int size) throws IOException {
        Path shim = home.resolve("bin/coldstart-shim");
        Files.writeString(shim, """
                #!/bin/sh
                home=%s
                case $1 in
                    -pool-settings) echo "size=%d ceiling=1000000" ;;
                    -pool) exec "$home/runtime/bin/java" "$home/waiting" "$2" %s ;;
                    *) echo unix://cold ;;
                esac
                """.formatted(home, size, directory));
        Files.setPosixFilePermissions(shim, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    /** Nothing that a test started stays, also when it failed. */
    @AfterEach
    void end() throws Exception {
        try (Stream<Path> processes = Files.list(Path.of("/proc"))) {
            for (Path process : processes.toList()) {
                try {
                    if (Files.readSymbolicLink(process.resolve("exe")).startsWith(directory)) {
                        signal(Integer.parseInt(process.getFileName().toString()), SIGKILL);
                    }
                } catch (IOException e) {
                    // Not a process, or none any more.
                }
            }
        }
        for (int pid : started) {
            signal(pid, SIGKILL);
        }
    }

    private static void signal(int pid, int signal) throws IOException {
        try (PidFd process = PidFd.open(pid)) {
            process.signal(signal);
        } catch (IOException e) {
            // It has ended.
        }
    }

    private Map<String, String> environment() {
        Map<String, String> environment = new HashMap<>(System.getenv());
        environment.put("COLDSTART_POOL", pool.toString());
        environment.put("COLDSTART_POOL_LIMIT", "2");
        environment.put("COLDSTART_SOCKETS", directory.resolve("s").toString());
        return environment;
    }

    private Child keep() throws IOException {
        Child keeper = Children.reaper()
                .spawn(new Spawn(List.of(
                                "dash", home.resolve("bin/coldstart-shim-pool").toString()))
                        .environment(environment()));
        started.add(keeper.pid());
        return keeper;
    }

    private String start(String id) throws Exception {
        Path out = directory.resolve("out-" + id);
        Path in = Files.writeString(directory.resolve("in"), "options");
        try (Descriptor input = Descriptor.open(in.toString(), Descriptor.O_RDONLY, 0);
                Descriptor output = Descriptor.open(out.toString(), Descriptor.O_CREAT | Descriptor.O_WRONLY, 0600)) {
            List<String> command = List.of(
                    "dash",
                    home.resolve("bin/containerd-shim-coldstart-v1").toString(),
                    "-namespace",
                    "ns",
                    "-id",
                    id,
                    "-address",
                    "/run/c.sock",
                    "start");
            Children.reaper()
                    .spawn(new Spawn(command)
                            .environment(environment())
                            .directory(bundle)
                            .descriptor(0, input)
                            .descriptor(1, output))
                    .awaitOrKill(LIMIT);
        }
        return Files.readString(out).strip();
    }

    private List<Integer> ready() {
        return files(".ready").stream()
                .map(name -> Integer.parseInt(name.substring(0, name.indexOf('.'))))
                .toList();
    }

    private List<String> files(String suffix) {
        try (Stream<Path> all = Files.list(pool)) {
            return all.map(path -> path.getFileName().toString())
                    .filter(name -> name.endsWith(suffix))
                    .sorted()
                    .toList();
        } catch (IOException e) {
            return List.of();
        }
    }

    private static void await(BooleanSupplier condition) throws InterruptedException {
        long end = System.nanoTime() + LIMIT.toNanos();
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).as("within a minute").isLessThan(end);
            Thread.sleep(20);
        }
    }

    private static boolean alive(int pid) {
        try {
            return !Files.readString(Path.of("/proc/" + pid + "/stat")).contains(") Z ");
        } catch (IOException e) {
            return false;
        }
    }

    @Test
    void aStartTakesOneThatWaitsAndThePoolFillsUpAgain() throws Exception {
        keep();
        await(() -> ready().size() == 2);
        List<Integer> before = ready();
        assertThat(start("one")).isEqualTo("unix://" + pool + "/warm");
        assertThat(directory.resolve("options")).hasContent("options");
        assertThat(Files.readAllLines(directory.resolve("request")).subList(1, 5))
                .containsExactly("ns", "one", "/run/c.sock", directory.resolve("s") + "/");
        await(() -> ready().size() == 2 && !ready().equals(before));
        assertThat(before.stream().filter(pid -> !ready().contains(pid)))
                .singleElement()
                .satisfies(taken -> assertThat(alive(taken)).isTrue());
        assertThat(files(".in")).hasSize(2);
        assertThat(files(".claim")).isEmpty();
    }

    @Test
    void aShimThatDoesNotAnswerIsEndedAndAnotherStarted() throws Exception {
        settings(1);
        Child keeper = keep();
        await(() -> ready().size() == 1);
        int hung = ready().getFirst();
        keeper.signal(SIGKILL);
        signal(hung, SIGSTOP);
        assertThat(start("one")).isEqualTo("unix://cold");
        await(() -> !alive(hung));
        // What it left is not taken for one that waits, and the next keeper removes it.
        assertThat(start("two")).isEqualTo("unix://cold");
        keep();
        await(() -> ready().size() == 1 && !ready().contains(hung));
        await(() -> files(".claim").isEmpty());
        assertThat(start("three")).isEqualTo("unix://" + pool + "/warm");
    }

    @Test
    void aClaimedShimIsNotTakenTwice() throws Exception {
        settings(1);
        keep();
        await(() -> ready().size() == 1);
        Files.createFile(pool.resolve(ready().getFirst() + ".claim"));
        assertThat(start("one")).isEqualTo("unix://cold");
        assertThat(directory.resolve("request")).doesNotExist();
    }

    @Test
    void theNextKeeperTakesOverWhatWaitsAndTheEndOfOneEndsIt() throws Exception {
        Child first = keep();
        await(() -> ready().size() == 2);
        List<Integer> waiting = ready();
        first.signal(SIGKILL);
        Child second = keep();
        await(() -> Files.exists(pool.resolve("home")));
        int gone = waiting.getFirst();
        signal(gone, SIGKILL);
        // A wake makes it look.
        Files.writeString(pool.resolve("wake"), "tick\n");
        await(() -> ready().size() == 2 && !ready().contains(gone));
        assertThat(ready()).contains(waiting.getLast());
        List<Integer> last = ready();
        second.signal(SIGTERM);
        assertThat(second.await(LIMIT))
                .hasValueSatisfying(exit -> assertThat(exit.status()).isZero());
        await(() -> last.stream().noneMatch(PoolTest::alive));
        assertThat(files(".ready")).isEmpty();
        assertThat(files(".in")).isEmpty();
    }

    @Test
    void aPoolOfNoneEndsByItself() throws Exception {
        settings(0);
        assertThat(keep().await(LIMIT))
                .hasValueSatisfying(exit -> assertThat(exit.status()).isZero());
        assertThat(start("one")).isEqualTo("unix://cold");
    }
}
