package dev.coldstart.snapshotter.registry;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.proto.cri.AuthConfig;
import dev.coldstart.snapshotter.registry.Credential.IdentityToken;
import dev.coldstart.snapshotter.registry.Credential.Password;
import dev.coldstart.snapshotter.registry.Credential.RegistryToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Logins as files, helper programs and the kubelet tell them. */
class LoginFileTest {
    private static final Path FILE = Path.of("config.json");

    @TempDir
    Path directory;

    private static LoginFile parse(String json) throws IOException {
        return LoginFile.parse(FILE, json.getBytes(StandardCharsets.UTF_8));
    }

    @Test
    void theMostSpecialLoginComesFirst() throws Exception {
        LoginFile file = parse("""
                {"HttpHeaders": {"a": "b"}, "auths": {
                  "r.example": {"username": "all", "password": "1"},
                  "r.example/team": {"username": "team", "password": "2"},
                  "https://r.example/team/model/": {"username": "model", "password": "3"},
                  "r.exam*": {"username": "any", "password": "4"},
                  "r*.example:5000": {"username": "port", "password": "5"},
                  "https://index.docker.io/v1/": {"auth": "aHViOnA6dw=="},
                  "nothing.example": {},
                  "token.example": {"identitytoken": "abc", "username": "x", "password": "y"},
                  "own.example": {"registrytoken": "def"}}}
                """);
        assertThat(file.find("r.example", "team/model"))
                .containsExactly(
                        new Password("model", "3"),
                        new Password("team", "2"),
                        new Password("all", "1"),
                        new Password("any", "4"));
        assertThat(file.find("r.example", "teams/model"))
                .containsExactly(new Password("all", "1"), new Password("any", "4"));
        assertThat(file.find("a.b.example", "x")).isEmpty();
        assertThat(file.find("r7.example:5000", "x")).containsExactly(new Password("port", "5"));
        assertThat(file.find("docker.io", "library/python")).containsExactly(new Password("hub", "p:w"));
        assertThat(file.find("nothing.example", "x")).isEmpty();
        assertThat(file.find("token.example", "x")).containsExactly(new IdentityToken("abc"));
        assertThat(file.find("own.example", "x")).containsExactly(new RegistryToken("def"));
    }

    @Test
    void credentialsDoNotPrintThemselves() {
        assertThat(List.of(new Password("u", "s3cret"), new IdentityToken("s3cret"), new RegistryToken("s3cret"))
                        .toString())
                .doesNotContain("s3cret");
    }

    @Test
    void whatIsWrongIsAnErrorThatQuotesNothing() {
        for (String text : List.of(
                "{\"auths\":{\"h\":{\"password\": s3cret}}}",
                "{\"auths\":{\"h\":{\"password\": \"s3cret",
                "s3cret",
                "[\"s3cret\"]",
                "{\"auths\":{\"h\":{\"password\": \"s3cret\" \"x\"}}}")) {
            assertThatThrownBy(() -> parse(text))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("config.json")
                    .hasMessageNotContaining("s3cret")
                    .hasNoCause();
        }
    }

    private Path helper(String script) throws IOException {
        Path program = directory.resolve("docker-credential-test");
        Files.writeString(program, "#!/bin/sh\n" + script);
        Files.setPosixFilePermissions(program, PosixFilePermissions.fromString("rwx------"));
        return program;
    }

    private DockerConfig config(String json, Duration patience) throws IOException {
        Path file = Files.writeString(directory.resolve("config.json"), json);
        return new DockerConfig(
                file,
                name -> new CredentialHelper(
                        name,
                        List.of(directory.resolve("docker-credential-test").toString()),
                        patience));
    }

    @Test
    void helpersAreAskedForTheirHostsAndTheStoreForAllOthers() throws Exception {
        helper("""
                [ "$1" = get ] || exit 2
                read -r server || true
                case "$server" in
                    empty.example) echo "credentials not found in native keychain"; exit 1;;
                    token.example) echo '{"ServerURL":"x","Username":"<token>","Secret":"refresh"}';;
                    odd.example) echo 'no json s3cret';;
                    *) printf '{"ServerURL":"%s","Username":"%s","Secret":"s3cret"}' "$server" "$server";;
                esac
                """);
        try (CapturedLog log = new CapturedLog()) {
            DockerConfig one = config(
                    "{\"credHelpers\":{\"a.example\":\"test\"},\"auths\":{\"b.example\":{\"auth\":\"dTpw\"}}}",
                    Duration.ofMinutes(1));
            assertThat(one.find("a.example", "x")).containsExactly(new Password("a.example", "s3cret"));
            assertThat(one.find("b.example", "x")).containsExactly(new Password("u", "p"));
            DockerConfig all = config("{\"credsStore\":\"test\"}", Duration.ofMinutes(1));
            assertThat(all.find("docker.io", "x"))
                    .containsExactly(new Password("https://index.docker.io/v1/", "s3cret"));
            assertThat(all.find("token.example", "x")).containsExactly(new IdentityToken("refresh"));
            assertThat(all.find("empty.example", "x")).isEmpty();
            assertThat(all.find("odd.example", "x")).isEmpty();
            assertThat(log.text())
                    .contains("gave no valid answer for odd.example")
                    .doesNotContain("s3cret");
        }
    }

    @Test
    void aHelperThatHangsOrIsMissingIsGotOver() throws Exception {
        helper("sleep 1000\n");
        DockerConfig config = config(
                "{\"credsStore\":\"test\",\"auths\":{\"b.example\":{\"auth\":\"dTpw\"}}}", Duration.ofMillis(500));
        assertThat(config.find("b.example", "x")).containsExactly(new Password("u", "p"));
        Files.delete(directory.resolve("docker-credential-test"));
        assertThat(config.find("b.example", "x")).containsExactly(new Password("u", "p"));
        assertThat(new CredentialHelper("../../bin/sh").get("b.example")).isNull();
    }

    @Test
    void aConfigurationThatChangesIsReadAgainAndABrokenOneIsNot() throws Exception {
        DockerConfig config = config("{}", Duration.ofSeconds(1));
        assertThat(config.find("b.example", "x")).isEmpty();
        Path file = directory.resolve("config.json");
        Files.writeString(file, "{\"auths\":{\"b.example\":{\"auth\":\"dTpw\"}}}");
        assertThat(config.find("b.example", "x")).containsExactly(new Password("u", "p"));
        Files.writeString(file, "{\"auths\":{\"b.example\":");
        assertThat(config.find("b.example", "x")).containsExactly(new Password("u", "p"));
        Files.delete(file);
        assertThat(config.find("b.example", "x")).isEmpty();
    }

    @Test
    void pullSecretsAreFoundAsPodsMountThem() throws Exception {
        // As the kubelet lays out a secret volume.
        Path volume = Files.createDirectories(directory.resolve("secrets").resolve("one"));
        Path real = Files.createDirectory(volume.resolve("..2026_01_01"));
        Files.writeString(real.resolve(".dockerconfigjson"), "{\"auths\":{\"a.example\":{\"auth\":\"dTpw\"}}}");
        Files.createSymbolicLink(volume.resolve("..data"), Path.of("..2026_01_01"));
        Files.createSymbolicLink(volume.resolve(".dockerconfigjson"), Path.of("..data/.dockerconfigjson"));
        PullSecrets secrets = new PullSecrets(directory.resolve("secrets"));
        assertThat(secrets.find("a.example", "x")).containsExactly(new Password("u", "p"));

        Path next = Files.createDirectory(volume.resolve("..2026_01_02"));
        Files.writeString(
                next.resolve(".dockerconfigjson"),
                "{\"auths\":{\"a.example\":{\"auth\":\"dTpw\"}, " + "\"b.example\":{\"auth\":\"dTpw\"}}}");
        Files.createSymbolicLink(volume.resolve("..new"), Path.of("..2026_01_02"));
        Files.move(volume.resolve("..new"), volume.resolve("..data"), java.nio.file.StandardCopyOption.ATOMIC_MOVE);
        assertThat(secrets.find("b.example", "x")).containsExactly(new Password("u", "p"));

        Files.writeString(directory.resolve("secrets").resolve("two.dockercfg"), "{\"c.example\":{\"auth\":\"dTpw\"}}");
        Files.writeString(directory.resolve("secrets").resolve("broken"), "{\"c.example\"");
        assertThat(secrets.find("c.example", "x")).containsExactly(new Password("u", "p"));
        assertThat(new PullSecrets(directory.resolve("absent")).find("c.example", "x"))
                .isEmpty();
    }

    @Test
    void whatTheKubeletSentIsForItsImagesRepositoryAndForADay() {
        AtomicLong now = new AtomicLong(5);
        CriKeychain keychain = new CriKeychain(now::get);
        AuthConfig auth =
                AuthConfig.newBuilder().setUsername("u").setPassword("p").build();
        keychain.remember("python:3", auth);
        keychain.remember("team/model", auth);
        keychain.remember("r.example:5000/a/b@sha256:" + "0".repeat(64), auth);
        keychain.remember(
                "other.example/a",
                auth.toBuilder().setServerAddress("https://else.example").build());
        keychain.remember("docker.io/library/empty", AuthConfig.getDefaultInstance());
        keychain.remember("No such name!", auth);
        Password password = new Password("u", "p");
        assertThat(keychain.find("docker.io", "library/python")).containsExactly(password);
        assertThat(keychain.find("docker.io", "team/model")).containsExactly(password);
        assertThat(keychain.find("r.example:5000", "a/b")).containsExactly(password);
        assertThat(keychain.find("r.example:5000", "a/c")).isEmpty();
        assertThat(keychain.find("other.example", "a")).isEmpty();
        assertThat(keychain.find("docker.io", "library/empty")).isEmpty();
        now.addAndGet(Duration.ofHours(25).toNanos());
        assertThat(keychain.find("docker.io", "library/python")).isEmpty();
        for (int i = 0; i < 5000; i++) {
            keychain.remember("r.example/many" + i, auth);
        }
        assertThat(keychain.find("r.example", "many0")).isEmpty();
        assertThat(keychain.find("r.example", "many4999")).containsExactly(password);
    }
}
