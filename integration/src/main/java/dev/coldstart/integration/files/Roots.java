package dev.coldstart.integration.files;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.Output;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.TestHost;
import dev.coldstart.integration.node.Agent;
import dev.coldstart.integration.node.Node;
import dev.coldstart.integration.node.Registry;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** One image's root file system on one node in every {@link Way}, mounted as containerd would for a container. */
final class Roots implements AutoCloseable {
    static final Duration LONG = Duration.ofMinutes(8);
    /** The snapshot that a container would have, in every snapshotter. */
    static final String SNAPSHOT = "bench";

    /**
     * What the scripts share. mount_root: the commands that containerd's client prints for a snapshot, run. Without the disk
     * tier all objects are looked up in the remote one, which has them all.
     */
    static final String FUNCTIONS = """
            set -euo pipefail
            # As containerd does it: the newer calls take no option of more than 255 bytes.
            export LIBMOUNT_FORCE_MOUNT2=always
            unmount() { mountpoint -q "$1" && umount -R "$1" || true; }
            commands() { ctr snapshots --snapshotter "$1" mounts "$2" "$3"; }
            mount_root() { mkdir -p "$2"; eval "$(commands "$1" "$2" "$3")"; }
            mount_remote() { mkdir -p "$2"; eval "$(commands "$1" "$2" "$3" | sed "s|::/var/lib/coldstart-$1/objects||")"; }
            """;

    private static final String RUN = FUNCTIONS + """
            run() {
                if [ "$workload" = import ]; then
                    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 \\
                        fileload exec "$1" python3 -c "import torch" </dev/null
                else
                    fileload run "$1" /var/lib/bench/files "$workload"
                fi
            }
            workload=$1
            """;

    private static final String FIRST = RUN + """
            root=$2 before=$3
            if [ "$before" = drop-pages ]; then
                # The server's own files are in the page cache, the container's are not.
                run "$root" >/dev/null
                fileload run "$root" /var/lib/bench/files drop >/dev/null
            fi
            run "$root"
            """;

    /** Way by way in turn, so that whatever else the machine does meets all of them. */
    private static final String WARM = RUN + """
            rounds=$2
            shift 2
            for root; do run "$root" >/dev/null; done
            for _ in $(seq "$rounds"); do
                for root; do run "$root"; done
            done
            """;

    private final Registry registry;
    private final Node node;
    private final String image;
    private final Agent local;
    private final Agent remote;
    private final Agent partial;
    private final Agent jnr;
    private final Set<Way> ways = EnumSet.allOf(Way.class);

    private Roots(Registry registry, Node node, String image) {
        this.registry = registry;
        this.node = node;
        this.image = image;
        this.local = new Agent(node, "local", "");
        this.remote = new Agent(node, "remote", "");
        this.partial = new Agent(node, "partial", "");
        this.jnr = new Agent(node, "jnr", "serve = \"fuse\"");
    }

    /** Makes the hosts, pulls the image in every way, and says on stderr which way cannot be had. */
    static Roots prepare(Repository repository) {
        Registry registry = Registry.start(repository, "bench-reg");
        try {
            String image = registry.pushModelServer();
            Node node = Node.forFiles(
                    repository,
                    "bench-node",
                    registry,
                    List.of(
                            new TestHost.Bind(repository.root().resolve("integration/src/main/c"), "/opt/load"),
                            // The installed runtime has neither the flight recorder nor jcmd.
                            new TestHost.Bind(Path.of(System.getProperty("java.home")), "/opt/jdk")));
            Roots roots = new Roots(registry, node, image);
            try {
                roots.pull();
                return roots;
            } catch (RuntimeException e) {
                node.close();
                throw e;
            }
        } catch (RuntimeException e) {
            registry.close();
            throw e;
        }
    }

    private void pull() {
        node.host().script(LONG, """
                set -e
                mkdir /var/lib/bench
                for program in fileload manyfiles; do
                    gcc -O2 -Wall -o "/usr/local/bin/$program" "/opt/load/$program.c"
                done
                """);
        List<Agent> agents = new ArrayList<>(List.of(local, remote, partial));
        agents.forEach(Agent::start);
        try {
            jnr.start();
            agents.add(jnr);
        } catch (HostException e) {
            ways.remove(Way.JNR);
            System.err.println("fs: without " + Way.JNR.title() + ": " + e.getMessage());
        }
        List<Agent> configured = new ArrayList<>(agents);
        configured.add(new Agent(node, Footprint.AGENT, ""));
        node.configureContainerd(configured);
        node.startContainerd();
        remote.index(image);
        partial.index(image);
        pull("overlayfs");
        agents.forEach(agent -> pull(agent.name()));
        node.host().script(LONG, FUNCTIONS + """
                mount_root overlayfs /mnt/native bench
                fileload list /mnt/native >/var/lib/bench/files
                mksquashfs /mnt/native /var/lib/bench/root.squashfs -noI -noD -noF -noX -no-progress -quiet
                umount /mnt/native
                """);
    }

    private void pull(String snapshotter) {
        pull(snapshotter, image, SNAPSHOT);
    }

    /** Pulls an image and prepares a container's snapshot of it. */
    void pull(String snapshotter, String what, String snapshot) {
        // The one committed snapshot that is nobody's parent is the image's; of several images, the one that is new.
        node.host().script(LONG, """
                set -euo pipefail
                tops() {
                    ctr snapshots --snapshotter "$1" ls | awk 'NR > 1 { kind[$1] = $NF; if (NF == 3) parent[$2] = 1 }
                        END { for (k in kind) if (kind[k] == "Committed" && !(k in parent)) print k }' | sort
                }
                tops "$1" >/tmp/before
                ctr images pull --local=false --platform linux/amd64 --snapshotter "$1" "$2" </dev/null >/tmp/pull.log 2>&1 ||
                    { cat /tmp/pull.log >&2; exit 1; }
                tops "$1" >/tmp/after
                ctr snapshots --snapshotter "$1" prepare "$3" "$(comm -13 /tmp/before /tmp/after)" >/dev/null
                """, snapshotter, what, snapshot);
    }

    Node node() {
        return node;
    }

    Registry registry() {
        return registry;
    }

    Agent partial() {
        return partial;
    }

    boolean has(Way way) {
        return ways.contains(way);
    }

    /** A first pass: nothing cached, then mounted as for a container that starts. The root stays mounted. */
    Load first(Way way, Workload workload) {
        if (way != Way.PARTIAL) {
            unmount(way);
            node.host()
                    .script(
                            TestHost.SOON,
                            "sync; echo 3 >/proc/sys/vm/drop_caches; cat /usr/local/bin/fileload /var/lib/bench/files >/dev/null");
        }
        mount(way);
        if (way == Way.REMOTE) {
            registry.warm();
        }
        if (workload == Workload.IMPORT) {
            node.host()
                    .script(
                            TestHost.SOON,
                            "mount -t proc proc \"$1/proc\" && mount --bind /dev \"$1/dev\"",
                            way.root());
        }
        String before = way == Way.PARTIAL ? "drop-pages" : "as-it-is";
        return Load.parse(node.host().script(LONG, FIRST, workload.command(), way.root(), before))
                .getFirst();
    }

    /**
     * Warm passes of mounted roots.
     *
     * @return of each way as many as there are rounds
     */
    Map<Way, List<Load>> warm(List<Way> mounted, Workload workload, int rounds) {
        List<String> arguments = new ArrayList<>(List.of(workload.command(), Integer.toString(rounds)));
        mounted.forEach(way -> arguments.add(way.root()));
        List<Load> loads = Load.parse(node.host().script(LONG, WARM, arguments.toArray(String[]::new)));
        Map<Way, List<Load>> byWay = new EnumMap<>(Way.class);
        for (int i = 0; i < loads.size(); i++) {
            byWay.computeIfAbsent(mounted.get(i % mounted.size()), key -> new ArrayList<>())
                    .add(loads.get(i));
        }
        return byWay;
    }

    private void mount(Way way) {
        switch (way) {
            case NATIVE -> mount("mount_root overlayfs", way);
            case LOCAL -> mount("mount_root local", way);
            case JNR -> mount("mount_root jnr", way);
            case REMOTE -> {
                unmount(way);
                remote.stop();
                remote.dropObjects();
                remote.start();
                mount("mount_root remote", way);
            }
            case PARTIAL -> {
                // Mounted since its bytes were brought here.
            }
            case SQUASHFUSE -> node.host().script(TestHost.SOON, FUNCTIONS + """
                        mkdir -p /mnt/lower /var/lib/bench/upper /var/lib/bench/work "$1"
                        squashfuse_ll /var/lib/bench/root.squashfs /mnt/lower
                        mount -t overlay overlay "$1" \\
                            -o lowerdir=/mnt/lower,upperdir=/var/lib/bench/upper,workdir=/var/lib/bench/work
                        """, way.root());
        }
    }

    /** Unmounts what {@link #first} mounted. */
    void unmount(Way way) {
        if (way != Way.PARTIAL) {
            node.host().script(TestHost.SOON, FUNCTIONS + "unmount \"$1\"\n", way.root());
        }
        if (way == Way.SQUASHFUSE) {
            node.host().script(TestHost.SOON, FUNCTIONS + "unmount /mnt/lower\n");
        }
    }

    /** Brings all bytes here but the end of the largest file, and mounts the root that reads them through the remote tier. */
    void bringPartialHere() {
        mount("mount_remote partial", Way.PARTIAL);
        node.host().ask("fileload", "run", Way.PARTIAL.root(), "/var/lib/bench/files", "scatter");
    }

    /** Whether the largest file is still one that is not here as a whole. */
    boolean largestIsPartial() {
        Output found = node.host()
                .run(TestHost.SOON, "sh", "-c", "find " + partial.root() + "/partial -size +100M | grep -q .");
        return found.succeeded();
    }

    private void mount(String command, Way way) {
        node.host().script(TestHost.SOON, FUNCTIONS + "unmount \"$1\"\n", way.root());
        node.host().script(TestHost.SOON, FUNCTIONS + command + " \"$1\" \"$2\"\n", way.root(), SNAPSHOT);
    }

    @Override
    public void close() {
        try (registry) {
            node.close();
        }
    }
}
