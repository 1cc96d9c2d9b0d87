package dev.coldstart.restore.key;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SnapshotKeyTest {
    private static final String SPEC = """
            {"ociVersion":"1.1.0","process":{"terminal":false,"user":{"uid":0,"gid":0,"additionalGids":[10,2]},
             "args":["python3","serve.py"],"env":["PATH=/bin","HOSTNAME=c1","MODEL=7b"],"cwd":"/srv",
             "capabilities":{"bounding":["CAP_KILL"],"effective":["CAP_KILL"]},
             "rlimits":[{"type":"RLIMIT_NOFILE","hard":1024,"soft":512}],"noNewPrivileges":true},
             "root":{"path":"rootfs"},"hostname":"c1",
             "mounts":[{"destination":"/proc","type":"proc","source":"proc"},
                       {"destination":"/data","type":"none","source":"/a","options":["rbind","ro"]}],
             "linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/run/netns/x"}],
                      "seccomp":{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"]}]},
                      "maskedPaths":["/proc/kcore"]}}
            """;
    private static final Host HOST =
            new Host("amd64", new TreeSet<>(List.of("avx", "avx2", "sse2")), "6.12.9", "4.2.1", "runc 1.3.6", "v2");

    private static SnapshotKey key(String spec) {
        return key(spec, HOST);
    }

    private static SnapshotKey key(String spec, Host host) {
        return SnapshotKey.of(
                ContainerSpec.parse(spec.getBytes(StandardCharsets.UTF_8)), List.of("sha256:a", "sha256:b"), host);
    }

    @Test
    void twoContainersOfOneImageShareASnapshot() {
        SnapshotKey one = key(SPEC);
        SnapshotKey other = key(SPEC.replace("\"c1\"", "\"c2\"")
                .replace("HOSTNAME=c1", "HOSTNAME=c2")
                .replace("\"source\":\"/a\"", "\"source\":\"/b\"")
                .replace("\"PATH=/bin\",\"HOSTNAME=c2\",\"MODEL=7b\"", "\"MODEL=7b\",\"PATH=/bin\""));

        assertThat(other.id()).isEqualTo(one.id()).matches("[0-9a-f]{64}");
        assertThat(one.mismatch(other)).isEmpty();
    }

    @ParameterizedTest
    @CsvSource({
        "serve.py, other.py",
        "MODEL=7b, MODEL=8b",
        "'\"/srv\"', '\"/opt\"'",
        "'\"uid\":0', '\"uid\":7'",
        "'\"terminal\":false', '\"terminal\":true'",
        "'\"python3\",\"serve.py\"', '\"python3\\nserve.py\"'"
    })
    void anotherProcessHasAnotherId(String from, String to) {
        assertThat(SPEC).contains(from);
        assertThat(key(SPEC.replace(from, to)).id()).isNotEqualTo(key(SPEC).id());
    }

    @Test
    void otherLayersHaveAnotherId() {
        ContainerSpec spec = ContainerSpec.parse(SPEC.getBytes(StandardCharsets.UTF_8));

        assertThat(SnapshotKey.of(spec, List.of("sha256:a"), HOST).id())
                .isNotEqualTo(SnapshotKey.of(spec, List.of("sha256:b"), HOST).id());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "\"/data\" | \"/other\" | mounts: here they are without /data (bind) and with /other (bind) more",
                "/proc/kcore | /proc/keys | without /proc/kcore (masked) and with /proc/keys (masked) more",
                ",\"path\":\"/run/netns/x\" | \"\" | namespaces: here they are without network by path and with network more",
                "\"effective\":[\"CAP_KILL\"] | \"effective\":[] | capabilities: here they are without effective:CAP_KILL",
                "\"soft\":512 | \"soft\":600 | without RLIMIT_NOFILE=512:1024 and with RLIMIT_NOFILE=600:1024 more",
                "\"noNewPrivileges\":true | \"noNewPrivileges\":false | no_new_privs true, here it is false",
                "SCMP_ACT_ERRNO | SCMP_ACT_ALLOW | seccomp filter",
                "\"path\":\"rootfs\" | \"path\":\"rootfs\",\"readonly\":true | read-only root false, here it is true",
                "\"noNewPrivileges\" | \"apparmorProfile\":\"p\",\"noNewPrivileges\" | security profile none, here it is apparmor:p"
            })
    void aRefusalNamesTheFieldAndBothValues(String from, String to, String reason) {
        assertThat(SPEC).contains(from);
        String changed = SPEC.replace(from, to.equals("\"\"") ? "" : to);

        assertThat(key(SPEC).mismatch(key(changed)))
                .hasValueSatisfying(sentence ->
                        assertThat(sentence).contains(reason).endsWith(".").doesNotContain("\n"));
        assertThat(key(changed).id()).isEqualTo(key(SPEC).id());
    }

    @Test
    void aNewerProcessorTakesTheSnapshotOfAnOlderOneAndNotTheOtherWayRound() {
        Host newer = new Host(
                "amd64",
                new TreeSet<>(List.of("avx", "avx2", "avx512f", "sse2")),
                "6.12.9",
                "4.2.1",
                "runc 1.3.6",
                "v2");

        assertThat(key(SPEC).mismatch(key(SPEC, newer))).isEmpty();
        assertThat(key(SPEC, newer).mismatch(key(SPEC)))
                .hasValue("The snapshot was taken with other CPU features: here they are without avx512f.");
    }

    @Test
    void otherSoftwareOfTheHostIsRefused() {
        Host other = new Host("amd64", HOST.cpuFeatures(), "6.18.1", "4.2.1", "runc 1.3.6", "v2");

        assertThat(key(SPEC).mismatch(key(SPEC, other)))
                .hasValue("The snapshot was taken with kernel 6.12.9, here it is 6.18.1.");
    }

    @Test
    void aManifestOfAnotherVersionIsRefused() {
        SnapshotKey live = key(SPEC);
        SnapshotKey older = new SnapshotKey(live.subject(), live.conditions().subList(0, 3));

        assertThat(older.mismatch(live))
                .hasValueSatisfying(reason -> assertThat(reason).contains("says nothing about"));
        assertThat(live.mismatch(older))
                .hasValueSatisfying(reason -> assertThat(reason).contains("does not know"));
    }

    @Test
    void valuesOfTheEnvironmentAreNotInTheKey() {
        String secret = "hunter2";

        assertThat(key(SPEC.replace("MODEL=7b", "TOKEN=" + secret)).toString())
                .contains("TOKEN")
                .doesNotContain(secret);
    }

    @Test
    void badSpecsAreRefusedWithASentence(@TempDir Path directory) throws IOException {
        Path config = directory.resolve("config.json");
        for (String bad : List.of("", "{", "[]", "{} {}", "{\"process\":{}}", "[".repeat(100_000))) {
            Files.writeString(config, bad);
            assertThatThrownBy(() -> ContainerSpec.read(config))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("The runtime spec " + config);
        }
    }

    @Test
    void aHostWithoutCriuSaysSo() {
        assertThatThrownBy(() -> Host.detect("runc", command -> {
                    throw new IOException("no such program");
                }))
                .isInstanceOf(IOException.class)
                .hasMessage(
                        "Snapshots need CRIU, and criu --version failed (no such program); install criu 4.2 or newer (4.1 will do before Linux 6.16).");
    }

    @Test
    void hostFactsAreReadFromWhatTheProgramsPrint() throws IOException {
        assertThat(Host.criuVersion("Version: 4.2.1\nGitID: v4.2.1\n")).isEqualTo("4.2.1");
        assertThat(Host.runtimeVersion("runc version 1.3.6+ds1\ncommit: x\n")).isEqualTo("runc 1.3.6+ds1");
        assertThat(Host.runtimeVersion("crun version 1.21\n")).isEqualTo("crun 1.21");
        assertThat(Host.cpuFeatures("processor : 0\nflags\t\t: a b pti\n\nprocessor : 1\nflags : b c\n"))
                .containsExactly("b");
    }

    @FuzzTest
    void anyBytesAreASpecOrRefused(byte[] document) {
        try {
            SnapshotKey key = SnapshotKey.of(ContainerSpec.parse(document), List.of("l"), HOST);
            assertThat(key.mismatch(key)).isEmpty();
        } catch (IllegalArgumentException expected) {
            assertThat(expected.getMessage()).isNotNull();
        }
    }
}
