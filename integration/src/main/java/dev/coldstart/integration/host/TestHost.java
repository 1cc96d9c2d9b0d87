package dev.coldstart.integration.host;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;

/** A running test host; closing it destroys it with all that runs in it. */
public final class TestHost implements AutoCloseable {
    /** For commands that only look or set. */
    public static final Duration SOON = Duration.ofSeconds(60);

    /** Of the times that the kernel tells programs (USER_HZ). */
    private static final double TICKS_PER_SECOND = 100;

    private final Repository repository;
    private final String name;
    private final Suite suite;

    private TestHost(Repository repository, String name, Suite suite) {
        this.repository = repository;
        this.name = name;
        this.suite = suite;
    }

    /**
     * A directory of this machine that a host sees, read-only.
     *
     * @param source on this machine
     * @param target in the host
     */
    public record Bind(Path source, String target) {}

    /**
     * Makes a host, building its root first where that was never done. One of that name whose process of tests was killed
     * makes room for it.
     *
     * @param name up to eleven of a-z, 0-9 and -
     */
    public static TestHost create(Repository repository, String name, Suite suite, List<Bind> binds) {
        return create(repository, name, suite, "runtime", binds);
    }

    /**
     * Makes a host of a root with more in it.
     *
     * @param flavour as {@code integration/testhost} knows it
     */
    public static TestHost create(Repository repository, String name, Suite suite, String flavour, List<Bind> binds) {
        List<String> command = new ArrayList<>(List.of("create", name));
        command.addAll(List.of("--suite", suite.codename(), "--flavour", flavour));
        command.addAll(List.of("--owner", Long.toString(ProcessHandle.current().pid())));
        for (Bind bind : binds) {
            command.add("--bind");
            command.add(bind.source() + ":" + bind.target() + ":ro");
        }
        expectSuccess(command, testhost(repository, command, "", Duration.ofMinutes(10)));
        return new TestHost(repository, name, suite);
    }

    public String name() {
        return name;
    }

    public Suite suite() {
        return suite;
    }

    /** Runs a command to its end. */
    public Output run(Duration limit, String... command) {
        return exec(List.of(command), "", limit);
    }

    /** Runs a command that must succeed; gives what it printed. */
    public String ask(String... command) {
        return expectSuccess(List.of(command), run(SOON, command)).out();
    }

    /** Runs a bash script that must succeed; gives what it printed. */
    public String script(Duration limit, String script, String... arguments) {
        List<String> command = new ArrayList<>(List.of("bash", "-s", "--"));
        command.addAll(List.of(arguments));
        return expectSuccess(command, exec(command, script, limit)).out();
    }

    /**
     * Starts a program in the background.
     *
     * @return its pid, as the host counts
     */
    public int spawn(String log, String... command) {
        List<String> whole = new ArrayList<>(List.of("spawn", name, log));
        whole.addAll(List.of(command));
        Output output = expectSuccess(whole, testhost(repository, whole, "", SOON));
        return Integer.parseInt(output.out());
    }

    /** Asks a program to end, and ends it by force if it does not within 20 s. */
    public void stop(int pid) {
        requireProcess(pid);
        script(Duration.ofSeconds(40), """
                kill "$1" 2>/dev/null || exit 0
                for _ in $(seq 200); do
                    state=$(awk '/^State/ { print $2 }' "/proc/$1/status" 2>/dev/null) || exit 0
                    [ "$state" != Z ] || exit 0
                    sleep 0.1
                done
                kill -9 "$1" 2>/dev/null || true
                """, Integer.toString(pid));
    }

    /** Ends a process at once. */
    public void kill(int pid) {
        requireProcess(pid);
        run(SOON, "kill", "-9", Integer.toString(pid));
    }

    /** To kill(1) zero is the caller's own group, in which these tests run, and -1 all there is. */
    private void requireProcess(int pid) {
        if (pid <= 1) {
            throw new HostException(pid + " is no process in the host " + name + " that can be ended");
        }
    }

    public void write(String path, String text) {
        List<String> command = List.of("sh", "-c", "mkdir -p \"$(dirname \"$1\")\" && cat >\"$1\"", "-", path);
        expectSuccess(command, exec(command, text, SOON));
    }

    /**
     * Connects the two hosts; each finds the other by its name.
     *
     * @param rate in both directions, as tc writes it
     */
    public void link(TestHost other, String rate) {
        List<String> command = List.of("link", name, other.name, "--rate", rate);
        expectSuccess(command, testhost(repository, command, "", SOON));
    }

    /**
     * Changes the rate of a link that has one.
     *
     * @param rate in both directions, as tc writes it
     */
    public void shape(TestHost other, String rate) {
        List<String> command = List.of("shape", name, other.name, rate);
        expectSuccess(command, testhost(repository, command, "", SOON));
    }

    /** Connects the two hosts as fast as the machine can; each finds the other by its name. */
    public void link(TestHost other) {
        List<String> command = List.of("link", name, other.name);
        expectSuccess(command, testhost(repository, command, "", SOON));
    }

    /** Waits until something holds, looking ten times a second. */
    public void await(String what, Duration limit, BooleanSupplier condition) {
        long end = System.nanoTime() + limit.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new HostException("waited " + limit.toSeconds() + " s in the host " + name + " for " + what);
            }
            try {
                Thread.sleep(100);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new HostException("interrupted while waiting for " + what, e);
            }
        }
    }

    /** Bytes that arrived so far from a linked host. */
    public long bytesFrom(TestHost other) {
        return Long.parseLong(ask("cat", "/sys/class/net/to-" + other.name + "/statistics/rx_bytes"));
    }

    /** Processor seconds that a process and the children it waited for have taken so far; 0 if it is not there. */
    public double processorSeconds(int pid) {
        Output stat = run(SOON, "cat", "/proc/" + pid + "/stat");
        if (!stat.succeeded()) {
            return 0;
        }
        // The name in parentheses may hold blanks; utime, stime, cutime and cstime are the 12th to 15th field after it.
        String[] fields = stat.out().substring(stat.out().lastIndexOf(')') + 2).split(" ", -1);
        long ticks = 0;
        for (int i = 11; i < 15; i++) {
            ticks += Long.parseLong(fields[i]);
        }
        return ticks / TICKS_PER_SECOND;
    }

    @Override
    public void close() {
        List<String> command = List.of("destroy", name);
        expectSuccess(command, testhost(repository, command, "", Duration.ofMinutes(2)));
    }

    private Output exec(List<String> command, String input, Duration limit) {
        List<String> whole = new ArrayList<>(List.of("exec", name));
        whole.addAll(command);
        return testhost(repository, whole, input, limit);
    }

    private static Output testhost(Repository repository, List<String> arguments, String input, Duration limit) {
        List<String> command =
                new ArrayList<>(List.of(repository.script("testhost").toString()));
        command.addAll(arguments);
        return Commands.run(command, input, limit);
    }

    private static Output expectSuccess(List<String> command, Output output) {
        if (!output.succeeded()) {
            throw new HostException("'" + String.join(" ", command) + "' ended with " + output.status() + ": "
                    + output.err() + (output.out().isEmpty() ? "" : " (it printed: " + output.out() + ")"));
        }
        return output;
    }
}
