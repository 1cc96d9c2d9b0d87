package dev.coldstart.snapshotter.registry;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.registry.RegistryException.Reason;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.SSLContext;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.json.JsonFactory;

/**
 * Reads from registries. Requests that may succeed later (no connection, 408, 429, 5xx) are tried again a few times with
 * growing pauses, as {@code Retry-After} says where it does; others fail at once with the reason. Bodies are not verified
 * but for manifests: who reads a blob verifies it.
 */
public final class RegistryClient implements AutoCloseable {
    private static final int ATTEMPTS = 5;
    private static final Duration FIRST_PAUSE = Duration.ofMillis(100);
    private static final Duration LONGEST_PAUSE = Duration.ofSeconds(5);
    private static final int MAX_MANIFEST = 4 << 20;
    private static final int MAX_TOKEN_ANSWER = 1 << 20;
    private static final Pattern PARAMETER = Pattern.compile("([A-Za-z]+)=\"([^\"]*)\"");
    private static final String MANIFEST_TYPES = String.join(
            ", ",
            "application/vnd.oci.image.index.v1+json",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
            "application/vnd.docker.distribution.manifest.v2+json");

    private final HttpClient http;
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("registry-clock").factory());
    private final Predicate<String> plainHttp;
    private final Credentials credentials;
    private final Duration silence;
    /** The Authorization header that a repository's last answer asked for. */
    private final ConcurrentHashMap<Place, String> authorizations = new ConcurrentHashMap<>();

    private record Place(String host, String repository) {}

    /**
     * A manifest as stored.
     *
     * @param digest of its bytes, as computed
     */
    public record Manifest(Digest digest, String json) {}

    /**
     * Connects when first asked.
     *
     * @param plainHttp which hosts (HOST[:PORT]) are spoken to without TLS
     * @param silence after which a request is given up, before its answer and in the midst of it
     */
    public RegistryClient(Predicate<String> plainHttp, SSLContext trust, Credentials credentials, Duration silence) {
        this.http = HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_1_1)
                .followRedirects(HttpClient.Redirect.NORMAL)
                .connectTimeout(Duration.ofSeconds(5))
                .executor(Executors.newVirtualThreadPerTaskExecutor())
                .sslContext(trust)
                .build();
        this.plainHttp = plainHttp;
        this.silence = silence;
        this.credentials = credentials;
    }

    /** Hosts that are this machine: nobody sets up TLS for them. */
    public static boolean isLoopback(String host) {
        String name = host.startsWith("[")
                ? host.substring(1, Math.max(1, host.indexOf(']')))
                : host.replaceFirst(":\\d+$", "");
        return name.equals("localhost") || name.equals("::1") || name.matches("127\\.\\d+\\.\\d+\\.\\d+");
    }

    /** A manifest or index by tag or digest; verified if by digest. */
    public Manifest manifest(ImageReference image) throws IOException {
        HttpResponse<InputStream> response = send(
                image.host(), image.repository(), "manifests/" + image.reference(), Map.of("Accept", MANIFEST_TYPES));
        try (InputStream body = response.body()) {
            byte[] bytes = body.readNBytes(MAX_MANIFEST + 1);
            if (bytes.length > MAX_MANIFEST) {
                throw new RegistryException(
                        Reason.MALFORMED, "the manifest of " + image + " is larger than " + MAX_MANIFEST + " bytes");
            }
            Digest digest = Digest.of(MessageDigest.getInstance("SHA-256").digest(bytes));
            if (image.byDigest() && !digest.equals(image.digest())) {
                throw new RegistryException(
                        Reason.MALFORMED, image.host() + " sent a manifest of " + image + " with another digest");
            }
            return new Manifest(digest, new String(bytes, StandardCharsets.UTF_8));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every JDK has SHA-256", e);
        }
    }

    /** A whole blob. Its stream fails if no bytes come for long, or if it ends early. */
    public InputStream blob(String host, String repository, Digest digest) throws IOException {
        HttpResponse<InputStream> response = send(host, repository, "blobs/" + digest, Map.of());
        return guarded(response, host);
    }

    /**
     * A range of a blob.
     *
     * @param to offset behind the last byte; more than {@code from}
     */
    public InputStream blob(String host, String repository, Digest digest, long from, long to) throws IOException {
        if (from >= to) {
            return new ByteArrayInputStream(new byte[0]);
        }
        HttpResponse<InputStream> response =
                send(host, repository, "blobs/" + digest, Map.of("Range", "bytes=" + from + "-" + (to - 1)));
        if (response.statusCode() == 206) {
            String range = response.headers().firstValue("Content-Range").orElse("");
            if (!range.startsWith("bytes " + from + "-" + (to - 1) + "/")) {
                response.body().close();
                throw new RegistryException(
                        Reason.MALFORMED,
                        host + " was asked for bytes " + from + "-" + (to - 1) + " of a blob and sent \"" + range
                                + "\"");
            }
            return guarded(response, host);
        }
        // A server may ignore ranges; near the start that is still good.
        InputStream whole = guarded(response, host);
        try {
            whole.skipNBytes(from);
        } catch (IOException e) {
            whole.close();
            throw e;
        }
        return whole;
    }

    private InputStream guarded(HttpResponse<InputStream> response, String host) {
        return new StallGuard(response.body(), clock, "registry " + host, silence);
    }

    private HttpResponse<InputStream> send(String host, String repository, String what, Map<String, String> headers)
            throws IOException {
        Place place = new Place(host, repository);
        URI uri = uri(host, "/v2/" + repository + "/" + what);
        IOException last = null;
        boolean authorized = false;
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            HttpResponse<InputStream> response;
            try {
                response = exchange(uri, headers, authorizations.get(place));
            } catch (IOException e) {
                last = new RegistryException(
                        Reason.UNREACHABLE,
                        "cannot reach registry " + host + " (" + uri.getScheme() + "): " + reason(e),
                        e);
                pause(attempt, null);
                continue;
            }
            int status = response.statusCode();
            if (status == 200 || status == 206) {
                return response;
            }
            response.body().close();
            if (status == 401 && !authorized) {
                authorized = true;
                attempt--;
                authorizations.put(place, authorize(place, response.headers().allValues("WWW-Authenticate")));
                continue;
            }
            if (status == 408 || status == 429 || status >= 500) {
                last = new RegistryException(
                        status == 429 ? Reason.OVERLOADED : Reason.UNREACHABLE,
                        "registry " + host + " answered " + status + " for " + what + " of " + repository + ", "
                                + ATTEMPTS + " times");
                pause(attempt, response.headers().firstValue("Retry-After").orElse(null));
                continue;
            }
            throw refused(place, what, status);
        }
        throw last == null ? new RegistryException(Reason.UNREACHABLE, "cannot reach registry " + host) : last;
    }

    private RegistryException refused(Place place, String what, int status) {
        return switch (status) {
            case 401, 403 ->
                new RegistryException(
                        Reason.DENIED,
                        "registry " + place.host() + " denies access to " + place.repository()
                                + "; log in with docker or nerdctl as root, or name the credentials in config.json");
            case 404 ->
                new RegistryException(
                        Reason.NOT_FOUND, "registry " + place.host() + " has no " + what + " of " + place.repository());
            default ->
                new RegistryException(
                        Reason.MALFORMED,
                        "registry " + place.host() + " answered " + status + " for " + what + " of "
                                + place.repository());
        };
    }

    private HttpResponse<InputStream> exchange(URI uri, Map<String, String> headers, @Nullable String authorization)
            throws IOException {
        HttpRequest.Builder request =
                HttpRequest.newBuilder(uri).timeout(silence).GET();
        headers.forEach(request::setHeader);
        if (authorization != null) {
            request.setHeader("Authorization", authorization);
        }
        try {
            return http.send(request.build(), HttpResponse.BodyHandlers.ofInputStream());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
    }

    /** Answers a challenge (RFC 7235; the bearer kind is docker's token flow). */
    private String authorize(Place place, List<String> challenges) throws IOException {
        String basic = credentials.basic(place.host());
        for (String challenge : challenges) {
            String lower = challenge.toLowerCase(Locale.ROOT);
            if (lower.startsWith("bearer ")) {
                return "Bearer " + token(place, challenge, basic);
            }
            if (lower.startsWith("basic") && basic != null) {
                return "Basic " + basic;
            }
        }
        throw refused(place, "access", 401);
    }

    private String token(Place place, String challenge, @Nullable String basic) throws IOException {
        Map<String, String> parameters = new HashMap<>();
        Matcher matcher = PARAMETER.matcher(challenge);
        while (matcher.find()) {
            parameters.put(matcher.group(1).toLowerCase(Locale.ROOT), matcher.group(2));
        }
        String realm = parameters.get("realm");
        if (realm == null) {
            throw new RegistryException(
                    Reason.MALFORMED,
                    "registry " + place.host() + " asks for a token but does not say where to get it");
        }
        String scope = parameters.getOrDefault("scope", "repository:" + place.repository() + ":pull");
        StringBuilder query = new StringBuilder(realm)
                .append(realm.contains("?") ? '&' : '?')
                .append("scope=")
                .append(URLEncoder.encode(scope, StandardCharsets.UTF_8));
        String service = parameters.get("service");
        if (service != null) {
            query.append("&service=").append(URLEncoder.encode(service, StandardCharsets.UTF_8));
        }
        URI uri;
        try {
            uri = URI.create(query.toString());
        } catch (IllegalArgumentException e) {
            throw new RegistryException(
                    Reason.MALFORMED, "registry " + place.host() + " names a token server that is no address", e);
        }
        // A password goes over TLS, or nowhere but where the registry itself is spoken to in plain.
        if (basic != null && !"https".equals(uri.getScheme()) && !plainHttp.test(place.host())) {
            throw new RegistryException(
                    Reason.MALFORMED, "registry " + place.host() + " wants a password sent without TLS");
        }
        HttpResponse<InputStream> response =
                exchange(uri, Map.of("Accept", "application/json"), basic == null ? null : "Basic " + basic);
        try (InputStream body = response.body()) {
            if (response.statusCode() != 200) {
                throw refused(place, "token", response.statusCode() == 404 ? 400 : response.statusCode());
            }
            String token = tokenIn(body.readNBytes(MAX_TOKEN_ANSWER));
            if (token == null) {
                throw new RegistryException(
                        Reason.MALFORMED, "the token server of registry " + place.host() + " sent no token");
            }
            return token;
        } catch (JacksonException e) {
            throw new RegistryException(
                    Reason.MALFORMED, "the token server of registry " + place.host() + " sent no valid JSON", e);
        }
    }

    private static @Nullable String tokenIn(byte[] answer) {
        try (JsonParser json = new JsonFactory().createParser(ObjectReadContext.empty(), answer)) {
            json.nextToken();
            while (json.nextToken() == JsonToken.PROPERTY_NAME) {
                String field = json.currentName();
                if (json.nextToken() == JsonToken.VALUE_STRING
                        && (field.equals("token") || field.equals("access_token"))
                        && !json.getString().isEmpty()
                        && json.getString().chars().allMatch(c -> c > ' ' && c < 127)) {
                    return json.getString();
                }
                json.skipChildren();
            }
            return null;
        }
    }

    private URI uri(String host, String path) throws RegistryException {
        // docker.io is a name, not a server.
        String server = host.equals("docker.io") ? "registry-1.docker.io" : host;
        try {
            return URI.create((plainHttp.test(host) ? "http://" : "https://") + server + path);
        } catch (IllegalArgumentException e) {
            throw new RegistryException(Reason.MALFORMED, "\"" + host + "\" is not a registry's host", e);
        }
    }

    private static void pause(int attempt, @Nullable String retryAfter) throws IOException {
        if (attempt + 1 >= ATTEMPTS) {
            return;
        }
        long millis = FIRST_PAUSE.toMillis() << attempt;
        if (retryAfter != null && retryAfter.matches("\\d{1,4}")) {
            millis = Math.max(millis, 1000 * Long.parseLong(retryAfter));
        }
        millis = Math.min(millis, LONGEST_PAUSE.toMillis());
        try {
            TimeUnit.MILLISECONDS.sleep(millis / 2 + ThreadLocalRandom.current().nextLong(millis / 2 + 1));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
    }

    private static String reason(IOException e) {
        String message = e.getMessage();
        Throwable cause = e.getCause();
        if (message == null && cause != null) {
            message = cause.getMessage();
        }
        return message == null || message.isEmpty() ? e.getClass().getSimpleName() : message;
    }

    @Override
    public void close() {
        clock.shutdownNow();
        http.shutdownNow();
    }
}
