package dev.coldstart.integration.node;

import static org.assertj.core.api.Assertions.assertThat;

import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Root;
import dev.coldstart.integration.host.Suite;
import dev.coldstart.integration.host.TestHost;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The unit that install.sh installs, on a systemd of its own. */
class SystemdIT {
    private static final String UNIT = "coldstart-snapshotter";
    private static final Duration UP = Duration.ofSeconds(30);

    @Test
    void systemdKeepsTheRemoteTierForTheNextProcess() {
        Root.assume();
        Repository repository = Repository.here();
        try (TestHost host = TestHost.create(
                repository,
                "systemd",
                Suite.TRIXIE,
                List.of(new TestHost.Bind(repository.programs(), "/opt/coldstart")))) {
            boot(host);
            inside(host, "systemctl", "start", UNIT);
            String device = device(host);

            String dead = inside(host, "systemctl", "show", "-P", "MainPID", UNIT);
            inside(host, "kill", "-9", dead);
            host.await("systemd's restart of the unit", UP, () -> {
                String now = inside(host, "systemctl", "show", "-P", "MainPID,SubState", UNIT);
                return now.contains("running") && !now.contains(dead);
            });
            assertThat(device(host)).as("the file system, after a kill").isEqualTo(device);

            inside(host, "systemctl", "restart", UNIT);
            assertThat(device(host)).as("the file system, after a restart").isEqualTo(device);

            inside(host, "systemctl", "stop", UNIT);
            assertThat(inside(host, "systemctl", "show", "-P", "Result", UNIT)).isEqualTo("success");
            inside(host, "systemctl", "start", UNIT);
            assertThat(device(host))
                    .as("a file system in the place of the dead one")
                    .isNotEmpty();
        }
    }

    /** Which file system answers; a dead one would not. */
    private static String device(TestHost host) {
        return inside(host, "stat", "-c", "%d", "/run/coldstart/remote/00");
    }

    /** Starts systemd as the first process of a pid namespace, on a tree of cgroups v2. */
    private static void boot(TestHost host) {
        host.script(TestHost.SOON, """
                set -e
                sed 's|@PREFIX@|/opt/coldstart|' /opt/coldstart/share/systemd/coldstart-snapshotter.service \
                    >/etc/systemd/system/coldstart-snapshotter.service
                printf '[Unit]\nDescription=nothing\nAllowIsolate=yes\n' >/etc/systemd/system/nothing.target
                """);
        host.spawn(
                "/var/log/systemd.log",
                "unshare",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount",
                "--mount-proc",
                "--cgroup",
                "sh",
                "-c",
                "umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && mount -t tmpfs none /run"
                        + " && container=test exec /lib/systemd/systemd --unit=nothing.target");
        host.await(
                "systemd",
                UP,
                () -> host.run(TestHost.SOON, command("systemctl", "is-system-running"))
                        .out()
                        .equals("running"));
    }

    private static String inside(TestHost host, String... command) {
        return host.ask(command(command));
    }

    private static String[] command(String... command) {
        String enter = "exec nsenter -t \"$(pgrep -o -x systemd)\" -a \"$@\"";
        String[] whole = new String[command.length + 4];
        whole[0] = "sh";
        whole[1] = "-c";
        whole[2] = enter;
        whole[3] = "-";
        System.arraycopy(command, 0, whole, 4, command.length);
        return whole;
    }
}
