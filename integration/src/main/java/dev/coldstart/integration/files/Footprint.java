package dev.coldstart.integration.files;

import dev.coldstart.integration.host.TestHost;
import dev.coldstart.integration.node.Agent;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** The memory of a coldstart-snapshotter that has many images mounted and has served many reads. */
final class Footprint {
    /** containerd's name for the snapshotter that is measured. */
    static final String AGENT = "footprint";

    private static final int IMAGES = 50;
    private static final int FILES = 100_000;
    private static final int READS = 1_000_000;
    private static final int FILES_READ = 400;
    private static final Duration LONG = Duration.ofMinutes(10);

    private final Roots roots;
    private final Agent agent;

    Footprint(Roots roots) {
        this.roots = roots;
        this.agent = new Agent(roots.node(), AGENT, "");
    }

    /**
     * Memory of the process in MiB.
     *
     * @param resident VmRSS
     * @param proportional PSS
     */
    private record Memory(double resident, double proportional) {
        String text(String when) {
            return String.format(Locale.ROOT, "%s: VmRSS %.0f MiB, PSS %.0f MiB", when, resident, proportional);
        }
    }

    /** Mounts the images, reads, and says what that took of memory. */
    Result measure() {
        TestHost host = roots.node().host();
        agent.start();
        List<String> lines = new ArrayList<>();
        lines.add(memory().text("memory after the start"));
        for (int i = 1; i <= IMAGES; i++) {
            String image = roots.registry().push(host, "many-" + i, "manyfiles " + i + " " + FILES);
            agent.index(image);
            roots.pull(AGENT, image, "many-" + i);
            host.script(LONG, Roots.FUNCTIONS + "mount_remote \"$1\" \"/mnt/$2\" \"$2\"\n", AGENT, "many-" + i);
            if (i % 10 == 0) {
                System.err.println("fs: " + i + " of " + IMAGES + " images of " + FILES + " files are mounted");
            }
        }
        lines.add(memory().text(IMAGES + " images of " + FILES + " files indexed and mounted"));
        host.script(
                LONG, """
                set -euo pipefail
                fileload list /mnt/many-1 | awk -v most="$3" '$1 > 4096 && ++n <= most' >/var/lib/bench/many
                for i in $(seq "$1"); do fileload run "/mnt/many-$i" /var/lib/bench/many reopens "$2" >/dev/null; done
                """, Integer.toString(IMAGES), Integer.toString(READS / IMAGES), Integer.toString(FILES_READ));
        Memory end = memory();
        lines.add(end.text("and " + READS + " reads of the remote tier served"));
        agent.stop();
        agent.start();
        lines.add(memory().text("after a restart, with the same images mounted"));
        return new Result(String.join("\n", lines), end.resident());
    }

    record Result(String text, double residentMib) {}

    private Memory memory() {
        String[] kib = roots.node()
                .host()
                .script(
                        TestHost.SOON,
                        "awk '/^VmRSS/ { print $2 }' \"/proc/$1/status\"; awk '/^Pss:/ { print $2 }' \"/proc/$1/smaps_rollup\"",
                        Integer.toString(agent.pid()))
                .split("\n", -1);
        return new Memory(Integer.parseInt(kib[0]) / 1024.0, Integer.parseInt(kib[1]) / 1024.0);
    }
}
