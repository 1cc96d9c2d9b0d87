package dev.coldstart.shim.cgroup;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.Any;
import dev.coldstart.linux.MountTable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Groups of both versions, with files as the kernel writes them. */
class CgroupTest {
    @TempDir
    Path root;

    private MountTable.Entry mount(String type, String directory, String mountRoot, String superOptions) {
        return new MountTable.Entry(
                1, 0, "0:30", mountRoot, root.resolve(directory).toString(), "rw", List.of(), type, type, superOptions);
    }

    private void file(String path, String text) throws IOException {
        Path file = root.resolve(path);
        Files.createDirectories(file.getParent());
        Files.writeString(file, text);
    }

    @Test
    void readsAUnifiedGroup() throws IOException {
        List<MountTable.Entry> mounts = List.of(mount("cgroup2", "unified", "/", "rw"));
        file("unified/pod/c/memory.current", "8192\n");
        file("unified/pod/c/memory.max", "max\n");
        file(
                "unified/pod/c/memory.stat",
                "anon 4096\nfile 100\nworkingset_refault_anon 2\nworkingset_refault_file 3\n");
        file("unified/pod/c/memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\n");
        file("unified/pod/c/cpu.stat", "usage_usec 70\nuser_usec 50\nsystem_usec 20\nnr_throttled 4\n");
        file("unified/pod/c/pids.current", "3\n");
        file("unified/pod/c/pids.max", "100\n");
        file("unified/pod/c/io.stat", "8:16 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n");
        file(
                "unified/pod/c/memory.pressure",
                "some avg10=1.50 avg60=0.03 avg300=0.00 total=22192\nfull avg10=0.18 avg60=0.03 avg300=0.00 total=22\n");
        file("unified/pod/c/hugetlb.2MB.current", "4194304\n");
        file("unified/pod/c/hugetlb.2MB.max", "max\n");
        file("unified/pod/c/hugetlb.2MB.events", "max 3\n");
        file("unified/pod/c/hugetlb.2MB.rsvd.max", "max\n");
        file("unified/pod/c/cgroup.procs", "7\n8\n");
        file("unified/pod/c/below/cgroup.procs", "9\n");
        Cgroup group = Cgroup.of(List.of("0::/pod/c"), mounts);
        assertThat(group.processes()).containsExactlyInAnyOrder(7, 8, 9);
        assertThat(group.outOfMemoryKills()).isEqualTo(1);
        Any any = group.metrics();
        assertThat(any.getTypeUrl()).isEqualTo("io.containerd.cgroups.v2.Metrics");
        var metrics = dev.coldstart.proto.containerd.cgroups.v2.Metrics.parseFrom(any.getValue());
        assertThat(metrics.getMemory().getUsage()).isEqualTo(8192);
        assertThat(Long.toUnsignedString(metrics.getMemory().getUsageLimit())).isEqualTo("18446744073709551615");
        assertThat(metrics.getMemory().getWorkingsetRefault()).isEqualTo(5);
        assertThat(metrics.getMemoryEvents().getOomKill()).isEqualTo(1);
        assertThat(metrics.getCpu().getUsageUsec()).isEqualTo(70);
        assertThat(metrics.getPids().getCurrent()).isEqualTo(3);
        assertThat(metrics.getIo().getUsage(0).getWbytes()).isEqualTo(20);
        assertThat(metrics.getIo().getUsage(0).getMajor()).isEqualTo(8);
        assertThat(metrics.getMemory().getPsi().getSome().getAvg10()).isEqualTo(1.5);
        assertThat(metrics.getMemory().getPsi().getSome().getTotal()).isEqualTo(22192);
        assertThat(metrics.getMemory().getPsi().getFull().getTotal()).isEqualTo(22);
        assertThat(metrics.getHugetlbList()).singleElement().satisfies(pages -> {
            assertThat(pages.getPagesize()).isEqualTo("2MB");
            assertThat(pages.getCurrent()).isEqualTo(4194304);
            assertThat(pages.getMax()).isEqualTo(-1L);
            assertThat(pages.getFailcnt()).isEqualTo(3);
        });
        // Of a controller that is not enabled there is no file.
        assertThat(metrics.getIo().hasPsi()).isFalse();
        assertThat(metrics.getMemory().getSwapUsage()).isZero();
    }

    @Test
    void readsALegacyGroup() throws IOException {
        List<MountTable.Entry> mounts = List.of(
                mount("cgroup", "cpu", "/", "rw,cpu,cpuacct"),
                mount("cgroup", "memory", "/", "rw,memory"),
                mount("cgroup", "pids", "/", "rw,pids"),
                mount("cgroup2", "unified", "/", "rw"));
        file("memory/c/memory.usage_in_bytes", "8192\n");
        file("memory/c/memory.limit_in_bytes", "9223372036854771712\n");
        file("memory/c/memory.stat", "cache 1\nrss 2\ntotal_rss 4\n");
        file("memory/c/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
        file("cpu/c/cpuacct.usage", "1000\n");
        file("cpu/c/cpuacct.stat", "user 2\nsystem 3\n");
        file("cpu/c/cpu.stat", "nr_periods 6\nnr_throttled 7\nthrottled_time 8\n");
        file("pids/c/pids.current", "3\n");
        file("pids/c/pids.max", "max\n");
        file("pids/c/cgroup.procs", "7\n");
        Cgroup group = Cgroup.of(
                List.of("4:cpu,cpuacct:/c", "3:memory:/c", "2:pids:/c", "1:name=systemd:/x", "0::/elsewhere"), mounts);
        assertThat(group.processes()).containsExactly(7);
        assertThat(group.outOfMemoryKills()).isEqualTo(5);
        Any any = group.metrics();
        assertThat(any.getTypeUrl()).isEqualTo("io.containerd.cgroups.v1.Metrics");
        var metrics = dev.coldstart.proto.containerd.cgroups.v1.Metrics.parseFrom(any.getValue());
        assertThat(metrics.getMemory().getUsage().getUsage()).isEqualTo(8192);
        assertThat(metrics.getMemory().getTotalRss()).isEqualTo(4);
        assertThat(metrics.getCpu().getUsage().getTotal()).isEqualTo(1000);
        assertThat(metrics.getCpu().getUsage().getUser()).isEqualTo(20_000_000);
        assertThat(metrics.getCpu().getThrottling().getThrottledTime()).isEqualTo(8);
        assertThat(metrics.getPids().getCurrent()).isEqualTo(3);
        assertThat(metrics.getMemoryOomControl().getOomKill()).isEqualTo(5);
    }

    @Test
    void aMountMayShowAPartOfTheHierarchy() throws IOException {
        List<MountTable.Entry> mounts =
                List.of(mount("cgroup2", "other", "/host", "rw"), mount("cgroup2", "right", "/host2", "rw"));
        file("right/c/cgroup.procs", "7\n");
        assertThat(Cgroup.of(List.of("0::/host2/c"), mounts).processes()).containsExactly(7);
        assertThatThrownBy(() -> Cgroup.of(List.of("0::/elsewhere"), mounts)).isInstanceOf(IOException.class);
    }
}
