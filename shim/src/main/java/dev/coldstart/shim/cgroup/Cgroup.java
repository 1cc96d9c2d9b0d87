package dev.coldstart.shim.cgroup;

import com.google.protobuf.Any;
import dev.coldstart.linux.MountTable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** The control group of a container. */
public sealed interface Cgroup permits UnifiedCgroup, LegacyCgroup {
    /** Finds the group of a process from {@code /proc/PID/cgroup} and where the hierarchies are mounted. */
    static Cgroup of(int pid) throws IOException {
        return of(Files.readAllLines(Path.of("/proc/" + pid + "/cgroup")), MountTable.read());
    }

    /**
     * The same from what those files say. A host is unified when no v1 controller is mounted (in hybrid mode v2 is
     * mounted beside v1 and accounts nothing).
     */
    static Cgroup of(List<String> membership, List<MountTable.Entry> mounts) throws IOException {
        boolean legacy =
                mounts.stream().anyMatch(mount -> mount.type().equals("cgroup") && LegacyCgroup.accounts(mount));
        return legacy ? LegacyCgroup.of(membership, mounts) : UnifiedCgroup.of(membership, mounts);
    }

    /** All processes in the group and below. */
    List<Integer> processes() throws IOException;

    /** {@code io.containerd.cgroups.v1.Metrics} or {@code …v2.Metrics}, whichever the host's mode is. */
    Any metrics() throws IOException;

    /** How many processes the kernel has killed here for want of memory. */
    long outOfMemoryKills() throws IOException;

    /** The directory that accounts memory; it may not exist. */
    Path memoryDirectory();

    /** The directory of a group within a mounted hierarchy. */
    static Optional<Path> directory(MountTable.Entry mount, String group) {
        String root = mount.root().equals("/") ? "" : mount.root();
        if (!group.equals(root) && !group.startsWith(root + "/")) {
            return Optional.empty();
        }
        return Optional.of(Path.of(mount.mountPoint() + group.substring(root.length())));
    }

    /** The processes listed in {@code cgroup.procs} of a directory and all below it. */
    static List<Integer> processesBelow(Path directory) throws IOException {
        List<Integer> pids = new ArrayList<>();
        try (Stream<Path> all = Files.walk(directory)) {
            for (Path path : all.filter(file -> file.endsWith("cgroup.procs")).toList()) {
                for (String line : Files.readAllLines(path)) {
                    pids.add(Integer.parseInt(line));
                }
            }
        }
        return pids;
    }
}
