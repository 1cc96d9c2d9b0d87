package dev.coldstart.integration.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.integration.host.Output;
import dev.coldstart.integration.host.Suite;
import dev.coldstart.integration.host.TestHost;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;

/**
 * Containers whose runtime is coldstart's shim, as nerdctl and a kubelet make them, on the host of {@link ClientScenarios}; and
 * what is left of them when they, containerd or their shims are ended in all ways.
 */
abstract class RuntimeScenarios extends ClientScenarios {
    private static final String RUNTIME = "io.containerd.coldstart.v1";
    /** Seconds of stress on each containerd. */
    private static final int STRESS_SECONDS = Integer.getInteger("coldstart.stress.seconds", 15);

    private static final int WORKERS = 16;

    /** All that a container can leave behind, a line each; waits as long as a shim may need to find out that nobody knows it. */
    private static final String LEFT = """
            left() {
                find /run/containerd/s -mindepth 1
                # A hidden one is a bundle that containerd was removing when it was stopped; it never looks at it again.
                find /run/containerd/runc /run/containerd/io.containerd.runtime.v2.task -mindepth 2 -maxdepth 2 ! -name '.*'
                grep -o ' /run/containerd/io.containerd.runtime.v2.task/[^ ]*' /proc/self/mountinfo
                find /sys/fs/cgroup -mindepth 2 -type d -regextype egrep -regex '.*/(default|k8s.io|stress)/.*'
                pgrep -fa 'sleep [0-9]|containerd-shim|ShimMain.* -id '
            }
            for _ in $(seq 300); do
                [ -n "$(left 2>/dev/null)" ] || exit 0
                sleep 0.1
            done
            left
            # And what containerd has to say of it.
            for bundle in /run/containerd/io.containerd.runtime.v2.task/*/*; do
                grep -F -- "${bundle##*/}" /var/log/containerd.log | tail -n 20
            done
            """;

    private static final String CRICTL = "/opt/cri/crictl";

    /** Answers each connection with a line. */
    private static final String SERVER = """
            import socket
            server = socket.create_server(("", 80))
            while True:
                connection, _ = server.accept()
                connection.recv(1000)
                connection.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nserved")
                connection.close()
            """;

    private static final String COMPOSE = """
            services:
              one:
                image: IMAGE
                command: sh -c 'echo from one; sleep 1000'
                runtime: io.containerd.coldstart.v1
                network_mode: none
                stop_grace_period: 1s
              two:
                image: IMAGE
                command: sh -c 'echo from two; sleep 1000'
                runtime: io.containerd.coldstart.v1
                network_mode: none
                stop_grace_period: 1s
            """;

    RuntimeScenarios(Suite suite, String prefix) {
        super(suite, prefix);
    }

    /** What a failed test left must not fail the next one. */
    @BeforeEach
    void removeAll() {
        node().host().script(LIMIT, """
                ctr containers ls -q | xargs -r "$@" rm --force >/dev/null 2>&1
                cri() { /opt/cri/cri /run/containerd/containerd.sock "$@" 2>/dev/null; }
                for pod in $(cri call ListPodSandbox | grep -o '"id":"[0-9a-f]*"' | cut -d '"' -f 4); do cri remove-pod "$pod"; done
                true
                """, command());
    }

    @Test
    @Order(8)
    void nerdctlRunsContainers() {
        TestHost host = node().host();
        nerdctl("pull", "--quiet", image());
        String typed = host.script(
                LIMIT,
                "printf 'first\\nlast\\n' | \"$@\"",
                runCommand("-i", "--rm", image(), "sh", "-c", "tail -n 1" + LINGER));
        assertThat(typed).isEqualTo("last");
        String terminal = host.script(
                LIMIT,
                "script -qec \"$*\" /dev/null </dev/null",
                runCommand("-it", "--rm", image(), "sh", "-c", "'tty; sleep 0.5; exit 3' || echo ended with $?"));
        assertThat(terminal).contains("/dev/pts/0").contains("ended with 3");
        assertThat(run(
                        "--rm",
                        "--memory",
                        "64m",
                        "--volume",
                        "/image/data:/volume:ro",
                        image(),
                        "sh",
                        "-c",
                        "cat /volume/small; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || true"
                                + LINGER))
                .isEqualTo("small\n" + (64 << 20));
        assertThat(run("--rm", "--user", "1000:1001", image(), "sh", "-c", "id" + LINGER))
                .startsWith("uid=1000 gid=1001");

        run("--detach", "--name", "worker", image(), "sh", "-c", "echo out; echo err >&2; exec sleep 1000");
        awaitLog("worker", "out\n", "err\n");
        assertThat(nerdctl("exec", "worker", "sh", "-c", "id" + LINGER)).startsWith("uid=0");
        Output failed = host.run(LIMIT, command("exec", "worker", "sh", "-c", "exit 7"));
        assertThat(failed.err()).contains("exit code 7");
        nerdctl("kill", "worker");
        host.await("the end of it", LIMIT, () -> nerdctl("ps", "--all").contains("Exited (137)"));
        nerdctl("start", "worker");
        awaitLog("worker", "out\nout\n", "err\nerr\n");
        nerdctl("pause", "worker");
        nerdctl("unpause", "worker");
        nerdctl("stop", "--time", "1", "worker");
        nerdctl("rm", "worker");
        assertThat(left()).isEmpty();
    }

    @Test
    @Order(9)
    void nerdctlRestartsContainersAndComposesThem() {
        TestHost host = node().host();
        run("--detach", "--name", "always", image(), "sleep", "1000");
        // Not from its beginning: containerd would restart what it finds between its creation and its start.
        nerdctl("update", "--restart", "always", "always");
        String pid = nerdctl("inspect", "--format", "{{.State.Pid}}", "always");
        host.ask("kill", "-9", pid);
        host.await("another process of the container", LIMIT, () -> {
            String now = nerdctl("inspect", "--format", "{{.State.Pid}}", "always");
            return !now.equals(pid) && !now.equals("0");
        });
        nerdctl("stop", "--time", "1", "always");
        nerdctl("rm", "always");

        host.write("/var/tmp/compose.yaml", COMPOSE.replace("IMAGE", image()));
        nerdctl("compose", "--file", "/var/tmp/compose.yaml", "up", "--detach");
        host.await("both services", LIMIT, () -> {
            String logs = nerdctl("compose", "--file", "/var/tmp/compose.yaml", "logs");
            return logs.contains("from one") && logs.contains("from two");
        });
        nerdctl("compose", "--file", "/var/tmp/compose.yaml", "down");
        assertThat(left()).isEmpty();
    }

    @Test
    @Order(10)
    void nerdctlPublishesPorts() {
        TestHost host = node().host();
        assumeTrue(
                host.run(TestHost.SOON, "iptables", "-t", "nat", "-S").succeeded(),
                "needs a kernel that translates addresses");
        List<String> server = new ArrayList<>(List.of(
                "run",
                "--runtime",
                RUNTIME,
                "--detach",
                "--name",
                "web",
                "--publish",
                "8080:80",
                "--volume",
                "/usr:/usr:ro",
                "--volume",
                "/lib:/lib:ro",
                "--volume",
                "/lib64:/lib64:ro"));
        server.addAll(List.of(image(), "/usr/bin/python3", "-c", SERVER));
        nerdctl(server.toArray(String[]::new));
        host.await(
                "an answer from the container",
                LIMIT,
                () -> host.run(TestHost.SOON, "curl", "-sS", "--max-time", "5", "http://127.0.0.1:8080/")
                        .out()
                        .equals("served"));
        nerdctl("rm", "--force", "web");
        removeImages();
        assertThat(left()).isEmpty();
        assertNothingIsLeft();
    }

    @Test
    @Order(11)
    void aRuntimeClassHasItsOwnSnapshotterAndOneShimAPod() {
        TestHost host = node().host();
        // As a cluster has it: nothing but pods of the class on coldstart.
        host.ask("/opt/coldstart/bin/coldstart-containerd", "add");
        node().stopContainerd();
        node().startContainerd();
        cri("pull", image(), "coldstart");
        String config = podConfig("pod", "{\"network\":0,\"pid\":1}");
        String pod = pod(config);
        host.write("/var/log/pods/pod/end", "");
        String one = container(
                pod,
                config,
                "one",
                "echo out; echo err >&2; echo done >/dev/termination-log; trap : TERM; while :; do sleep 1; done",
                "{\"container_path\":\"/dev/termination-log\",\"host_path\":\"/var/log/pods/pod/end\"}");
        String two = container(pod, config, "two", "sleep 1000", "");
        assertThat(host.ask("ls", "/run/containerd/s").lines()).hasSize(1);
        assertThat(host.ask("ctr", "-n", "k8s.io", "snapshots", "--snapshotter", "coldstart", "ls"))
                .contains(pod, one, two);
        assertThat(host.ask("ctr", "-n", "k8s.io", "snapshots", "--snapshotter", "overlayfs", "ls")
                        .lines())
                .hasSize(1);
        for (String id : List.of(pod, one, two)) {
            assertThat(host.ask("cat", bundle(id) + "/config.json"))
                    .contains("\"coldstart.dev/ready\":\"after:30s\"")
                    .doesNotContain("elsewhere.dev");
        }

        assertThat(probe(two, 10, "true").out()).doesNotContain("exit_code");
        assertThat(probe(two, 10, "exit 3").out()).contains("\"exit_code\":3");
        assertThat(probe(two, 1, "exec sleep 1001").err()).contains("DeadlineExceeded");
        assertThat(host.run(TestHost.SOON, "pgrep", "-f", "^sleep 1001").succeeded())
                .as("a probe that took too long goes on")
                .isFalse();
        assertThat(host.ask("cat", "/var/log/pods/pod/one.log"))
                .containsPattern("(?m)^[-0-9]+T[:.0-9]+Z stdout F out$")
                .containsPattern("(?m)^[-0-9]+T[:.0-9]+Z stderr F err$");
        assertThat(host.ask("cat", "/var/log/pods/pod/end")).isEqualTo("done");
        assertThat(call("ListContainerStats", "{}"))
                .contains(one, two)
                .containsPattern("\"usage_core_nano_seconds\":\\{\"value\":[1-9]")
                .containsPattern("\"working_set_bytes\":\\{\"value\":[1-9]");

        call("UpdateContainerResources", "{\"container_id\":\"%s\",\"linux\":{\"cpu_shares\":512}}".formatted(two));
        call(
                "UpdateContainerResources",
                "{\"container_id\":\"%s\",\"linux\":{\"memory_limit_in_bytes\":33554432}}".formatted(two));
        assertThat(
                        stdout(
                                probe(
                                        two,
                                        10,
                                        "cd /sys/fs/cgroup; cat cpu/cpu.shares memory/memory.limit_in_bytes cpu.weight memory.max 2>/dev/null; true")))
                .isIn("512\n33554432\n", "20\n33554432\n", "59\n33554432\n");

        String greedy = container(pod, config, "greedy", "x=$(dd if=/dev/zero bs=1M count=100 | tail -c 80M)", "");
        host.await("its end", LIMIT, () -> status(greedy).contains("\"state\":2"));
        assertThat(status(greedy)).contains("\"reason\":\"OOMKilled\"");
        call("StopContainer", "{\"container_id\":\"%s\",\"timeout\":1}".formatted(one));
        assertThat(status(one)).contains("\"exit_code\":137");
        call("RemoveContainer", "{\"container_id\":\"%s\"}".formatted(one));
        cri("remove-pod", pod);
        assertThat(left()).isEmpty();
    }

    @Test
    @Order(12)
    void crictlStreamsIntoContainersAndOutOfThem() {
        TestHost host = node().host();
        host.write("/etc/crictl.yaml", "runtime-endpoint: unix:///run/containerd/containerd.sock\n");
        host.write("/var/tmp/pod.json", podConfig("crictl", "{\"network\":0,\"pid\":1}"));
        host.write("/var/tmp/container.json", """
                {"metadata":{"name":"shell"},"image":{"image":"%s"},"log_path":"shell.log","stdin":true,
                 "command":["sh","-c","echo begun; cat; exec sleep 1000"]}""".formatted(image()));
        String pod = crictl("runp", "--runtime", "coldstart", "/var/tmp/pod.json");
        String id = crictl("create", pod, "/var/tmp/container.json", "/var/tmp/pod.json");
        crictl("start", id);
        assertThat(crictl("ps", "--quiet", "--pod", pod)).isEqualTo(id);

        assertThat(crictl("exec", "--sync", id, "sh", "-c", "echo at once")).isEqualTo("at once");
        assertThat(piped("printf 'to and fro'", "exec", "--interactive", id, "sh", "-c", "cat"))
                .isEqualTo("to and fro");
        assertThat(piped("head -c 3000000 /dev/zero", "exec", "--interactive", id, "sh", "-c", "cat"))
                .hasSize(3000000);
        assertThat(host.run(LIMIT, CRICTL, "exec", id, "sh", "-c", "exit 7").err())
                .contains("exit code 7");
        assertThat(host.script(
                        LIMIT,
                        "script --quiet --command \"$1 exec -it $2 sh -c 'test -t 0 && echo a terminal'\" /dev/null",
                        CRICTL,
                        id))
                .isEqualTo("a terminal");
        assertThat(piped("echo by attaching; sleep 2", "attach", "--stdin", id)).isEqualTo("by attaching");

        assertThat(crictl("logs", id)).isEqualTo("begun\nby attaching");
        assertThat(crictl("stats", id)).contains(id.substring(0, 13));
        assertThat(crictl("inspect", id)).contains("CONTAINER_RUNNING");
        crictl("stop", "--timeout", "1", id);
        crictl("rm", id);
        crictl("stopp", pod);
        crictl("rmp", pod);
        assertThat(left()).isEmpty();
    }

    private String crictl(String... arguments) {
        List<String> command = new ArrayList<>(List.of(CRICTL));
        command.addAll(List.of(arguments));
        return succeed(command.toArray(String[]::new));
    }

    /** What crictl prints that gets a command's output. */
    private String piped(String input, String... arguments) {
        List<String> all = new ArrayList<>(List.of(input, CRICTL));
        all.addAll(List.of(arguments));
        return node().host().script(LIMIT, "set -o pipefail; sh -c \"$1\" | \"${@:2}\"", all.toArray(String[]::new));
    }

    @Test
    @Order(13)
    void aPodsContainerIsRestoredInAnotherPod() {
        TestHost host = node().host();
        String config = podConfig("before", "{\"network\":0,\"pid\":1}")
                .replace(
                        "\"coldstart.dev/ready\":\"after:30s\"",
                        "\"coldstart.dev/ready\":\"after:1s\",\"coldstart.dev/snapshot\":\"auto\"");
        // What only this process knows; a start from the beginning would know another.
        String script = "read -r known </proc/sys/kernel/random/uuid; while :; do echo $known >/known; sleep 0.1; done";
        String pod = pod(config);
        String first = container(pod, config, "knows", script, "");
        host.await(
                "a snapshot",
                LIMIT,
                () -> node().coldstart("snapshot", "ls").lines().count() > 1);
        String known = stdout(probe(first, 10, "cat /known"));
        call("StopContainer", "{\"container_id\":\"%s\",\"timeout\":1}".formatted(first));
        cri("remove-pod", pod);

        config = config.replace("before", "after");
        pod = pod(config);
        String second = container(pod, config, "knows", script, "");
        assertThat(stdout(probe(second, 10, "cat /known")))
                .as(host.ask("tail", "-n", "5", "/var/log/containerd.log"))
                .isEqualTo(known);
        for (String namespace : List.of("net", "ipc", "uts")) {
            assertThat(stdout(probe(second, 10, "ls -l /proc/1/ns/" + namespace)))
                    .as(namespace)
                    .contains(host.ask(
                            "readlink", "/proc/" + host.ask("cat", bundle(pod) + "/init.pid") + "/ns/" + namespace));
        }
        cri("remove-pod", pod);
        assertThat(left()).isEmpty();
    }

    @Test
    @Order(14)
    void podsOutliveContainerdButNotTheirShim() {
        TestHost host = node().host();
        String config = podConfig("host", "{\"network\":2,\"pid\":2}");
        String pod = pod(config);
        String one = container(pod, config, "one", "sleep 1002 & sleep 1003", "");
        String two = container(pod, config, "two", "while :; do echo tick; sleep 0.2; done", "");
        assertThat(stdout(probe(two, 10, "ls -l /proc/self/ns/net /proc/self/ns/pid")))
                .contains(host.ask("readlink", "/proc/self/ns/net"))
                .contains(host.ask("readlink", "/proc/self/ns/pid"));

        node().stopContainerd();
        node().startContainerd();
        assertThat(status(one)).contains("\"state\":1");
        assertThat(status(two)).contains("\"state\":1");
        assertThat(stdout(probe(two, 10, "cat /data/small"))).isEqualTo("small\n");
        long before = host.ask("cat", "/var/log/pods/host/two.log").lines().count();
        host.await(
                "more of the container's log",
                LIMIT,
                () -> host.ask("cat", "/var/log/pods/host/two.log").lines().count() > before);
        call("StopContainer", "{\"container_id\":\"%s\",\"timeout\":1}".formatted(one));
        assertThat(host.run(TestHost.SOON, "pgrep", "-f", "^sleep 100[23]").succeeded())
                .as("a process of a stopped container lives on, as the kernel does not end it here")
                .isFalse();

        host.script(
                LIMIT,
                "kill -9 \"$(awk '/^PPid/ { print $2 }' \"/proc/$(cat \"$1\")/status\")\"",
                bundle(two) + "/init.pid");
        host.await(
                "the container to be seen as ended", LIMIT, () -> !status(two).contains("\"state\":1"));
        host.await(
                "the pod to be seen as ended",
                LIMIT,
                () -> call("PodSandboxStatus", "{\"pod_sandbox_id\":\"%s\"}".formatted(pod))
                        .contains("\"state\":1"));
        cri("remove-pod", pod);
        cri("remove-image", image());
        assertThat(left()).isEmpty();
        assertNothingIsLeft();
    }

    @Test
    @Order(15)
    void nothingIsLeftAfterStressAndKills() throws Exception {
        TestHost host = node().host();
        nerdctl("--namespace", "stress", "pull", "--quiet", image());
        CompletableFuture<Output> running = CompletableFuture.supplyAsync(() -> host.run(
                LIMIT.plusSeconds(STRESS_SECONDS),
                stress("run", Integer.toString(STRESS_SECONDS), Integer.toString(WORKERS))));
        Thread.sleep(Duration.ofSeconds(STRESS_SECONDS).dividedBy(2));
        node().stopContainerd();
        node().startContainerd();
        Output output = running.get();
        assertThat(output.status()).as(output.out() + output.err()).isZero();
        assertThat(left()).isEmpty();

        output = host.run(LIMIT, stress("kill"));
        assertThat(output.status()).as(output.out() + output.err()).isZero();
        assertThat(left()).isEmpty();
        nerdctl("--namespace", "stress", "rmi", "--force", image());
        assertNothingIsLeft();
    }

    private String[] stress(String... arguments) {
        List<String> command = new ArrayList<>(
                List.of("/opt/cri/stress", "/run/containerd/containerd.sock", "coldstart", RUNTIME, image()));
        command.addAll(List.of(arguments));
        return command.toArray(String[]::new);
    }

    private String[] runCommand(String... arguments) {
        List<String> all = new ArrayList<>(List.of("run", "--runtime", RUNTIME, "--net", "none"));
        all.addAll(List.of(arguments));
        return command(all.toArray(String[]::new));
    }

    private String run(String... arguments) {
        return succeed(runCommand(arguments));
    }

    private void awaitLog(String container, String out, String err) {
        node().host().await("the log of " + container, LIMIT, () -> {
            Output logs = node().host().run(LIMIT, command("logs", container));
            return (logs.out() + "\n").equals(out) && logs.err().contains(err.strip());
        });
    }

    private String left() {
        return node().host().script(LIMIT, LEFT);
    }

    private static String bundle(String id) {
        return "/run/containerd/io.containerd.runtime.v2.task/k8s.io/" + id;
    }

    /** A call of the CRI's runtime service, which must succeed. */
    private String call(String method, String request) {
        return cri("call", method, request);
    }

    private static String podConfig(String name, String namespaces) {
        return """
                {"metadata":{"name":"%1$s","uid":"%1$s","namespace":"default"},"log_directory":"/var/log/pods/%1$s",\
                "annotations":{"coldstart.dev/ready":"after:30s","elsewhere.dev/x":"y"},\
                "linux":{"security_context":{"namespace_options":%2$s}}}""".formatted(name, namespaces);
    }

    private String pod(String config) {
        return id(call("RunPodSandbox", "{\"config\":%s,\"runtime_handler\":\"coldstart\"}".formatted(config)));
    }

    /** A running container of a shell, which may take 64 MiB. */
    private String container(String pod, String podConfig, String name, String script, String mount) {
        Matcher namespaces =
                Pattern.compile("\"security_context\":\\{[^}]*\\}\\}").matcher(podConfig);
        assertThat(namespaces.find()).isTrue();
        String config = """
                {"metadata":{"name":"%s"},"image":{"image":"%s"},"command":["/bin/sh","-c","%s"],"log_path":"%1$s.log",\
                "mounts":[%s],"linux":{%s,"resources":{"memory_limit_in_bytes":67108864}}}""".formatted(name, image(), script, mount, namespaces.group());
        String id = id(call(
                "CreateContainer",
                "{\"pod_sandbox_id\":\"%s\",\"config\":%s,\"sandbox_config\":%s}".formatted(pod, config, podConfig)));
        call("StartContainer", "{\"container_id\":\"%s\"}".formatted(id));
        return id;
    }

    private static String id(String answer) {
        Matcher id = Pattern.compile("_id\":\"([0-9a-f]{64})\"").matcher(answer);
        assertThat(id.find()).as(answer).isTrue();
        return id.group(1);
    }

    private String status(String container) {
        return call("ContainerStatus", "{\"container_id\":\"%s\"}".formatted(container));
    }

    /** As a kubelet probes by a command. */
    private Output probe(String container, int seconds, String script) {
        return node().host()
                .run(
                        LIMIT,
                        "/opt/cri/cri",
                        "/run/containerd/containerd.sock",
                        "call",
                        "ExecSync",
                        "{\"container_id\":\"%s\",\"cmd\":[\"sh\",\"-c\",\"%s\"],\"timeout\":%d}"
                                .formatted(container, script, seconds));
    }

    private static String stdout(Output probe) {
        Matcher text = Pattern.compile("\"stdout\":\"([^\"]*)\"").matcher(probe.out());
        assertThat(text.find()).as(probe.out() + probe.err()).isTrue();
        return new String(Base64.getDecoder().decode(text.group(1)), java.nio.charset.StandardCharsets.UTF_8);
    }
}
