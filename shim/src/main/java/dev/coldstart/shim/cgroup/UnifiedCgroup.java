package dev.coldstart.shim.cgroup;

import com.google.protobuf.Any;
import dev.coldstart.linux.MountTable;
import dev.coldstart.proto.containerd.cgroups.v2.CPUStat;
import dev.coldstart.proto.containerd.cgroups.v2.HugeTlbStat;
import dev.coldstart.proto.containerd.cgroups.v2.IOEntry;
import dev.coldstart.proto.containerd.cgroups.v2.IOStat;
import dev.coldstart.proto.containerd.cgroups.v2.MemoryEvents;
import dev.coldstart.proto.containerd.cgroups.v2.MemoryStat;
import dev.coldstart.proto.containerd.cgroups.v2.Metrics;
import dev.coldstart.proto.containerd.cgroups.v2.PSIData;
import dev.coldstart.proto.containerd.cgroups.v2.PSIStats;
import dev.coldstart.proto.containerd.cgroups.v2.PidsStat;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

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
        return outOfMemoryKills(Values.lines(directory.resolve("memory.events")));
    }

    /** The same from what {@code memory.events} holds. */
    static long outOfMemoryKills(List<String> events) {
        return Values.table(events).getOrDefault("oom_kill", 0L);
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
                .addAllHugetlb(hugePages())
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
        CPUStat.Builder cpu = CPUStat.newBuilder()
                .setUsageUsec(stat.getOrDefault("usage_usec", 0L))
                .setUserUsec(stat.getOrDefault("user_usec", 0L))
                .setSystemUsec(stat.getOrDefault("system_usec", 0L))
                .setNrPeriods(stat.getOrDefault("nr_periods", 0L))
                .setNrThrottled(stat.getOrDefault("nr_throttled", 0L))
                .setThrottledUsec(stat.getOrDefault("throttled_usec", 0L));
        pressure("cpu.pressure").ifPresent(cpu::setPsi);
        return cpu.build();
    }

    private MemoryStat memory() throws IOException {
        Map<String, Long> stat = Values.table(directory.resolve("memory.stat"));
        MemoryStat.Builder memory = MemoryStat.newBuilder()
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
                .setSwapMaxUsage(single("memory.swap.peak"));
        pressure("memory.pressure").ifPresent(memory::setPsi);
        return memory.build();
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
        pressure("io.pressure").ifPresent(io::setPsi);
        return io.build();
    }

    /** Lines of {@code some|full avg10=0.00 avg60=0.00 avg300=0.00 total=N}; none where the kernel does not account it. */
    private Optional<PSIStats> pressure(String file) {
        PSIStats.Builder pressure = PSIStats.newBuilder();
        List<String> lines;
        try {
            lines = Values.lines(directory.resolve(file));
        } catch (IOException e) {
            // Kernels that are told not to account it have the file and refuse to open it (EOPNOTSUPP).
            return Optional.empty();
        }
        for (String line : lines) {
            PSIData.Builder data = PSIData.newBuilder();
            for (String word : line.split(" ", -1)) {
                int equals = word.indexOf('=') + 1;
                switch (word.substring(0, equals)) {
                    case "avg10=" -> data.setAvg10(Values.percent(word.substring(equals)));
                    case "avg60=" -> data.setAvg60(Values.percent(word.substring(equals)));
                    case "avg300=" -> data.setAvg300(Values.percent(word.substring(equals)));
                    case "total=" -> data.setTotal(Values.number(word.substring(equals)));
                    default -> {}
                }
            }
            if (line.startsWith("some ")) {
                pressure.setSome(data);
            } else if (line.startsWith("full ")) {
                pressure.setFull(data);
            }
        }
        return lines.isEmpty() ? Optional.empty() : Optional.of(pressure.build());
    }

    /** One of each size of page that the machine has: {@code hugetlb.2MB.current} and its neighbours. */
    private List<HugeTlbStat> hugePages() throws IOException {
        List<HugeTlbStat> all = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory, "hugetlb.*.max")) {
            for (Path file : files) {
                String name = file.getFileName().toString();
                String size = name.substring("hugetlb.".length(), name.length() - ".max".length());
                // Of reservations there are files of the same kind.
                if (!size.contains(".")) {
                    String prefix = "hugetlb." + size;
                    all.add(HugeTlbStat.newBuilder()
                            .setPagesize(size)
                            .setCurrent(single(prefix + ".current"))
                            .setMax(Values.single(file))
                            .setFailcnt(Values.table(directory.resolve(prefix + ".events"))
                                    .getOrDefault("max", 0L))
                            .build());
                }
            }
        } catch (NoSuchFileException e) {
            // Of a group that is gone there are no files either.
            return List.of();
        }
        return all;
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
