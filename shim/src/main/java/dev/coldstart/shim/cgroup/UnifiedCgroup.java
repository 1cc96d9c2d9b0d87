package dev.coldstart.shim.cgroup;

import com.google.protobuf.Any;
import dev.coldstart.linux.MountTable;
import dev.coldstart.proto.containerd.cgroups.v2.CPUStat;
import dev.coldstart.proto.containerd.cgroups.v2.IOEntry;
import dev.coldstart.proto.containerd.cgroups.v2.IOStat;
import dev.coldstart.proto.containerd.cgroups.v2.MemoryEvents;
import dev.coldstart.proto.containerd.cgroups.v2.MemoryStat;
import dev.coldstart.proto.containerd.cgroups.v2.Metrics;
import dev.coldstart.proto.containerd.cgroups.v2.PidsStat;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A group of the unified hierarchy (Documentation/admin-guide/cgroup-v2.rst).
 *
 * @param directory its directory
 */
record UnifiedCgroup(Path directory) implements Cgroup {
    private static final String METRICS = "io.containerd.cgroups.v2.Metrics";

    static UnifiedCgroup of(List<String> membership, List<MountTable.Entry> mounts) throws IOException {
        for (String line : membership) {
            if (line.startsWith("0::")) {
                for (MountTable.Entry mount : mounts) {
                    if (mount.type().equals("cgroup2")) {
                        var directory = Cgroup.directory(mount, line.substring(3));
                        if (directory.isPresent()) {
                            return new UnifiedCgroup(directory.get());
                        }
                    }
                }
            }
        }
        throw new IOException("the process is in no cgroup v2 that is mounted here");
    }

    @Override
    public List<Integer> processes() throws IOException {
        return Cgroup.processesBelow(directory);
    }

    @Override
    public long outOfMemoryKills() throws IOException {
        return Values.table(directory.resolve("memory.events")).getOrDefault("oom_kill", 0L);
    }

    @Override
    public Path memoryDirectory() {
        return directory;
    }

    @Override
    public Any metrics() throws IOException {
        Metrics metrics = Metrics.newBuilder()
                .setPids(
                        PidsStat.newBuilder().setCurrent(single("pids.current")).setLimit(single("pids.max")))
                .setCpu(cpu())
                .setMemory(memory())
                .setIo(io())
                .setMemoryEvents(events())
                .build();
        return Any.newBuilder()
                .setTypeUrl(METRICS)
                .setValue(metrics.toByteString())
                .build();
    }

    private long single(String file) throws IOException {
        return Values.single(directory.resolve(file));
    }

    private CPUStat cpu() throws IOException {
        Map<String, Long> stat = Values.table(directory.resolve("cpu.stat"));
        return CPUStat.newBuilder()
                .setUsageUsec(stat.getOrDefault("usage_usec", 0L))
                .setUserUsec(stat.getOrDefault("user_usec", 0L))
                .setSystemUsec(stat.getOrDefault("system_usec", 0L))
                .setNrPeriods(stat.getOrDefault("nr_periods", 0L))
                .setNrThrottled(stat.getOrDefault("nr_throttled", 0L))
                .setThrottledUsec(stat.getOrDefault("throttled_usec", 0L))
                .build();
    }

    private MemoryStat memory() throws IOException {
        Map<String, Long> stat = Values.table(directory.resolve("memory.stat"));
        return MemoryStat.newBuilder()
                .setAnon(stat.getOrDefault("anon", 0L))
                .setFile(stat.getOrDefault("file", 0L))
                .setKernelStack(stat.getOrDefault("kernel_stack", 0L))
                .setSlab(stat.getOrDefault("slab", 0L))
                .setSock(stat.getOrDefault("sock", 0L))
                .setShmem(stat.getOrDefault("shmem", 0L))
                .setFileMapped(stat.getOrDefault("file_mapped", 0L))
                .setFileDirty(stat.getOrDefault("file_dirty", 0L))
                .setFileWriteback(stat.getOrDefault("file_writeback", 0L))
                .setAnonThp(stat.getOrDefault("anon_thp", 0L))
                .setInactiveAnon(stat.getOrDefault("inactive_anon", 0L))
                .setActiveAnon(stat.getOrDefault("active_anon", 0L))
                .setInactiveFile(stat.getOrDefault("inactive_file", 0L))
                .setActiveFile(stat.getOrDefault("active_file", 0L))
                .setUnevictable(stat.getOrDefault("unevictable", 0L))
                .setSlabReclaimable(stat.getOrDefault("slab_reclaimable", 0L))
                .setSlabUnreclaimable(stat.getOrDefault("slab_unreclaimable", 0L))
                .setPgfault(stat.getOrDefault("pgfault", 0L))
                .setPgmajfault(stat.getOrDefault("pgmajfault", 0L))
                .setWorkingsetRefault(stat.getOrDefault("workingset_refault_anon", 0L)
                        + stat.getOrDefault("workingset_refault_file", 0L))
                .setWorkingsetActivate(stat.getOrDefault("workingset_activate_anon", 0L)
                        + stat.getOrDefault("workingset_activate_file", 0L))
                .setWorkingsetNodereclaim(stat.getOrDefault("workingset_nodereclaim", 0L))
                .setPgrefill(stat.getOrDefault("pgrefill", 0L))
                .setPgscan(stat.getOrDefault("pgscan", 0L))
                .setPgsteal(stat.getOrDefault("pgsteal", 0L))
                .setPgactivate(stat.getOrDefault("pgactivate", 0L))
                .setPgdeactivate(stat.getOrDefault("pgdeactivate", 0L))
                .setPglazyfree(stat.getOrDefault("pglazyfree", 0L))
                .setPglazyfreed(stat.getOrDefault("pglazyfreed", 0L))
                .setThpFaultAlloc(stat.getOrDefault("thp_fault_alloc", 0L))
                .setThpCollapseAlloc(stat.getOrDefault("thp_collapse_alloc", 0L))
                .setUsage(single("memory.current"))
                .setUsageLimit(single("memory.max"))
                .setSwapUsage(single("memory.swap.current"))
                .setSwapLimit(single("memory.swap.max"))
                .setMaxUsage(single("memory.peak"))
                .setSwapMaxUsage(single("memory.swap.peak"))
                .build();
    }

    /** Lines of {@code MAJOR:MINOR rbytes=N wbytes=N rios=N wios=N …}. */
    private IOStat io() throws IOException {
        IOStat.Builder io = IOStat.newBuilder();
        for (String line : Values.lines(directory.resolve("io.stat"))) {
            String[] words = line.split(" ", -1);
            int colon = words[0].indexOf(':');
            if (colon < 0) {
                continue;
            }
            Map<String, Long> values = new HashMap<>();
            for (String word : words) {
                int equals = word.indexOf('=');
                if (equals > 0) {
                    values.put(word.substring(0, equals), Values.number(word.substring(equals + 1)));
                }
            }
            io.addUsage(IOEntry.newBuilder()
                    .setMajor(Values.number(words[0].substring(0, colon)))
                    .setMinor(Values.number(words[0].substring(colon + 1)))
                    .setRbytes(values.getOrDefault("rbytes", 0L))
                    .setWbytes(values.getOrDefault("wbytes", 0L))
                    .setRios(values.getOrDefault("rios", 0L))
                    .setWios(values.getOrDefault("wios", 0L)));
        }
        return io.build();
    }

    private MemoryEvents events() throws IOException {
        Map<String, Long> events = Values.table(directory.resolve("memory.events"));
        return MemoryEvents.newBuilder()
                .setLow(events.getOrDefault("low", 0L))
                .setHigh(events.getOrDefault("high", 0L))
                .setMax(events.getOrDefault("max", 0L))
                .setOom(events.getOrDefault("oom", 0L))
                .setOomKill(events.getOrDefault("oom_kill", 0L))
                .build();
    }
}
