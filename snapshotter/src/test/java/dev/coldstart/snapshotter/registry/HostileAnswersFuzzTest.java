package dev.coldstart.snapshotter.registry;

import static org.assertj.core.api.Assertions.assertThat;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Whatever stands in files and headers: a sound result or an {@link IOException} in bounded time. */
final class HostileAnswersFuzzTest {
    private static final Path FILE = Path.of("/etc/containerd/certs.d/r/hosts.toml");

    @FuzzTest(maxDuration = "2m")
    void anyBytesAsHostsToml(byte[] bytes) {
        try {
            for (HostsFile.Server server : HostsFile.parse(FILE, new String(bytes, StandardCharsets.UTF_8))) {
                URI base = server.base();
                if (base != null) {
                    assertThat(base.getScheme()).isIn("http", "https");
                    assertThat(base.getHost()).isNotEmpty();
                    assertThat(URI.create(base + "/team/model/blobs/x").getHost())
                            .isEqualTo(base.getHost());
                }
                assertThat(server.dialTimeout()).isPositive();
            }
        } catch (IOException e) {
            assertThat(e).hasMessageContaining(FILE.toString());
        }
    }

    @FuzzTest(maxDuration = "2m")
    void anyBytesAsAChallenge(byte[] bytes) {
        String header = new String(bytes, StandardCharsets.ISO_8859_1);
        for (Challenge challenge : Challenge.parse(List.of(header, header))) {
            assertThat(challenge.scheme()).isNotEmpty();
        }
    }

    @FuzzTest(maxDuration = "2m")
    void anyBytesAsDockersConfiguration(byte[] bytes) {
        try {
            LoginFile file = LoginFile.parse(FILE, bytes);
            assertThat(file.find("registry.example:5000", "team/model"))
                    .allSatisfy(credential -> assertThat(credential.toString()).startsWith("a"));
        } catch (IOException e) {
            assertThat(e).hasMessageContaining(FILE.toString()).hasNoCause();
        }
    }

    @Test
    void mutatedFilesAreReadOrRefused() {
        Random random = new Random(3);
        for (String sound : List.of("""
                server = "https://r.example"
                [host."https://m.example:5000"]
                capabilities = ["pull"]
                ca = ["a.pem"]
                client = [["a", "b"]]
                dial_timeout = "1s"
                header = {a = "b"}
                """, """
                {"auths":{"r.example":{"auth":"dTpw"},"*.r.example/x":{"username":"u","password":"p"}},
                "credHelpers":{"a":"b"},"credsStore":"c"}""", "Bearer realm=\"https://r/t\\\"\",scope=a:b, Basic realm=x")) {
            for (int i = 0; i < 1000; i++) {
                byte[] mutant = sound.getBytes(StandardCharsets.UTF_8);
                for (int change = random.nextInt(4); change >= 0; change--) {
                    mutant[random.nextInt(mutant.length)] = (byte) random.nextInt(256);
                }
                anyBytesAsHostsToml(mutant);
                anyBytesAsDockersConfiguration(mutant);
                anyBytesAsAChallenge(mutant);
            }
        }
    }

    @Test
    void challengesAreReadAsServersWriteThem() {
        assertThat(Challenge.parse(List.of("Bearer realm=\"https://a/t?x=1,2\", service=\"s\\\"q\" ,scope=\"r:a,b\"")))
                .containsExactly(new Challenge(
                        "bearer", Map.of("realm", "https://a/t?x=1,2", "service", "s\"q", "scope", "r:a,b")));
        assertThat(Challenge.parse(List.of("BASIC Realm=x, Bearer realm=y,error=\"invalid_token\"", "Negotiate")))
                .containsExactly(
                        new Challenge("basic", Map.of("realm", "x")),
                        new Challenge("bearer", Map.of("realm", "y", "error", "invalid_token")),
                        new Challenge("negotiate", Map.of()));
        Challenge best = Challenge.best(List.of("Basic realm=x", "Bearer realm=y"));
        assertThat(best == null ? "" : best.scheme()).isEqualTo("bearer");
        assertThat(Challenge.best(List.of("Negotiate abc", ""))).isNull();
    }

    @Test
    void signedAddressesSayWhenTheyEnd() {
        Instant now = Instant.parse("2026-01-01T12:00:00Z");
        Map<String, String> ends = Map.of(
                "https://s/x?X-Amz-Date=20260101T115000Z&X-Amz-Expires=1200&X-Amz-Signature=a",
                "2026-01-01T12:09:50Z",
                "https://s/x?x-goog-date=20260101T120000Z&x-goog-expires=60",
                "2026-01-01T12:00:50Z",
                "https://s/x?Expires=1767268860",
                "2026-01-01T12:00:50Z",
                "https://s/x?se=2026-01-01T12%3A05%3A00Z&sig=a",
                "2026-01-01T12:04:50Z",
                "https://s/x?X-Amz-Date=20270101T115000Z&X-Amz-Expires=60",
                "2026-01-01T12:00:50Z",
                "https://s/x",
                "2026-01-01T12:10:00Z",
                "https://s/x?se=soon&Expires=never&X-Amz-Expires=-1",
                "2026-01-01T12:10:00Z");
        ends.forEach((address, end) ->
                assertThat(Locations.end(URI.create(address), now)).as(address).isEqualTo(Instant.parse(end)));
    }
}
