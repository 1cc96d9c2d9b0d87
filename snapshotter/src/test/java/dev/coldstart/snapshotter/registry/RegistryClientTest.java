package dev.coldstart.snapshotter.registry;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.registry.RegistryException.Reason;
import dev.coldstart.snapshotter.registry.ScriptedServer.Request;
import dev.coldstart.snapshotter.registry.ScriptedServer.Script;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The client in front of servers that do what real ones do on bad days. */
class RegistryClientTest {
    private static final String BLOB = "/v2/team/model/blobs/";

    @TempDir
    Path directory;

    private final Deque<AutoCloseable> parts = new ArrayDeque<>();
    private byte[] bytes;
    private Digest digest;

    @BeforeEach
    void start() throws Exception {
        bytes = new byte[3_000_000];
        new Random(5).nextBytes(bytes);
        digest = Digest.of(MessageDigest.getInstance("SHA-256").digest(bytes));
    }

    @AfterEach
    void stop() throws Exception {
        while (!parts.isEmpty()) {
            parts.pop().close();
        }
    }

    private <T extends AutoCloseable> T own(T part) {
        parts.push(part);
        return part;
    }

    private ScriptedServer server(Script script) throws IOException {
        return own(new ScriptedServer(script));
    }

    private RegistryClient client() throws IOException {
        return client(Duration.ofSeconds(60));
    }

    private RegistryClient client(Duration silence) throws IOException {
        return own(new RegistryClient(
                new RegistryHosts(directory, host -> null), Trust.with(List.of()), Credentials.none(), silence));
    }

    private void hosts(String host, String toml) throws IOException {
        Path registry = Files.createDirectories(directory.resolve(host.replaceFirst(":(\\d+)$", "_$1_")));
        Files.writeString(registry.resolve("hosts.toml"), toml);
    }

    private byte[] range(RegistryClient client, String host, int from, int to) throws IOException {
        try (InputStream in = client.blob(host, "team/model", digest, from, to)) {
            return in.readAllBytes();
        }
    }

    private byte[] whole(RegistryClient client, String host) throws IOException {
        try (InputStream in = client.blob(host, "team/model", digest)) {
            return in.readAllBytes();
        }
    }

    private byte[] expected(int from, int to) {
        return Arrays.copyOfRange(bytes, from, to);
    }

    @Test
    void mirrorsAreAskedInOrderWithTheRegistrysNameAndThenTheRegistry() throws Exception {
        ScriptedServer empty = server((request, reply) -> reply.send(404));
        ScriptedServer broken = server((request, reply) -> reply.send(500));
        ScriptedServer registry = server((request, reply) -> BlobScript.send(request, reply, bytes));
        hosts(
                registry.host(),
                "[host.\"" + empty.url() + "/proxy\"]\ncapabilities = [\"pull\"]\n[host.\"" + broken.url() + "\"]\n");
        assertThat(range(client(), registry.host(), 10, 20)).isEqualTo(expected(10, 20));
        assertThat(empty.requests().getFirst().target())
                .isEqualTo("/proxy" + BLOB + digest + "?ns=" + registry.host().replace(":", "%3A"));
        assertThat(broken.requests().getFirst().target())
                .endsWith("?ns=" + registry.host().replace(":", "%3A"));
        assertThat(registry.requests().getFirst().target()).isEqualTo(BLOB + digest);
    }

    @Test
    void aMirrorThatMayNotResolveIsNotAskedWhatATagIs() throws Exception {
        byte[] manifest = "{}".getBytes(StandardCharsets.UTF_8);
        ScriptedServer mirror =
                server((request, reply) -> reply.send(200, Map.of(), "lie".getBytes(StandardCharsets.UTF_8)));
        ScriptedServer registry = server((request, reply) -> reply.send(200, Map.of(), manifest));
        hosts(registry.host(), "[host.\"" + mirror.url() + "\"]\ncapabilities = [\"pull\"]\n");
        RegistryClient client = client();
        assertThat(client.manifest(new ImageReference(registry.host(), "team/model", "1"))
                        .json())
                .isEqualTo("{}");
        assertThat(mirror.requests()).isEmpty();
        Digest right = Digest.of(MessageDigest.getInstance("SHA-256").digest(manifest));
        assertThat(client.manifest(new ImageReference(registry.host(), "team/model", right.toString()))
                        .digest())
                .isEqualTo(right);
        assertThat(mirror.requests()).hasSize(1);
    }

    @Test
    void aMirrorThatIsAddedLaterIsAskedWithoutARestart() throws Exception {
        ScriptedServer mirror = server((request, reply) -> BlobScript.send(request, reply, bytes));
        ScriptedServer registry = server((request, reply) -> BlobScript.send(request, reply, bytes));
        RegistryClient client = client();
        assertThat(range(client, registry.host(), 0, 5)).isEqualTo(expected(0, 5));
        hosts(registry.host(), "[host.\"" + mirror.url() + "\"]\n");
        for (int i = 0; i < 600 && mirror.requests().isEmpty(); i++) {
            assertThat(range(client, registry.host(), 0, 5)).isEqualTo(expected(0, 5));
            Thread.sleep(100);
        }
        assertThat(mirror.requests()).isNotEmpty();
    }

    @Test
    void aBodyThatBreaksGoesOnWhereItWasAlsoFromAnotherServer() throws Exception {
        ScriptedServer mirror = server((request, reply) -> {
            reply.head(200, Map.of("Content-Length", Integer.toString(bytes.length)));
            reply.write(bytes, 0, 1_000_000);
            reply.reset();
        });
        AtomicInteger asked = new AtomicInteger();
        ScriptedServer registry = server((request, reply) -> {
            if (asked.incrementAndGet() == 1) {
                long[] range = Objects.requireNonNull(BlobScript.range(request, bytes.length));
                reply.head(
                        206,
                        Map.of(
                                "Content-Length",
                                Long.toString(range[1] - range[0]),
                                "Content-Range",
                                "bytes " + range[0] + "-" + (range[1] - 1) + "/" + bytes.length));
                reply.write(bytes, (int) range[0], (int) range[0] + 500_000);
                reply.close();
            } else {
                BlobScript.send(request, reply, bytes);
            }
        });
        hosts(registry.host(), "[host.\"" + mirror.url() + "\"]\n");
        assertThat(whole(client(), registry.host())).isEqualTo(bytes);
        // From the mirror nobody wants a part: it has not understood the range.
        assertThat(registry.requests().getFirst().header("range")).matches("bytes=\\d+-\\d*");
        assertThat(registry.requests().getFirst().header("range")).isNotEqualTo("bytes=0-2999999");
    }

    @Test
    void aServerWithoutRangesIsSkippedThroughWhereADownloadGoesOn() throws Exception {
        AtomicInteger asked = new AtomicInteger();
        ScriptedServer registry = server((request, reply) -> {
            reply.head(200, Map.of("Content-Length", Integer.toString(bytes.length)));
            reply.write(bytes, 0, asked.incrementAndGet() == 1 ? 2_000_000 : bytes.length);
            if (asked.get() == 1) {
                reply.close();
            }
        });
        assertThat(whole(client(), registry.host())).isEqualTo(bytes);
        assertThat(asked.get()).isEqualTo(2);
    }

    @Test
    void aServerWithoutRangesIsRecognised() throws Exception {
        ScriptedServer registry = server((request, reply) -> reply.send(200, Map.of(), bytes));
        RegistryClient client = client();
        assertThat(client.rangesIgnored(registry.host())).isFalse();
        assertThatThrownBy(() -> range(client, registry.host(), 1000, 2000))
                .isInstanceOfSatisfying(
                        RegistryException.class, e -> assertThat(e.reason()).isEqualTo(Reason.RANGES_IGNORED));
        assertThat(client.rangesIgnored(registry.host())).isTrue();
        assertThat(range(client, registry.host(), 0, 2000)).isEqualTo(expected(0, 2000));
        assertThat(whole(client, registry.host())).isEqualTo(bytes);
    }

    @Test
    void fewerBytesThanAskedForAreAPartAndTheRestIsAskedForNext() throws Exception {
        ScriptedServer registry = server((request, reply) -> {
            long[] range = Objects.requireNonNull(BlobScript.range(request, bytes.length));
            int to = (int) Math.min(range[1], range[0] + 100_000);
            reply.send(
                    206,
                    Map.of("Content-Range", "bytes " + range[0] + "-" + (to - 1) + "/*"),
                    Arrays.copyOfRange(bytes, (int) range[0], to));
        });
        assertThat(range(client(), registry.host(), 50, 250_050)).isEqualTo(expected(50, 250_050));
        assertThat(registry.requests()).hasSize(3);
    }

    @Test
    void rangesThatAreNotWhatWasAskedForAreRefused() throws Exception {
        AtomicReference<Map<String, String>> headers = new AtomicReference<>(Map.of());
        ScriptedServer registry = server((request, reply) -> reply.send(206, headers.get(), Arrays.copyOf(bytes, 10)));
        RegistryClient client = client();
        for (Map<String, String> wrong : List.of(
                Map.<String, String>of(),
                Map.of("Content-Range", "bytes 1-10/3000000"),
                Map.of("Content-Range", "bytes 0-10/3000000"),
                Map.of("Content-Range", "bytes 0-8/3000000"),
                Map.of("Content-Range", "bytes 0-9/5"),
                Map.of("Content-Range", "bytes 9-0/3000000"),
                Map.of("Content-Range", "bytes 0-9/3000000", "Content-Encoding", "gzip"),
                Map.of("Content-Range", "bytes 0-99999999999999999999/*"),
                Map.of("Content-Type", "multipart/byteranges; boundary=x"))) {
            headers.set(wrong);
            assertThatThrownBy(() -> range(client, registry.host(), 0, 10))
                    .as(wrong.toString())
                    .isInstanceOfSatisfying(
                            RegistryException.class, e -> assertThat(e.reason()).isEqualTo(Reason.MALFORMED));
        }
    }

    @Test
    void aBlobThatIsTooShortIsAnErrorAndSaysSo() throws Exception {
        ScriptedServer registry =
                server((request, reply) -> BlobScript.send(request, reply, Arrays.copyOf(bytes, 1000)));
        RegistryClient client = client();
        assertThatThrownBy(() -> range(client, registry.host(), 2000, 3000))
                .isInstanceOf(RegistryException.class)
                .hasMessageContaining("fewer bytes");
        assertThatThrownBy(() -> range(client, registry.host(), 500, 1500)).isInstanceOf(IOException.class);
    }

    @Test
    void redirectsAreFollowedWithoutCredentialsAndRemembered() throws Exception {
        ScriptedServer storage = server((request, reply) -> BlobScript.send(request, reply, bytes));
        ScriptedServer registry = server((request, reply) -> {
            if (!"Bearer of-the-file".equals(request.header("authorization"))) {
                reply.send(403);
            } else {
                reply.send(307, Map.of("Location", storage.url() + "/da ta?X-Amz-Signature=a|c"), new byte[0]);
            }
        });
        hosts(registry.host(), "[header]\nAuthorization = \"Bearer of-the-file\"\nX-Secret = \"s3cret\"\n");
        RegistryClient client = client();
        for (int i = 0; i < 5; i++) {
            assertThat(range(client, registry.host(), i, i + 100)).isEqualTo(expected(i, i + 100));
        }
        assertThat(registry.requests()).hasSize(1);
        assertThat(registry.requests().getFirst().header("x-secret")).isEqualTo("s3cret");
        assertThat(storage.requests()).hasSize(5).allSatisfy(request -> {
            assertThat(request.header("authorization")).isNull();
            assertThat(request.header("x-secret")).isNull();
        });
        assertThat(storage.requests().getFirst().target()).isEqualTo("/da%20ta?X-Amz-Signature=a%7Cc");
        assertThat(storage.accepted()).as("connections are kept").isEqualTo(1);
    }

    @Test
    void aRedirectThatIsRefusedLaterIsAskedForAnewOnce() throws Exception {
        AtomicReference<String> signature = new AtomicReference<>("one");
        for (int status : new int[] {401, 403, 404, 410, 400}) {
            signature.set("one");
            ScriptedServer storage = server((request, reply) -> {
                if (request.target().endsWith(signature.get())) {
                    BlobScript.send(request, reply, bytes);
                } else {
                    reply.send(status);
                }
            });
            ScriptedServer registry = server((request, reply) ->
                    reply.send(302, Map.of("Location", storage.url() + "/" + signature.get()), new byte[0]));
            RegistryClient client = client();
            assertThat(range(client, registry.host(), 0, 10)).isEqualTo(expected(0, 10));
            signature.set("two");
            assertThat(range(client, registry.host(), 5, 10)).isEqualTo(expected(5, 10));
            assertThat(registry.requests()).hasSize(2);
        }
    }

    @Test
    void aRedirectThatHasEndedByItsOwnWordIsNotUsed() throws Exception {
        ScriptedServer storage = server((request, reply) -> BlobScript.send(request, reply, bytes));
        String past = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'")
                .format(Instant.now().minusSeconds(3600).atOffset(ZoneOffset.UTC));
        ScriptedServer registry = server((request, reply) -> reply.send(
                307, Map.of("Location", storage.url() + "/x?X-Amz-Date=" + past + "&X-Amz-Expires=600"), new byte[0]));
        RegistryClient client = client();
        assertThat(range(client, registry.host(), 0, 10)).isEqualTo(expected(0, 10));
        assertThat(range(client, registry.host(), 0, 10)).isEqualTo(expected(0, 10));
        assertThat(registry.requests()).hasSize(2);
    }

    @Test
    void redirectsWithoutEndAndToNowhereAreErrors() throws Exception {
        AtomicReference<String> location = new AtomicReference<>("/again");
        ScriptedServer registry =
                server((request, reply) -> reply.send(307, Map.of("Location", location.get()), new byte[0]));
        RegistryClient client = client();
        for (String to :
                List.of("/again", "", "ftp://127.0.0.1/x", "http://user:pw@127.0.0.1/x", ":::", "file:///etc")) {
            location.set(to);
            assertThatThrownBy(() -> range(client, registry.host(), 0, 10))
                    .as(to)
                    .isInstanceOf(RegistryException.class)
                    .hasMessageContaining("redirects");
        }
    }

    @Test
    void aServerThatWantsToBeLeftAloneIsByAllRequests() throws Exception {
        AtomicInteger asked = new AtomicInteger();
        ScriptedServer registry = server((request, reply) -> {
            if (asked.incrementAndGet() == 1) {
                reply.send(429, Map.of("Retry-After", "2"), new byte[0]);
            } else {
                BlobScript.send(request, reply, bytes);
            }
        });
        RegistryClient client = client();
        long start = System.nanoTime();
        assertThat(range(client, registry.host(), 0, 10)).isEqualTo(expected(0, 10));
        assertThat(Duration.ofNanos(System.nanoTime() - start)).isGreaterThan(Duration.ofMillis(1900));
    }

    @Test
    void aServerThatWantsToBeLeftAloneForLongIsNotAskedAndOthersAre() throws Exception {
        ScriptedServer busy = server((request, reply) -> reply.send(
                429,
                Map.of(
                        "Retry-After",
                        DateTimeFormatter.RFC_1123_DATE_TIME.format(
                                Instant.now().plusSeconds(3000).atOffset(ZoneOffset.UTC))),
                new byte[0]));
        RegistryClient client = client();
        assertThatThrownBy(() -> range(client, busy.host(), 0, 10))
                .isInstanceOfSatisfying(
                        RegistryException.class, e -> assertThat(e.reason()).isEqualTo(Reason.OVERLOADED))
                .hasMessageContaining("left alone");
        assertThat(busy.requests()).hasSize(1);
        ScriptedServer mirror = server((request, reply) -> BlobScript.send(request, reply, bytes));
        ScriptedServer registry =
                server((request, reply) -> reply.send(503, Map.of("Retry-After", "1000"), new byte[0]));
        hosts(registry.host(), "[host.\"" + busy.url() + "\"]\n[host.\"" + mirror.url() + "\"]\n");
        assertThat(range(client, registry.host(), 0, 10)).isEqualTo(expected(0, 10));
        assertThat(busy.requests()).hasSize(1);
    }

    @Test
    void aServerThatTricklesIsGivenUp() throws Exception {
        ScriptedServer slow = server((request, reply) -> {
            long[] range = Objects.requireNonNull(BlobScript.range(request, bytes.length));
            reply.head(
                    206,
                    Map.of(
                            "Content-Length",
                            Long.toString(range[1] - range[0]),
                            "Content-Range",
                            "bytes " + range[0] + "-" + (range[1] - 1) + "/" + bytes.length));
            for (int i = (int) range[0]; i < range[1]; i++) {
                reply.write(bytes, i, i + 1);
                try {
                    Thread.sleep(100);
                } catch (InterruptedException e) {
                    throw new IOException(e);
                }
            }
        });
        RegistryClient client = client(Duration.ofSeconds(2));
        assertThatThrownBy(() -> range(client, slow.host(), 0, 5000))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("next to nothing");
    }

    @Test
    void noMoreThanSomeRequestsAreUnderWayAtATime() throws Exception {
        AtomicInteger now = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        ScriptedServer registry = server((request, reply) -> {
            most.accumulateAndGet(now.incrementAndGet(), Math::max);
            try {
                Thread.sleep(20);
            } catch (InterruptedException e) {
                throw new IOException(e);
            }
            now.decrementAndGet();
            BlobScript.send(request, reply, bytes);
        });
        RegistryClient client = client();
        List<Callable<byte[]>> reads = new ArrayList<>();
        for (int i = 0; i < 200; i++) {
            int from = i;
            reads.add(() -> range(client, registry.host(), from, from + 10));
        }
        try (var readers = Executors.newVirtualThreadPerTaskExecutor()) {
            int from = 0;
            for (Future<byte[]> read : readers.invokeAll(reads)) {
                assertThat(read.get()).isEqualTo(expected(from, from + 10));
                from++;
            }
        }
        assertThat(most.get()).isBetween(2, 32);
    }

    @Test
    void wrongBytesFromAMirrorAreAskedForAtTheRegistry() throws Exception {
        byte[] flipped = bytes.clone();
        flipped[5] ^= 1;
        ScriptedServer mirror = server((request, reply) -> BlobScript.send(request, reply, flipped));
        ScriptedServer registry = server((request, reply) -> BlobScript.send(request, reply, bytes));
        hosts(registry.host(), "[host.\"" + mirror.url() + "\"]\n");
        RegistryClient client = client();
        assertThat(range(client, registry.host(), 0, 10)).isNotEqualTo(expected(0, 10));
        client.distrust(registry.host(), "team/model", digest);
        assertThat(range(client, registry.host(), 0, 10)).isEqualTo(expected(0, 10));
    }

    @Test
    void serversProveThemselvesByTheFilesOfHostsTomlAndSoDoWe() throws Exception {
        TestCertificate server = TestCertificate.create(Files.createDirectory(directory.resolve("s")), "server");
        TestCertificate ours = TestCertificate.create(Files.createDirectory(directory.resolve("c")), "client");
        Script script = (Request request, ScriptedServer.Reply reply) -> BlobScript.send(request, reply, bytes);
        ScriptedServer open = own(new ScriptedServer(server.context(ours), false, script));
        ScriptedServer guarded = own(new ScriptedServer(server.context(ours), true, script));

        hosts(open.host(), "server = \"" + open.url() + "\"\n");
        assertThatThrownBy(() -> range(client(), open.host(), 0, 10))
                .hasMessageContaining("cannot reach registry 127.0.0.1");
        hosts(open.host(), "server = \"" + open.url() + "\"\nskip_verify = true\n");
        assertThat(range(client(), open.host(), 0, 10)).isEqualTo(expected(0, 10));
        assertThat(open.offered())
                .as("ranges come over connections of their own")
                .doesNotContain("h2");
        assertThat(client().manifest(new ImageReference(open.host(), "team/model", "1"))
                        .json())
                .isNotEmpty();
        assertThat(open.offered()).as("HTTP/2 for documents").contains("h2");
        hosts(open.host(), "server = \"" + open.url() + "\"\nca = \"" + server.certificate() + "\"\n");
        assertThat(range(client(), open.host(), 0, 10)).isEqualTo(expected(0, 10));

        String ca = "server = \"" + guarded.url() + "\"\nca = [\"" + server.certificate() + "\"]\n";
        hosts(guarded.host(), ca);
        assertThatThrownBy(() -> range(client(), guarded.host(), 0, 10)).isInstanceOf(IOException.class);
        hosts(guarded.host(), ca + "client = [[\"" + ours.certificate() + "\", \"" + ours.key() + "\"]]\n");
        assertThat(range(client(), guarded.host(), 0, 10)).isEqualTo(expected(0, 10));

        // docker's way: certificates beside where hosts.toml would be.
        Path docker = directory.resolve(guarded.host().replaceFirst(":(\\d+)$", "_$1_"));
        Files.delete(docker.resolve("hosts.toml"));
        Files.copy(server.certificate(), docker.resolve("ca.crt"));
        Files.copy(ours.certificate(), docker.resolve("us.cert"));
        Files.copy(ours.key(), docker.resolve("us.key"));
        assertThat(range(client(), guarded.host(), 0, 10)).isEqualTo(expected(0, 10));
    }
}
