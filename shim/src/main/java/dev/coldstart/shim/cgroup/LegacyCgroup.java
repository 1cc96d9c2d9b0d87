package dev.coldstart.shim.cgroup;

import com.google.protobuf.Any;
import dev.coldstart.linux.MountTable;
import dev.coldstart.proto.containerd.cgroups.v1.BlkIOEntry;
import dev.coldstart.proto.containerd.cgroups.v1.BlkIOStat;
import dev.coldstart.proto.containerd.cgroups.v1.CPUStat;
import dev.coldstart.proto.containerd.cgroups.v1.CPUUsage;
import dev.coldstart.proto.containerd.cgroups.v1.MemoryEntry;
import dev.coldstart.proto.containerd.cgroups.v1.MemoryOomControl;
import dev.coldstart.proto.containerd.cgroups.v1.MemoryStat;
import dev.coldstart.proto.containerd.cgroups.v1.Metrics;
import dev.coldstart.proto.containerd.cgroups.v1.PidsStat;
import dev.coldstart.proto.containerd.cgroups.v1.Throttle;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The groups of a container in the hierarchies of cgroup v1 (Documentation/admin-guide/cgroup-v1).
 *
 * @param directories by controller, such as {@code memory}
 */
record LegacyCgroup(Map<String, Path> directories) implements Cgroup {
    private static final String METRICS = "io.containerd.cgroups.v1.Metrics";
    private static final List<String> ACCOUNTING =
            List.of("memory", "cpu", "cpuacct", "pids", "blkio", "devices", "freezer");
    /** USER_HZ, in which cpuacct.stat counts: 100 on every architecture of Linux that Java runs on. */
    private static final long TICK_NANOS = 10_000_000;

    static boolean accounts(MountTable.Entry mount) {
        return List.of(mount.superOptions().split(",", -1)).stream().anyMatch(ACCOUNTING::contains);
    }

    static LegacyCgroup of(List<String> membership, List<MountTable.Entry> mounts) throws IOException {
        Map<String, Path> directories = new HashMap<>();
        for (String line : membership) {
            // ID:CONTROLLERS:PATH
            String[] fields = line.split(":", 3);
            if (fields.length < 3) {
                continue;
            }
            for (String controller : fields[1].split(",", -1)) {
                for (MountTable.Entry mount : mounts) {
                    if (mount.type().equals("cgroup")
                            && List.of(mount.superOptions().split(",", -1)).contains(controller)) {
                        Cgroup.directory(mount, fields[2])
                                .ifPresent(directory -> directories.putIfAbsent(controller, directory));
                    }
                }
            }
        }
        if (directories.isEmpty()) {
            throw new IOException("the process is in no cgroup v1 that is mounted here");
        }
        return new LegacyCgroup(Map.copyOf(directories));
    }

    private Optional<Path> file(String controller, String name) {
        @Nullable Path directory = directories.get(controller);
        return directory == null ? Optional.empty() : Optional.of(directory.resolve(name));
    }

    private long single(String controller, String name) throws IOException {
        Optional<Path> file = file(controller, name);
        return file.isPresent() ? Values.single(file.get()) : 0;
    }

    private Map<String, Long> table(String controller, String name) throws IOException {
        Optional<Path> file = file(controller, name);
        return file.isPresent() ? Values.table(file.get()) : Map.of();
    }

    @Override
    public List<Integer> processes() throws IOException {
        for (String controller : List.of("devices", "pids", "memory", "freezer")) {
            @Nullable Path directory = directories.get(controller);
            if (directory != null) {
                return Cgroup.processesBelow(directory);
            }
        }
        throw new IOException("no cgroup v1 controller that lists the container's processes is mounted");
    }

    @Override
    public long outOfMemoryKills() throws IOException {
        return table("memory", "memory.oom_control").getOrDefault("oom_kill", 0L);
    }

    @Override
    public Path memoryDirectory() {
        return directories.getOrDefault("memory", Path.of("/nonexistent"));
    }

    @Override
    public Any metrics() throws IOException {
        Metrics metrics = Metrics.newBuilder()
                .setPids(PidsStat.newBuilder()
                        .setCurrent(single("pids", "pids.current"))
                        .setLimit(single("pids", "pids.max")))
                .setCpu(cpu())
                .setMemory(memory())
                .setBlkio(BlkIOStat.newBuilder()
                        .addAllIoServiceBytesRecursive(blkio("blkio.throttle.io_service_bytes_recursive"))
                        .addAllIoServicedRecursive(blkio("blkio.throttle.io_serviced_recursive")))
                .setMemoryOomControl(oomControl())
                .build();
        return Any.newBuilder()
                .setTypeUrl(METRICS)
                .setValue(metrics.toByteString())
                .build();
    }

    private CPUStat cpu() throws IOException {
        Map<String, Long> ticks = table("cpuacct", "cpuacct.stat");
        CPUUsage.Builder usage = CPUUsage.newBuilder()
                .setTotal(single("cpuacct", "cpuacct.usage"))
                .setUser(ticks.getOrDefault("user", 0L) * TICK_NANOS)
                .setKernel(ticks.getOrDefault("system", 0L) * TICK_NANOS);
        Optional<Path> perCpu = file("cpuacct", "cpuacct.usage_percpu");
        if (perCpu.isPresent()) {
            for (String line : Values.lines(perCpu.get())) {
                for (String number : line.trim().split(" ", -1)) {
                    usage.addPerCpu(Values.number(number));
                }
            }
        }
        Map<String, Long> stat = table("cpu", "cpu.stat");
        return CPUStat.newBuilder()
                .setUsage(usage)
                .setThrottling(Throttle.newBuilder()
                        .setPeriods(stat.getOrDefault("nr_periods", 0L))
                        .setThrottledPeriods(stat.getOrDefault("nr_throttled", 0L))
                        .setThrottledTime(stat.getOrDefault("throttled_time", 0L)))
                .build();
    }

    private MemoryStat memory() throws IOException {
        Map<String, Long> stat = table("memory", "memory.stat");
        return MemoryStat.newBuilder()
                .setCache(stat.getOrDefault("cache", 0L))
                .setRss(stat.getOrDefault("rss", 0L))
                .setRssHuge(stat.getOrDefault("rss_huge", 0L))
                .setMappedFile(stat.getOrDefault("mapped_file", 0L))
                .setDirty(stat.getOrDefault("dirty", 0L))
                .setWriteback(stat.getOrDefault("writeback", 0L))
                .setPgPgIn(stat.getOrDefault("pgpgin", 0L))
                .setPgPgOut(stat.getOrDefault("pgpgout", 0L))
                .setPgFault(stat.getOrDefault("pgfault", 0L))
                .setPgMajFault(stat.getOrDefault("pgmajfault", 0L))
                .setInactiveAnon(stat.getOrDefault("inactive_anon", 0L))
                .setActiveAnon(stat.getOrDefault("active_anon", 0L))
                .setInactiveFile(stat.getOrDefault("inactive_file", 0L))
                .setActiveFile(stat.getOrDefault("active_file", 0L))
                .setUnevictable(stat.getOrDefault("unevictable", 0L))
                .setHierarchicalMemoryLimit(stat.getOrDefault("hierarchical_memory_limit", 0L))
                .setHierarchicalSwapLimit(stat.getOrDefault("hierarchical_memsw_limit", 0L))
                .setTotalCache(stat.getOrDefault("total_cache", 0L))
                .setTotalRss(stat.getOrDefault("total_rss", 0L))
                .setTotalRssHuge(stat.getOrDefault("total_rss_huge", 0L))
                .setTotalMappedFile(stat.getOrDefault("total_mapped_file", 0L))
                .setTotalDirty(stat.getOrDefault("total_dirty", 0L))
                .setTotalWriteback(stat.getOrDefault("total_writeback", 0L))
                .setTotalPgPgIn(stat.getOrDefault("total_pgpgin", 0L))
                .setTotalPgPgOut(stat.getOrDefault("total_pgpgout", 0L))
                .setTotalPgFault(stat.getOrDefault("total_pgfault", 0L))
                .setTotalPgMajFault(stat.getOrDefault("total_pgmajfault", 0L))
                .setTotalInactiveAnon(stat.getOrDefault("total_inactive_anon", 0L))
                .setTotalActiveAnon(stat.getOrDefault("total_active_anon", 0L))
                .setTotalInactiveFile(stat.getOrDefault("total_inactive_file", 0L))
                .setTotalActiveFile(stat.getOrDefault("total_active_file", 0L))
                .setTotalUnevictable(stat.getOrDefault("total_unevictable", 0L))
                .setUsage(entry("memory"))
                .setSwap(entry("memory.memsw"))
                .setKernel(entry("memory.kmem"))
                .setKernelTcp(entry("memory.kmem.tcp"))
                .build();
    }

    private MemoryEntry entry(String prefix) throws IOException {
        return MemoryEntry.newBuilder()
                .setLimit(single("memory", prefix + ".limit_in_bytes"))
                .setUsage(single("memory", prefix + ".usage_in_bytes"))
                .setMax(single("memory", prefix + ".max_usage_in_bytes"))
                .setFailcnt(single("memory", prefix + ".failcnt"))
                .build();
    }

    /** Lines of {@code MAJOR:MINOR OPERATION N}. */
    private List<BlkIOEntry> blkio(String name) throws IOException {
        Optional<Path> file = file("blkio", name);
        return file.isEmpty()
                ? List.of()
                : Values.lines(file.get()).stream()
                        .map(line -> line.split("[: ]", -1))
                        .filter(fields -> fields.length == 4)
                        .map(fields -> BlkIOEntry.newBuilder()
                                .setMajor(Values.number(fields[0]))
                                .setMinor(Values.number(fields[1]))
                                .setOp(fields[2])
                                .setValue(Values.number(fields[3]))
                                .build())
                        .toList();
    }

    private MemoryOomControl oomControl() throws IOException {
        Map<String, Long> control = table("memory", "memory.oom_control");
        return MemoryOomControl.newBuilder()
                .setOomKillDisable(control.getOrDefault("oom_kill_disable", 0L))
                .setUnderOom(control.getOrDefault("under_oom", 0L))
                .setOomKill(control.getOrDefault("oom_kill", 0L))
                .build();
    }
}
