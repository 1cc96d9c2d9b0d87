package dev.coldstart.integration.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.integration.host.Output;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.Root;
import dev.coldstart.integration.host.Suite;
import dev.coldstart.integration.host.TestHost;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestMethodOrder;

/**
 * coldstart as the snapshotter of nerdctl and of the CRI, on a containerd that the installer has told of it: images from a
 * registry and images made on the node, two namespaces, restarts, and what is left when all is removed.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
abstract class ClientScenarios {
    static final Duration LIMIT = Duration.ofMinutes(4);
    /**
     * What a container that only prints something ends with: containerd's client takes an end for a reason to close the
     * output, also before it has read it (client/task.go and pkg/cio, Cancel), which shows on a busy machine.
     */
    static final String LINGER = " && sleep 0.5";

    /** Of random bytes, which no compression makes less. */
    private static final long BIG_BYTES = 24L << 20;

    private static final String MAKE_IMAGE = """
            set -e
            mkdir -p /image/bin /image/data /image/tmp
            for program in sh cat dd id ls mkdir rm sha256sum sleep stat tail tty; do
                cp "/bin/$program" /image/bin/
                for library in $(ldd "/bin/$program" | grep -o '/[^ ]*'); do
                    mkdir -p "/image$(dirname "$library")"
                    cp -L "$library" "/image$library"
                done
            done
            head -c 24M /dev/urandom >/image/data/big
            echo small >/image/data/small
            """;

    /** The CRI wants a network plug-in; this one makes nothing and says that it did. */
    private static final String MAKE_NETWORK = """
            set -e
            mkdir -p /opt/network /etc/cni/net.d
            cat >/opt/network/none <<'END'
            #!/bin/sh
            version=$(sed -n 's/.*"cniVersion": *"\\([0-9.]*\\)".*/\\1/p')
            case $CNI_COMMAND in
            VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.3.1","0.4.0","1.0.0"]}' ;;
            ADD) printf '{"cniVersion":"%s","interfaces":[{"name":"%s","sandbox":"%s"}],"ips":[{"version":"4","address":"10.88.0.2/24","interface":0}]}' \\
                "$version" "$CNI_IFNAME" "$CNI_NETNS" ;;
            esac
            END
            chmod 755 /opt/network/none
            cp /opt/network/none /opt/network/loopback
            echo '{"cniVersion":"0.4.0","name":"none","plugins":[{"type":"none"}]}' >/etc/cni/net.d/10-none.conflist
            """;

    private final Suite suite;
    private final String prefix;
    private @Nullable Registry registry;
    private @Nullable Node node;
    private String image = "";
    private String sum = "";

    ClientScenarios(Suite suite, String prefix) {
        this.suite = suite;
        this.prefix = prefix;
    }

    @BeforeAll
    void startNode() {
        Root.assume();
        Repository repository = Repository.here();
        List<TestHost.Bind> clients = List.of(
                Built.orSkip(Clients.NERDCTL, repository),
                Built.orSkip(Clients.CRI, repository),
                Built.orSkip(Clients.CNI, repository));
        registry = Registry.start(repository, prefix + "-reg");
        node = Node.create(repository, prefix + "-node", suite, registry, clients);
        TestHost host = node.host();
        host.script(LIMIT, MAKE_IMAGE);
        host.script(LIMIT, MAKE_NETWORK);
        sum = host.ask("sha256sum", "/image/data/big").substring(0, 64);
        image = registry.push(host, "small", "tar -C /image -cf - .", "{\"Cmd\":[\"/bin/sleep\",\"infinity\"]}");
        host.write("/etc/containerd/config.toml", """
                version = 2

                [plugins."io.containerd.grpc.v1.cri"]
                  sandbox_image = "%s"
                  # A test host may have no right to spare its pods.
                  restrict_oom_score_adj = true
                  [plugins."io.containerd.grpc.v1.cri".cni]
                    bin_dir = "/opt/network"
                    conf_dir = "/etc/cni/net.d"
                # How long nerdctl's restart policies wait.
                [plugins."io.containerd.internal.v1.restart"]
                  interval = "1s"
                """.formatted(image));
        node.startSnapshotter();
        node.coldstart("index", image);
    }

    @AfterAll
    void destroy() {
        if (node != null) {
            node.close();
        }
        if (registry != null) {
            registry.close();
        }
    }

    @Test
    @Order(1)
    void theInstallerTellsContainerd() {
        TestHost host = node().host();
        String before = host.ask("cat", "/etc/containerd/config.toml");
        host.ask("/opt/coldstart/bin/coldstart-containerd", "add", "--all-pods");
        String once = host.ask("cat", "/etc/containerd/config.toml", "/etc/containerd/conf.d/coldstart.toml");
        host.ask("/opt/coldstart/bin/coldstart-containerd", "add", "--all-pods");
        assertThat(host.ask("cat", "/etc/containerd/config.toml", "/etc/containerd/conf.d/coldstart.toml"))
                .as("after it was done twice")
                .isEqualTo(once);
        assertThat(host.ask("containerd", "config", "dump").replace('\'', '"'))
                .contains("[proxy_plugins.coldstart]")
                .contains("address = \"/run/coldstart/snapshotter.sock\"")
                .contains("root = \"/var/lib/coldstart\"")
                .contains("runtimes.coldstart]")
                .as("what the user had")
                .contains("conf_dir = \"/etc/cni/net.d\"")
                .as("for the transfer service and for all pods")
                .contains("snapshotter = \"coldstart\"", "snapshotter = \"overlayfs\"");

        host.ask("/opt/coldstart/bin/coldstart-containerd", "remove");
        assertThat(host.ask("cat", "/etc/containerd/config.toml")).isEqualTo(before);
        assertThat(host.run(TestHost.SOON, "test", "-e", "/etc/containerd/conf.d")
                        .succeeded())
                .isFalse();

        node().startContainerd();
        Output doctor = host.run(LIMIT, "/opt/coldstart/bin/coldstart", "doctor");
        assertThat(doctor.status()).as(doctor.out()).isEqualTo(1);
        assertThat(doctor.out()).containsPattern("PROBLEM +containerd's configuration +it names no snapshotter");
        host.ask("/opt/coldstart/bin/coldstart-containerd", "add", "--all-pods");
        doctor = host.run(LIMIT, "/opt/coldstart/bin/coldstart", "doctor");
        assertThat(doctor.out()).containsPattern("PROBLEM +containerd's configuration .*restart containerd");
        node().stopContainerd();
        node().startContainerd();
        doctor = host.run(LIMIT, "/opt/coldstart/bin/coldstart", "doctor");
        assertThat(doctor.status()).as(doctor.out()).isZero();
        assertThat(doctor.out())
                .doesNotContain("PROBLEM")
                .contains("registry " + registry().address());
    }

    @Test
    @Order(2)
    void nerdctlPullsLazilyRunsAndCommits() {
        TestHost host = node().host();
        long before = host.bytesFrom(registry().host());
        nerdctl("pull", "--quiet", image);
        assertThat(printed("default", image, "cat /data/small")).isEqualTo("small");
        assertThat(host.bytesFrom(registry().host()) - before)
                .as("bytes that came for a pull and a small file")
                .isLessThan(BIG_BYTES / 3);
        assertThat(printed("default", image, "sha256sum /data/big")).startsWith(sum);
        Output doctor = host.run(LIMIT, "/opt/coldstart/bin/coldstart", "doctor", image);
        assertThat(doctor.status()).as(doctor.out()).isZero();
        assertThat(doctor.out()).contains("lazy, and mounted");

        nerdctl(
                "run",
                "--detach",
                "--name",
                "writer",
                "--net",
                "none",
                image,
                "sh",
                "-c",
                "echo new >/data/new && rm /data/small && mkdir /ready && sleep 1000");
        host.await(
                "what the container writes",
                TestHost.SOON,
                () -> host.run(TestHost.SOON, command("exec", "writer", "ls", "/ready"))
                        .succeeded());
        nerdctl("commit", "writer", "here:committed");
        assertThat(printed("default", "here:committed", "cat /data/new; ls /data"))
                .isEqualTo("new\nbig\nnew");

        // An image of local layers alone: no registry has it.
        nerdctl("save", "--output", "/var/tmp/image.tar", "here:committed");
        nerdctl("rm", "--force", "writer");
        removeImages();
        assertNothingIsLeft();
        registry().down();
        try {
            nerdctl("load", "--input", "/var/tmp/image.tar");
            assertThat(printed("default", "here:committed", "cat /data/new")).isEqualTo("new");
        } finally {
            registry().up();
        }
        removeImages();
        assertNothingIsLeft();
    }

    @Test
    @Order(3)
    void twoNamespacesShareALayerAndEitherMayGo() {
        for (String namespace : List.of("one", "two")) {
            nerdctl("--namespace", namespace, "pull", "--quiet", image);
            assertThat(printed(namespace, image, "cat /data/small")).isEqualTo("small");
        }
        assertThat(mountedTrees()).isEqualTo(1);
        nerdctl("--namespace", "one", "rmi", "--force", image);
        node().host().await("the garbage collection", LIMIT, () -> snapshots("one") == 0);
        assertThat(printed("two", image, "sha256sum /data/big")).startsWith(sum);
        nerdctl("--namespace", "two", "rmi", "--force", image);
        assertNothingIsLeft();
    }

    @Test
    @Order(4)
    void afterARestartAllIsThereWithoutTheRegistry() {
        nerdctl("pull", "--quiet", image);
        nerdctl("run", "--rm", "--net", "none", image, "sha256sum", "/data/big");
        node().stopContainerd();
        node().stopSnapshotter();
        registry().down();
        try {
            node().startSnapshotter();
            node().startContainerd();
            assertThat(printed("default", image, "sha256sum /data/big")).startsWith(sum);
        } finally {
            registry().up();
        }
        removeImages();
        assertNothingIsLeft();
    }

    @Test
    @Order(5)
    void aPodIsServedLazily() {
        TestHost host = node().host();
        cri("pull", image);
        String pod = cri("pod", "pod");
        String container = cri("start", pod, image, "/bin/sleep", "1000");
        assertThat(cri("exec", container, "cat", "/data/small")).isEqualTo("small");
        assertThat(cri("exec", container, "sha256sum", "/data/big")).startsWith(sum);
        assertThat(cri("exec", container, "sh", "-c", "echo new >/data/new && cat /data/new"))
                .isEqualTo("new");
        assertThat(host.ask("ctr", "-n", "k8s.io", "snapshots", "--snapshotter", "coldstart", "ls"))
                .contains(pod, container);
        host.await("the usage that the CRI saw", LIMIT, () -> {
            String[] used = cri("filesystem").split(" ", -1);
            return used[0].equals("/var/lib/coldstart") && Long.parseLong(used[1]) > BIG_BYTES;
        });
        cri("remove-pod", pod);
        cri("remove-image", image);
        assertNothingIsLeft();
    }

    @Test
    @Order(6)
    void aPodInAUserNamespaceSeesItsOwnOwners() {
        assumeTrue(suite == Suite.SID, "needs a runc that maps the owners of mounts: 1.2 or newer");
        cri("pull", image);
        String pod = cri("pod", "mapped", "", "200000");
        String container = cri("start", pod, image, "/bin/sleep", "1000");
        assertThat(cri("exec", container, "cat", "/proc/self/uid_map")).containsPattern("0 +200000 +65536");
        assertThat(cri("exec", container, "stat", "-c", "%u:%g", "/", "/data/small"))
                .isEqualTo("0:0\n0:0");
        assertThat(cri("exec", container, "sh", "-c", "echo new >/data/new && stat -c %u /data/new"))
                .isEqualTo("0");
        cri("remove-pod", pod);
        cri("remove-image", image);
        assertNothingIsLeft();
    }

    /** This node has never read these layers: their own tables of contents say what is where. */
    @Test
    @Order(7)
    void layersMadeForLazyReadingAreReadSoAtTheirFirstPull() {
        TestHost host = node().host();
        for (String format : List.of("estargz", "zstdchunked")) {
            host.script(LIMIT, "head -c 24M /dev/urandom >/image/data/big");
            String bytes = host.ask("sha256sum", "/image/data/big").substring(0, 64);
            String plain = registry()
                    .push(host, "plain-" + format, "tar -C /image -cf - .", "{\"Cmd\":[\"/bin/sleep\",\"infinity\"]}");
            String converted = registry().address() + "/" + format + ":latest";
            nerdctl("--snapshotter", "overlayfs", "pull", "--quiet", plain);
            nerdctl("--snapshotter", "overlayfs", "image", "convert", "--oci", "--" + format, plain, converted);
            nerdctl("--snapshotter", "overlayfs", "push", "--quiet", converted);
            removeImages();

            long before = host.bytesFrom(registry().host());
            nerdctl("pull", "--quiet", converted);
            assertThat(printed("default", converted, "cat /data/small")).isEqualTo("small");
            assertThat(host.bytesFrom(registry().host()) - before)
                    .as("bytes that came for a first pull of " + format + " and a small file")
                    .isLessThan(BIG_BYTES / 3);
            assertThat(printed("default", converted, "sha256sum /data/big")).startsWith(bytes);
            Output doctor = host.run(LIMIT, "/opt/coldstart/bin/coldstart", "doctor", converted);
            assertThat(doctor.status()).as(doctor.out()).isZero();
            removeImages();
            assertNothingIsLeft();
        }
    }

    /** The registry has lost the layer when the image is pulled: only the index can say what is in it. */
    @Test
    @Order(8)
    void aSociIndexInTheRegistrySaysWhatIsInALayer() throws IOException {
        TestHost host = node().host();
        Path fixtures =
                Repository.here().root().resolve("snapshotter/src/test/resources/dev/coldstart/snapshotter/toc");
        byte[] layer = Files.readAllBytes(fixtures.resolve("gzip"));
        Base64.Encoder base64 = Base64.getEncoder();
        String hex = registry()
                .pushWithSoci(
                        host,
                        "soci",
                        base64.encodeToString(layer),
                        base64.encodeToString(Files.readAllBytes(fixtures.resolve("ztoc.gz"))));
        String indexed = registry().address() + "/soci:latest";
        String stored = "/var/lib/docker-registry/docker/registry/v2/blobs/sha256/" + hex.substring(0, 2) + "/" + hex;
        registry().host().script(LIMIT, "mv \"$1\" /tmp/lost", stored);
        nerdctl("pull", "--quiet", indexed);
        host.script(LIMIT, "mkdir /tmp/soci && ctr images mount --snapshotter coldstart \"$1\" /tmp/soci", indexed);
        assertThat(host.ask("stat", "-c", "%s %a", "/tmp/soci/usr/bin/large", "/tmp/soci/usr/bin/su"))
                .isEqualTo("100000 644\n4096 4755");
        registry().host().script(LIMIT, "mv /tmp/lost \"$1\"", stored);
        String large = host.script(
                LIMIT, "echo \"$1\" | base64 -d | tar -xzO usr/bin/large | sha256sum", base64.encodeToString(layer));
        assertThat(host.script(LIMIT, "sha256sum </tmp/soci/usr/bin/large")).isEqualTo(large);
        host.script(LIMIT, "ctr images unmount --rm --snapshotter coldstart /tmp/soci");
        removeImages();
        assertNothingIsLeft();
    }

    String[] command(String... arguments) {
        List<String> command = new ArrayList<>(
                List.of("/opt/nerdctl/nerdctl", "--snapshotter", "coldstart", "--cgroup-manager", "cgroupfs"));
        command.addAll(List.of("--cni-path", "/opt/cni", "--cni-netconfpath", "/etc/cni/nerdctl"));
        command.addAll(List.of(arguments));
        return command.toArray(String[]::new);
    }

    String nerdctl(String... arguments) {
        return succeed(command(arguments));
    }

    String cri(String... arguments) {
        List<String> command = new ArrayList<>(List.of("/opt/cri/cri", "/run/containerd/containerd.sock"));
        command.addAll(List.of(arguments));
        return succeed(command.toArray(String[]::new));
    }

    /** What a script prints in a container of an image. */
    private String printed(String namespace, String image, String script) {
        return nerdctl("--namespace", namespace, "run", "--rm", "--net", "none", image, "sh", "-c", script + LINGER);
    }

    String succeed(String... command) {
        Output output = node().host().run(LIMIT, command);
        assertThat(output.status())
                .as("%s: %s%s", String.join(" ", command), output.out(), output.err())
                .isZero();
        return output.out();
    }

    void removeImages() {
        node().host()
                .script(
                        LIMIT,
                        "ctr images ls -q | while read -r image; do ctr images rm --sync \"$image\"; done; ctr content prune references >/dev/null");
    }

    private long snapshots(String namespace) {
        return node().host()
                .ask("ctr", "-n", namespace, "snapshots", "--snapshotter", "coldstart", "ls")
                .lines()
                .skip(1)
                .count();
    }

    private int mountedTrees() {
        return Integer.parseInt(
                node().host().ask("sh", "-c", "grep -c ' /run/coldstart/t/' /proc/self/mountinfo || true"));
    }

    /** No snapshot, in any namespace, and nothing of one on disk or mounted. */
    void assertNothingIsLeft() {
        TestHost host = node().host();
        host.await(
                "containerd's garbage collection",
                TestHost.SOON,
                () -> List.of("default", "k8s.io", "one", "two", "stress").stream()
                                .allMatch(namespace -> snapshots(namespace) == 0)
                        && mountedTrees() == 0
                        && host.ask("ls", "/var/lib/coldstart/fs", "/run/coldstart/t", "/run/coldstart/m")
                                .lines()
                                .allMatch(line -> line.isEmpty() || line.endsWith(":")));
    }

    Node node() {
        if (node == null) {
            throw new IllegalStateException("the node was not started");
        }
        return node;
    }

    /** Its first process sleeps for ever if nothing else is said. */
    String image() {
        return image;
    }

    private Registry registry() {
        if (registry == null) {
            throw new IllegalStateException("the registry was not started");
        }
        return registry;
    }
}
