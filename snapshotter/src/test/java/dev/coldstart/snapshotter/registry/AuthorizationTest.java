package dev.coldstart.snapshotter.registry;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.coldstart.proto.cri.AuthConfig;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.registry.RegistryException.Reason;
import dev.coldstart.snapshotter.registry.ScriptedServer.Reply;
import dev.coldstart.snapshotter.registry.ScriptedServer.Request;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Who may read what, at a registry with a token server, and what of it can be seen in logs: nothing. */
class AuthorizationTest {
    private static final String PASSWORD = "hunter2-s3cret";
    private static final String REFRESH = "refresh-s3cret";
    private static final Digest DIGEST = new Digest("sha256", "a".repeat(64));

    @TempDir
    Path directory;

    private final Deque<AutoCloseable> parts = new ArrayDeque<>();
    private final Set<String> valid = ConcurrentHashMap.newKeySet();
    private final AtomicInteger issued = new AtomicInteger();
    private CapturedLog log;
    private ScriptedServer registry;
    private ScriptedServer tokens;
    /** Seconds for which tokens are good by what the token server says. */
    private volatile int life = 300;

    private volatile boolean anonymousMayRead;
    private volatile int refusal = 401;

    @BeforeEach
    void start() throws IOException {
        log = own(new CapturedLog());
        tokens = own(new ScriptedServer(this::issue));
        registry = own(new ScriptedServer(this::answer));
    }

    @AfterEach
    void stop() throws Exception {
        while (!parts.isEmpty()) {
            parts.pop().close();
        }
        assertThat(log.text())
                .doesNotContain(PASSWORD)
                .doesNotContain(basic())
                .doesNotContain(REFRESH)
                .doesNotContain("token-s3cret");
    }

    private <T extends AutoCloseable> T own(T part) {
        parts.push(part);
        return part;
    }

    private static String basic() {
        return Base64.getEncoder().encodeToString(("anna:" + PASSWORD).getBytes(StandardCharsets.UTF_8));
    }

    private void issue(Request request, Reply reply) throws IOException {
        boolean known = ("Basic " + basic()).equals(request.header("authorization"))
                || request.body().contains("refresh_token=" + REFRESH);
        boolean nobody =
                request.header("authorization") == null && request.body().isEmpty();
        if (!known && !nobody) {
            reply.send(401);
            return;
        }
        String token = "token-s3cret-" + issued.incrementAndGet();
        if (known || anonymousMayRead) {
            valid.add("Bearer " + token);
        }
        reply.send(
                200,
                Map.of(),
                ("{\"access_token\":\"" + token + "\",\"expires_in\":" + life + "}").getBytes(StandardCharsets.UTF_8));
    }

    private void answer(Request request, Reply reply) throws IOException {
        String sent = request.header("authorization");
        if (sent != null && valid.contains(sent)) {
            reply.send(200, Map.of(), new byte[] {7});
        } else if (request.path().startsWith("/v2/basic/")) {
            if (("Basic " + basic()).equals(sent)) {
                reply.send(200, Map.of(), new byte[] {7});
            } else {
                reply.send(401, Map.of("WWW-Authenticate", "Basic realm=\"x\""), new byte[0]);
            }
        } else {
            reply.send(
                    refusal,
                    Map.of(
                            "WWW-Authenticate",
                            "Bearer realm=\"" + tokens.url()
                                    + "/token\",service=\"r\",scope=\"repository:team/model:pull\""),
                    new byte[0]);
        }
    }

    private RegistryClient client(Credentials credentials) throws IOException {
        return own(new RegistryClient(host -> true, Trust.with(List.of()), credentials, Duration.ofSeconds(60)));
    }

    private RegistryClient client(String config) throws IOException {
        return client(Credentials.read(Files.writeString(directory.resolve("config.json"), config)));
    }

    private void read(RegistryClient client, String repository) throws IOException {
        try (InputStream in = client.blob(registry.host(), repository, DIGEST)) {
            assertThat(in.readAllBytes()).containsExactly(7);
        } catch (IOException e) {
            log.add(e);
            throw e;
        }
    }

    private void refused(RegistryClient client, String repository) {
        assertThatThrownBy(() -> read(client, repository))
                .isInstanceOfSatisfying(
                        RegistryException.class, e -> assertThat(e.reason()).isEqualTo(Reason.DENIED))
                .hasMessageContaining("denies access to " + repository);
    }

    private String login() {
        return "{\"auths\":{\"" + registry.host() + "\":{\"auth\":\"" + basic() + "\"}}}";
    }

    @Test
    void whatAnybodyMayReadNeedsNoCredentials() throws Exception {
        anonymousMayRead = true;
        read(client("{}"), "team/model");
        assertThat(tokens.requests().getFirst().target())
                .isEqualTo("/token?scope=repository%3Ateam%2Fmodel%3Apull&service=r");
        assertThat(tokens.requests().getFirst().header("authorization")).isNull();
    }

    @Test
    void passwordsOpenWhatNobodyElseMayRead() throws Exception {
        refused(client("{}"), "team/model");
        read(client(login()), "team/model");
        read(client(login()), "basic/model");
        read(
                client("{\"auths\":{\"https://" + registry.host() + "/v2/\":{\"username\":\"anna\",\"password\":\""
                        + PASSWORD + "\"}}}"),
                "team/model");
        refused(client(login().replace(basic(), "YW5uYTpub25l")), "team/model");
        refused(client(login().replace(basic(), "YW5uYTpub25l")), "basic/model");
    }

    @Test
    void anIdentityTokenIsExchangedForTokens() throws Exception {
        read(client("{\"auths\":{\"" + registry.host() + "\":{\"identitytoken\":\"" + REFRESH + "\"}}}"), "team/model");
        Request request = tokens.requests().getFirst();
        assertThat(request.method()).isEqualTo("POST");
        assertThat(request.target()).isEqualTo("/token");
        assertThat(request.body())
                .contains("grant_type=refresh_token")
                .contains("service=r")
                .contains("scope=repository%3Ateam%2Fmodel%3Apull");
    }

    @Test
    void manyReadersAtOnceAreOneRequestForAToken() throws Exception {
        RegistryClient client = client(login());
        List<Callable<Boolean>> reads = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            reads.add(() -> {
                read(client, "team/model");
                return true;
            });
        }
        try (var readers = Executors.newVirtualThreadPerTaskExecutor()) {
            for (Future<Boolean> read : readers.invokeAll(reads)) {
                assertThat(read.get()).isTrue();
            }
        }
        assertThat(issued.get()).isEqualTo(1);
        read(client, "other/model");
        assertThat(issued.get()).as("a token is for one repository").isEqualTo(2);
    }

    @Test
    void aTokenThatIsTakenBackIsReplacedAlsoWhereTheAnswerIs403() throws Exception {
        RegistryClient client = client(login());
        read(client, "team/model");
        valid.clear();
        read(client, "team/model");
        assertThat(issued.get()).isEqualTo(2);

        Authorizer authorizer = new Authorizer(
                (host, repository) -> List.of(new Credential.Password("anna", PASSWORD)),
                (endpoint, server, authorization, form) ->
                        ("{\"token\":\"t" + issued.incrementAndGet() + "\"}").getBytes(StandardCharsets.UTF_8),
                nanos::get);
        Endpoint endpoint = endpoint();
        List<String> challenge = List.of("Bearer realm=\"http://127.0.0.1:1/token\"");
        String first = authorizer.answer(endpoint, "a", 403, challenge, null);
        authorizer.worked(endpoint, "a", first);
        assertThat(authorizer.answer(endpoint, "a", 403, List.of(), first))
                .as("it was good a moment ago: this is really forbidden")
                .isNull();
        nanos.addAndGet(Duration.ofSeconds(40).toNanos());
        assertThat(authorizer.answer(endpoint, "a", 403, List.of(), first)).isNotEqualTo(first);
    }

    private final AtomicLong nanos = new AtomicLong(1);

    private Endpoint endpoint() throws RegistryException {
        return new RegistryHosts(null, host -> true).endpoints("127.0.0.1:1").getFirst();
    }

    @Test
    void tokensAreRenewedBeforeTheyEndAndNotUsedAfterwards() throws Exception {
        AtomicInteger count = new AtomicInteger();
        Authorizer authorizer = new Authorizer(
                (host, repository) -> List.of(),
                (endpoint, server, authorization, form) -> ("{\"expires_in\":100,\"token\":\"t"
                                + count.incrementAndGet() + "\"}")
                        .getBytes(StandardCharsets.UTF_8),
                nanos::get);
        Endpoint endpoint = endpoint();
        assertThat(authorizer.current(endpoint, "a")).isNull();
        assertThat(authorizer.answer(endpoint, "a", 401, List.of("Bearer realm=\"http://127.0.0.1:1/\""), null))
                .isEqualTo("Bearer t1");
        nanos.addAndGet(Duration.ofSeconds(70).toNanos());
        assertThat(authorizer.current(endpoint, "a")).isEqualTo("Bearer t1");
        assertThat(count.get()).isEqualTo(1);
        nanos.addAndGet(Duration.ofSeconds(10).toNanos());
        assertThat(authorizer.current(endpoint, "a")).as("good still").isIn("Bearer t1", "Bearer t2");
        for (int i = 0; i < 600 && !"Bearer t2".equals(authorizer.current(endpoint, "a")); i++) {
            Thread.sleep(100);
        }
        assertThat(authorizer.current(endpoint, "a")).isEqualTo("Bearer t2");
        nanos.addAndGet(Duration.ofSeconds(200).toNanos());
        assertThat(authorizer.current(endpoint, "a")).isEqualTo("Bearer t3");
    }

    @Test
    void aPasswordIsNotSentInPlainToATokenServerOfATlsRegistry() throws Exception {
        Authorizer authorizer = new Authorizer(
                (host, repository) -> List.of(new Credential.Password("anna", PASSWORD)),
                (endpoint, server, authorization, form) -> {
                    throw new AssertionError("asked");
                },
                nanos::get);
        Endpoint tls = new RegistryHosts(null, host -> false)
                .endpoints("registry:5000")
                .getFirst();
        assertThatThrownBy(() -> authorizer.answer(tls, "a", 401, List.of("Bearer realm=\"http://evil/token\""), null))
                .hasMessageContaining("without TLS");
    }

    @Test
    void everyPlaceForCredentialsIsLookedAtAndWrongOnesAreGotOver() throws Exception {
        Path secrets = Files.createDirectories(directory.resolve("secrets"));
        Path config = directory.resolve("config.json");
        CriKeychain kubelets = new CriKeychain();
        RegistryClient client = client(Credentials.of(kubelets, secrets, config));
        String wrong = login().replace(basic(), "YW5uYTpub25l");
        refused(client, "team/model");

        kubelets.remember(
                registry.host() + "/team/model:1",
                AuthConfig.newBuilder().setUsername("anna").setPassword("none").build());
        Files.writeString(Files.createDirectories(secrets.resolve("one")).resolve(".dockerconfigjson"), wrong);
        Files.writeString(config, login());
        eventually(client, "team/model");

        Files.writeString(config, "{}");
        valid.clear();
        refused(client, "team/model");
        Files.writeString(
                Files.createDirectories(secrets.resolve("two")).resolve(".dockercfg"),
                "{\"" + registry.host() + "\":{\"username\":\"anna\",\"password\":\"" + PASSWORD
                        + "\",\"email\":\"x@y\"}}");
        eventually(client, "team/model");

        Files.delete(secrets.resolve("two").resolve(".dockercfg"));
        valid.clear();
        kubelets.remember(
                registry.host() + "/team/model:2",
                AuthConfig.newBuilder().setAuth(basic()).build());
        eventually(client, "team/model");
    }

    /** A refusal is believed for a second. */
    private void eventually(RegistryClient client, String repository) throws Exception {
        for (int i = 0; i < 100; i++) {
            try {
                read(client, repository);
                return;
            } catch (RegistryException e) {
                Thread.sleep(200);
            }
        }
        read(client, repository);
    }

    @Test
    void aMirrorDoesNotSeeTheRegistrysCredentials() throws Exception {
        ScriptedServer mirror = own(new ScriptedServer((request, reply) ->
                reply.send(401, Map.of("WWW-Authenticate", "Basic realm=\"give me all\""), new byte[0])));
        Path hosts = Files.createDirectories(directory.resolve(registry.host().replaceFirst(":(\\d+)$", "_$1_")));
        Files.writeString(hosts.resolve("hosts.toml"), "[host.\"" + mirror.url() + "\"]\n");
        RegistryClient client = own(new RegistryClient(
                new RegistryHosts(directory, host -> true),
                Trust.with(List.of()),
                Credentials.read(Files.writeString(directory.resolve("config.json"), login())),
                Duration.ofSeconds(60)));
        read(client, "basic/model");
        assertThat(mirror.requests()).isNotEmpty().allMatch(request -> request.header("authorization") == null);
    }

    @Test
    void aTokenServerThatFailsIsSaidSoWithoutWhatItWasSent() throws Exception {
        for (String answer : List.of("", "{", "[1]", "{\"token\":\"bad\\u0001\"}", "token-s3cret", "{\"token\":1}")) {
            ScriptedServer odd = own(new ScriptedServer(
                    (request, reply) -> reply.send(200, Map.of(), answer.getBytes(StandardCharsets.UTF_8))));
            ScriptedServer asking = own(new ScriptedServer((request, reply) ->
                    reply.send(401, Map.of("WWW-Authenticate", "Bearer realm=\"" + odd.url() + "\""), new byte[0])));
            RegistryClient client = client(login().replace(registry.host(), asking.host()));
            assertThatThrownBy(() -> client.blob(asking.host(), "team/model", DIGEST))
                    .isInstanceOfSatisfying(RegistryException.class, log::add)
                    .hasMessageContaining("the token server of registry");
        }
    }
}
