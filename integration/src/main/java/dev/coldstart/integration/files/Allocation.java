package dev.coldstart.integration.files;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.TestHost;
import dev.coldstart.integration.node.Agent;
import java.util.HashMap;
import java.util.Locale;
import java.util.LongSummaryStatistics;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What the threads of the remote tier allocate, by the flight recorder of a full JDK that runs the same jars: the event
 * jdk.ThreadAllocationStatistics gives each thread's sum at the begin and the end of a recording.
 */
final class Allocation {
    private static final int WARM_UP = 200_000;
    private static final int READS = 300_000;
    private static final int REOPENS = 100_000;
    private static final String PROGRAM = "/var/lib/bench/coldstart-snapshotter-with-jdk";
    private static final Pattern EVENT =
            Pattern.compile("\"allocated\": ([0-9]+),[^}]*?\"javaName\": \"(fuse-[0-9]+)\"");

    private final Roots roots;

    Allocation(Roots roots) {
        this.roots = roots;
    }

    /**
     * Bytes allocated by the threads that take requests.
     *
     * @param perRead of an open file
     * @param perOpenAndRead for open, read, close
     */
    record Result(double perRead, double perOpenAndRead) {
        String text() {
            return String.format(
                    Locale.ROOT,
                    "allocated by the remote tier's threads: %.3f bytes per read of an open file (%d reads),"
                            + " %.0f bytes per open + read + close (%d)",
                    perRead,
                    READS,
                    perOpenAndRead,
                    REOPENS);
        }
    }

    Result measure() {
        TestHost host = roots.node().host();
        Agent agent = roots.partial();
        agent.stop();
        host.script(TestHost.SOON, """
                sed -e 's|"$home/runtime/bin/java"|/opt/jdk/bin/java|' -e 's| "-XX:AOTCache=[^"]*"||' \\
                    -e 's|^self=.*|self=/opt/coldstart/bin/coldstart-snapshotter|' \\
                    /opt/coldstart/bin/coldstart-snapshotter >"$1"
                chmod 755 "$1"
                """, PROGRAM);
        agent.start(PROGRAM);
        roots.bringPartialHere();
        load("reads", WARM_UP);
        load("reopens", WARM_UP);
        return new Result(allocated("reads", READS) / (double) READS, allocated("reopens", REOPENS) / (double) REOPENS);
    }

    private void load(String workload, int count) {
        roots.node()
                .host()
                .script(
                        Roots.LONG,
                        "fileload run \"$1\" /var/lib/bench/files \"$2\" \"$3\" >/dev/null",
                        Way.PARTIAL.root(),
                        workload,
                        Integer.toString(count));
    }

    private long allocated(String workload, int count) {
        jcmd("JFR.start", "name=reads");
        load(workload, count);
        jcmd("JFR.stop", "name=reads", "filename=/var/lib/bench/reads.jfr");
        String events = roots.node()
                .host()
                .ask(
                        "/opt/jdk/bin/jfr",
                        "print",
                        "--json",
                        "--events",
                        "jdk.ThreadAllocationStatistics",
                        "/var/lib/bench/reads.jfr");
        // A thread's sum only grows: the events need no order.
        Map<String, LongSummaryStatistics> sums = new HashMap<>();
        Matcher matcher = EVENT.matcher(events);
        while (matcher.find()) {
            sums.computeIfAbsent(matcher.group(2), key -> new LongSummaryStatistics())
                    .accept(Long.parseLong(matcher.group(1)));
        }
        if (sums.values().stream().noneMatch(sum -> sum.getCount() > 1)) {
            throw new HostException("the flight recorder did not see the threads of the remote tier twice");
        }
        return sums.values().stream()
                .mapToLong(sum -> sum.getMax() - sum.getMin())
                .sum();
    }

    private void jcmd(String... command) {
        String[] whole = new String[command.length + 2];
        whole[0] = "/opt/jdk/bin/jcmd";
        whole[1] = Integer.toString(roots.partial().pid());
        System.arraycopy(command, 0, whole, 2, command.length);
        String _ = roots.node().host().ask(whole);
    }
}
