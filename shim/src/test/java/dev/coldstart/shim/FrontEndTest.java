package dev.coldstart.shim;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import dev.coldstart.linux.Descriptor;
import dev.coldstart.linux.Spawn;
import dev.coldstart.proto.containerd.task.DeleteResponse;
import dev.coldstart.proto.containerd.types.RuntimeInfo;
import dev.coldstart.shim.process.Children;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The script that containerd executes, with scripts in the places of the daemon and of runc. */
@Timeout(60)
class FrontEndTest {
    private static final Path SCRIPT = Path.of("../deploy/bin/containerd-shim-coldstart-v1");

    @TempDir
    Path directory;

    private Path bundle;
    private Path link;

    @BeforeEach
    void install() throws IOException {
        bundle = Files.createDirectories(directory.resolve("state/ns/one"));
        Path home = Files.createDirectories(directory.resolve("opt/coldstart"));
        Files.createDirectories(home.resolve("bin"));
        Files.createDirectories(home.resolve("lib"));
        Files.createFile(home.resolve("lib/coldstart-shim-1.2.3.jar"));
        Files.copy(SCRIPT, home.resolve("bin/shim"), StandardCopyOption.COPY_ATTRIBUTES);
        // containerd finds it through PATH, where a link may lie.
        link = Files.createSymbolicLink(directory.resolve("link"), home.resolve("bin/shim"));
        script("opt/coldstart/runtime/bin/java", "");
        daemon("echo \"unix://$socket\"; exec >&-; sleep 0.05; echo later >>started");
        script("bin/runc", """
                case $* in
                    features) printf '{"ociVersionMin":"1.0.0","x":"%0200d"}' 0 ;;
                    *) echo "$*" >>runc-calls ;;
                esac
                """);
        Files.writeString(bundle.resolve("config.json"), "{\"annotations\":{}}");
    }

    private void daemon(String body) throws IOException {
        script("opt/coldstart/bin/coldstart-shim", """
                echo "$*" >>started
                cat >stdin
                cat /proc/self/oom_score_adj >score
                echo "$LC_ALL" >locale
                while [ $# -gt 0 ]; do
                    [ "$1" != -socket ] || socket=$2
                    shift
                done
                """ + body);
    }

    private Path script(String name, String body) throws IOException {
        Path file = directory.resolve(name);
        Files.createDirectories(file.getParent());
        Files.writeString(file, "#!/bin/sh\n" + body);
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
        return file;
    }

    private record Result(int status, ByteString stdout, String stderr) {
        String text() {
            return stdout.toStringUtf8().strip();
        }
    }

    private Result run(Path where, String stdin, String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of("dash", link.toString()));
        command.addAll(List.of(arguments));
        Path in = Files.writeString(directory.resolve("in"), stdin);
        Path out = directory.resolve("stdout");
        Path err = directory.resolve("stderr");
        Files.deleteIfExists(out);
        Files.deleteIfExists(err);
        int create = Descriptor.O_CREAT | Descriptor.O_WRONLY;
        try (Descriptor input = Descriptor.open(in.toString(), Descriptor.O_RDONLY, 0);
                Descriptor output = Descriptor.open(out.toString(), create, 0600);
                Descriptor error = Descriptor.open(err.toString(), create, 0600)) {
            Map<String, String> environment = new HashMap<>(System.getenv());
            environment.put("PATH", directory.resolve("bin") + ":" + System.getenv("PATH"));
            environment.put("LC_ALL", "C.UTF-8");
            environment.put("COLDSTART_SOCKETS", directory.resolve("s").toString());
            int status = Children.reaper()
                    .spawn(new Spawn(command)
                            .environment(environment)
                            .directory(where)
                            .descriptor(0, input)
                            .descriptor(1, output)
                            .descriptor(2, error))
                    .awaitOrKill(Duration.ofSeconds(30))
                    .status();
            return new Result(status, ByteString.copyFrom(Files.readAllBytes(out)), Files.readString(err));
        }
    }

    private Result start(Path where, String id) throws Exception {
        return run(
                where,
                "options",
                "-namespace",
                "ns",
                "-id=" + id,
                "--address",
                "/run/c.sock",
                "-publish-binary",
                "/c",
                "-new-flag=1",
                "start");
    }

    @Test
    void printsTheDaemonsAddressAndNothingElse() throws Exception {
        Result result = start(bundle, "one");
        assertThat(result.stderr()).isEmpty();
        assertThat(result.status()).isZero();
        assertThat(result.text()).matches("unix://" + directory + "/s/[0-9a-f]{64}");
        assertThat(Files.readString(bundle.resolve("started")))
                .contains("-namespace ns -id one -address /run/c.sock -socket " + directory + "/s/");
        assertThat(bundle.resolve("stdin")).hasContent("options");
        // Not the script's own, which runc and hooks would get too.
        assertThat(bundle.resolve("locale")).hasContent("C.UTF-8");
        int own = Integer.parseInt(
                Files.readString(Path.of("/proc/self/oom_score_adj")).strip());
        assertThat(bundle.resolve("score")).hasContent(Integer.toString(Math.min(1000, own + 1)));
    }

    @Test
    void socketsDoNotGrowWithNames() throws Exception {
        String text = start(bundle, "n".repeat(76)).text();
        assertThat(text.substring(text.lastIndexOf('/') + 1)).hasSize(64);
    }

    @Test
    void aLogThatNobodyReadsHoldsNothingUp() throws Exception {
        Path log = bundle.resolve("log");
        assertThat(Children.reaper()
                        .spawn(new Spawn(List.of("mkfifo", log.toString())))
                        .exit()
                        .join()
                        .status())
                .isZero();
        daemon("echo words >&2; echo \"unix://$socket\"; exec >&-; echo more >&2; echo wrote >>started");
        assertThat(start(bundle, "one").status()).isZero();
        long end = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        while (!Files.readString(bundle.resolve("started")).contains("wrote")) {
            assertThat(System.nanoTime()).isLessThan(end);
            Thread.sleep(10);
        }
    }

    @Test
    void containersOfAPodShareADaemon() throws Exception {
        String pod = "{\"process\":{\"env\":[\"A=\\\"io.kubernetes.cri.sandbox-id\\\":\\\"evil\\\"\"]},"
                + "\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"pod\"}}";
        Files.writeString(bundle.resolve("config.json"), pod);
        String address = start(bundle, "one").text();
        Path socket = Path.of(address.substring("unix://".length()));
        Path other = Files.createDirectories(directory.resolve("state/ns/two"));
        Files.writeString(other.resolve("config.json"), pod);
        try (ServerSocketChannel daemon = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            daemon.bind(UnixDomainSocketAddress.of(socket));
            Result joined = start(other, "two");
            assertThat(joined.status()).isZero();
            assertThat(joined.text()).isEqualTo(address);
            assertThat(other.resolve("address")).hasContent(address);
            assertThat(other.resolve("started")).doesNotExist();
        }
        // Its socket is still there but nobody listens: a new daemon takes its place.
        assertThat(start(other, "two").text()).isEqualTo(address);
        assertThat(other.resolve("started")).exists();
        assertThat(socket).doesNotExist();
    }

    @Test
    void saysWhyThereIsNoDaemon() throws Exception {
        daemon("echo 'The shim cannot start: no space'; exit 1");
        Result refused = start(bundle, "one");
        assertThat(refused.status()).isEqualTo(1);
        assertThat(refused.text()).isEmpty();
        assertThat(refused.stderr()).isEqualTo("containerd-shim-coldstart-v1: The shim cannot start: no space\n");
        daemon("exit 1");
        assertThat(start(bundle, "one").stderr()).contains("the daemon did not start");
        Files.delete(directory.resolve("opt/coldstart/runtime/bin/java"));
        assertThat(start(bundle, "one").stderr()).contains("install coldstart again");
        assertThat(run(bundle, "", "-id", "x", "start").stderr()).contains("-namespace is missing");
        assertThat(run(bundle, "", "-namespace", "n", "frob").stderr()).contains("the action \"frob\" is unknown");
    }

    @Test
    void deleteCleansUpOneContainer() throws Exception {
        Path root = directory.resolve("root/ns");
        Files.createDirectories(root.resolve("one"));
        Files.writeString(
                bundle.resolve("runtime"), directory.resolve("bin/runc").toString());
        Files.writeString(bundle.resolve("runtime-root"), root.toString());
        Files.writeString(bundle.resolve("init.pid"), "123456");
        Result result = run(bundle, "", "-namespace", "ns", "-id", "one", "-bundle", bundle.toString(), "delete");
        assertThat(result.status()).isZero();
        DeleteResponse response = DeleteResponse.parseFrom(result.stdout());
        assertThat(response.getPid()).isEqualTo(123456);
        assertThat(response.getExitStatus()).isEqualTo(137);
        assertThat(Instant.ofEpochSecond(response.getExitedAt().getSeconds()))
                .isBetween(Instant.now().minusSeconds(60), Instant.now().plusSeconds(1));
        assertThat(bundle.resolve("runc-calls")).hasContent("--root " + root + " delete --force one");
    }

    @Test
    void deleteTakesTheSocketOfADeadDaemonAlone() throws Exception {
        String address = start(bundle, "one").text();
        Files.writeString(bundle.resolve("address"), address);
        Path socket = Path.of(address.substring("unix://".length()));
        try (ServerSocketChannel daemon = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            daemon.bind(UnixDomainSocketAddress.of(socket));
            assertThat(run(bundle, "", "-namespace", "ns", "-id", "one", "delete")
                            .status())
                    .isZero();
            assertThat(socket).exists();
        }
        assertThat(run(bundle, "", "-namespace", "ns", "-id", "one", "delete").status())
                .isZero();
        assertThat(socket).doesNotExist();
    }

    @Test
    void deleteOfNothingSucceeds() throws Exception {
        Result result = run(bundle, "", "-namespace", "ns", "-id", "gone", "delete");
        assertThat(result.status()).isZero();
        assertThat(DeleteResponse.parseFrom(result.stdout()).getExitStatus()).isEqualTo(137);
        assertThat(bundle.resolve("runc-calls")).doesNotExist();
    }

    @Test
    void tellsAboutItself() throws Exception {
        RuntimeInfo info = RuntimeInfo.parseFrom(run(directory, "", "-info").stdout());
        assertThat(info.getName()).isEqualTo("io.containerd.coldstart.v1");
        assertThat(info.getVersion().getVersion()).isEqualTo("1.2.3");
        assertThat(info.getFeatures().getTypeUrl())
                .isEqualTo("types.containerd.io/opencontainers/runtime-spec/1/features/Features");
        assertThat(info.getFeatures().getValue().toStringUtf8())
                .startsWith("{\"ociVersionMin\"")
                .hasSize(232);
        assertThat(run(directory, "", "-v").text()).isEqualTo("containerd-shim-coldstart-v1 1.2.3");
    }
}
