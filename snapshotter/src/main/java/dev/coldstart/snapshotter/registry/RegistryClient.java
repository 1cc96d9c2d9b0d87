package dev.coldstart.snapshotter.registry;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.registry.RegistryException.Reason;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.http.HttpClient;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Reads from registries: asks the servers of an image's host in their order, goes where they redirect to, and proves who
 * asks. Requests that may succeed later (no connection, 408, 429, 5xx) are tried again a few times with growing pauses,
 * as {@code Retry-After} says where it does; others fail at once with the reason. A body that breaks is continued. Bodies
 * are not verified but for manifests: who reads a blob verifies it.
 */
public final class RegistryClient implements AutoCloseable {
    private static final int ATTEMPTS = 5;
    private static final int TOKEN_ATTEMPTS = 3;
    /** Requests for one answer of one server: redirects, refusals, and what follows from them. */
    private static final int STEPS = 16;

    private static final int REDIRECTS = 5;
    private static final Duration FIRST_PAUSE = Duration.ofMillis(100);
    private static final Duration LONGEST_PAUSE = Duration.ofSeconds(5);
    /** For which a server is not asked for ranges that has ignored one, and not believed after wrong bytes. */
    private static final long REMEMBER_NANOS = TimeUnit.MINUTES.toNanos(10);

    private static final int MOST_REMEMBERED = 4096;
    private static final int MAX_MANIFEST = 4 << 20;
    /** Bytes per second that a link takes at least. */
    private static final int SLOWEST_UPLOAD = 100_000;

    private static final int MAX_TOKEN_ANSWER = 1 << 20;
    /** So much of an answer that nobody wants is read, so that its connection can be used again. */
    private static final int DRAINED = 16 << 10;

    private static final Pattern CONTENT_RANGE = Pattern.compile("bytes (\\d{1,18})-(\\d{1,18})/(\\d{1,18}|\\*)");
    private static final String MANIFEST_TYPES = String.join(
            ", ",
            "application/vnd.oci.image.index.v1+json",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
            "application/vnd.docker.distribution.manifest.v2+json");

    private final RegistryHosts hosts;
    private final Connections connections;
    private final Authorizer authorizer;
    /** For writing: a token to read with is no reason not to ask for another one. */
    private final Authorizer writer;

    private final Duration silence;
    private final Locations locations = new Locations();
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("registry-clock").factory());
    private final ConcurrentHashMap<String, HostGate> gates = new ConcurrentHashMap<>();
    /** When servers ignored a range, by {@link System#nanoTime}. */
    private final ConcurrentHashMap<URI, Long> withoutRanges = new ConcurrentHashMap<>();
    /** When bytes of a blob were wrong. */
    private final ConcurrentHashMap<Locations.Blob, Long> wrong = new ConcurrentHashMap<>();
    /** Which server sent a blob's bytes last. */
    private final ConcurrentHashMap<Asked, URI> served = new ConcurrentHashMap<>();

    /**
     * A manifest as stored.
     *
     * @param digest of its bytes, as computed
     */
    public record Manifest(Digest digest, String json) {}

    /**
     * What is wanted.
     *
     * @param what below the repository: {@code manifests/…} or {@code blobs/…}
     * @param byName whether the answer is not verified by a digest: only servers that may resolve tags are asked
     */
    private record Asked(String host, String repository, String what, boolean byName) {
        boolean blob() {
            return what.startsWith("blobs/");
        }

        @Override
        public String toString() {
            return what + " of " + repository;
        }
    }

    /** Takes an accepted answer's body, or closes it and says what is wrong with it. */
    @FunctionalInterface
    private interface Reader<T> {
        T read(Endpoint endpoint, HttpResponse<InputStream> answer, InputStream body) throws IOException;
    }

    /**
     * Connects when first asked, and looks for no mirrors.
     *
     * @param plainHttp which hosts (HOST[:PORT]) are spoken to without TLS
     * @param silence after which a request is given up, before its answer and in the midst of it
     */
    public RegistryClient(Predicate<String> plainHttp, Trust trust, Credentials credentials, Duration silence) {
        this(new RegistryHosts(null, plainHttp::test), trust, credentials, silence);
    }

    /**
     * Connects when first asked.
     *
     * @param silence after which a request is given up, before its answer and in the midst of it
     */
    public RegistryClient(RegistryHosts hosts, Trust trust, Credentials credentials, Duration silence) {
        this.hosts = hosts;
        this.connections = new Connections(trust);
        this.silence = silence;
        this.authorizer = new Authorizer(credentials, this::token, System::nanoTime);
        this.writer = new Authorizer(credentials, this::token, System::nanoTime);
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
        Asked asked = new Asked(image.host(), image.repository(), "manifests/" + image.reference(), !image.byDigest());
        return send(asked, Map.of("Accept", MANIFEST_TYPES), (endpoint, answer, body) -> {
            try (body) {
                byte[] bytes = body.readNBytes(MAX_MANIFEST + 1);
                if (bytes.length > MAX_MANIFEST) {
                    throw new RegistryException(
                            Reason.MALFORMED,
                            "the manifest of " + image + " is larger than " + MAX_MANIFEST + " bytes");
                }
                Digest digest = Digest.ofContent(bytes);
                if (image.byDigest() && !digest.equals(image.digest())) {
                    throw new RegistryException(
                            Reason.MALFORMED,
                            endpoint.authority() + " sent a manifest of " + image + " with another digest");
                }
                return new Manifest(digest, new String(bytes, StandardCharsets.UTF_8));
            }
        });
    }

    /**
     * A small document that is no manifest.
     *
     * @param what below the repository
     * @param query without its question mark
     */
    byte[] document(String host, String repository, String what, String query, String type) throws IOException {
        Asked asked = new Asked(host, repository, what + "?" + query, true);
        return send(asked, Map.of("Accept", type), (endpoint, answer, body) -> {
            try (body) {
                byte[] bytes = body.readNBytes(MAX_MANIFEST + 1);
                if (bytes.length > MAX_MANIFEST) {
                    throw malformed(endpoint, "sent more than " + MAX_MANIFEST + " bytes for " + asked);
                }
                return bytes;
            }
        });
    }

    /**
     * What a registry answered to a request that changes something.
     *
     * @param at who answered, which a relative {@code Location} refers to
     */
    record Written(int status, HttpHeaders headers, URI at) {}

    /**
     * Changes something in a registry, once: never in a mirror of it, and without another try.
     *
     * @param what below the repository; or an address that the registry gave, relative to {@code base}
     * @param base null for the repository
     * @param type of the body; null if there is none
     * @throws RegistryException if there is no answer, or if it is never a final one
     */
    Written write(
            String method,
            ArtifactRegistry.Repository repository,
            String what,
            @Nullable URI base,
            @Nullable String type,
            HttpRequest.BodyPublisher body)
            throws IOException {
        Endpoint endpoint = hosts.endpoints(repository.host()).stream()
                .filter(candidate -> candidate.namespace() == null)
                .findFirst()
                .orElseThrow(() -> new RegistryException(
                        Reason.DENIED, "hosts.toml leaves nothing of " + repository.host() + " but mirrors"));
        URI at;
        try {
            at = base == null
                    ? new URI(endpoint.base() + "/" + repository.name() + "/" + what)
                    : base.resolve(new URI(what));
        } catch (URISyntaxException e) {
            throw malformed(endpoint, "names an address that cannot be used");
        }
        if (!endpoint.owns(at)) {
            throw malformed(endpoint, "wants uploads to be sent elsewhere, to " + at.getHost());
        }
        Map<String, String> headers = type == null ? Map.of() : Map.of("Content-Type", type);
        for (int step = 0; step < STEPS; step++) {
            String authorization = writer.current(endpoint, repository.name());
            HttpRequest request = request(endpoint, at, true, authorization, headers)
                    .method(method, body)
                    .timeout(silence.plusSeconds(Math.max(0, body.contentLength()) / SLOWEST_UPLOAD))
                    .build();
            HttpResponse<InputStream> answer = exchange(endpoint, request);
            discard(answer);
            int status = answer.statusCode();
            if (status != 401 && status != 403) {
                writer.worked(endpoint, repository.name(), authorization);
                return new Written(status, answer.headers(), at);
            }
            String next = writer.answer(
                    endpoint, repository.name(), status, answer.headers().allValues("WWW-Authenticate"), authorization);
            if (next == null) {
                return new Written(status, answer.headers(), at);
            }
        }
        throw malformed(endpoint, "does not come to an answer for " + what);
    }

    /**
     * A whole blob. Its stream goes on by itself where it breaks; it fails if that does not help, or if no bytes come for
     * long.
     */
    public InputStream blob(String host, String repository, Digest digest) throws IOException {
        Asked asked = new Asked(host, repository, "blobs/" + digest, false);
        return new BlobStream(
                "a blob of registry " + host, 0, BlobStream.UNKNOWN, (from, end) -> open(asked, from, end, false));
    }

    /**
     * A range of a blob, as a stream like the other.
     *
     * @param to offset behind the last byte; more than {@code from}
     * @throws RegistryException RANGES_IGNORED if only whole blobs can be had there
     */
    public InputStream blob(String host, String repository, Digest digest, long from, long to) throws IOException {
        if (from >= to) {
            return InputStream.nullInputStream();
        }
        Asked asked = new Asked(host, repository, "blobs/" + digest, false);
        return new BlobStream("a blob of registry " + host, from, to, (at, end) -> open(asked, at, end, true));
    }

    /** Whether all servers of a host have lately sent whole blobs when they were asked for parts. */
    public boolean rangesIgnored(String host) {
        try {
            return hosts.endpoints(host).stream()
                    .filter(Endpoint::pulls)
                    .allMatch(endpoint -> lately(withoutRanges.get(endpoint.base())));
        } catch (RegistryException e) {
            return false;
        }
    }

    /** Says that a blob's bytes that came last were wrong: other servers, if there are any, are asked first for a while. */
    public void distrust(String host, String repository, Digest digest) {
        URI server = served.get(new Asked(host, repository, "blobs/" + digest, false));
        if (server != null) {
            Locations.Blob blob = new Locations.Blob(server, repository, "blobs/" + digest);
            locations.forget(blob);
            remember(wrong, blob, System.nanoTime());
        }
    }

    private static boolean lately(@Nullable Long when) {
        return when != null && System.nanoTime() - when < REMEMBER_NANOS;
    }

    private static <K, V> void remember(ConcurrentHashMap<K, V> map, K key, V value) {
        if (map.size() >= MOST_REMEMBERED) {
            map.clear();
        }
        map.put(key, value);
    }

    private BlobStream.Body open(Asked asked, long from, long end, boolean ranged) throws IOException {
        boolean range = ranged || from > 0;
        Map<String, String> headers =
                range ? Map.of("Range", "bytes=" + from + "-" + (end < 0 ? "" : Long.toString(end - 1))) : Map.of();
        return send(asked, headers, (endpoint, answer, body) -> {
            try {
                BlobStream.Body opened = body(endpoint, answer, body, from, end, range);
                if (ranged && opened.from() != from) {
                    throw new RegistryException(
                            Reason.RANGES_IGNORED,
                            "registry " + endpoint.authority() + " sends whole blobs only, not parts of them");
                }
                remember(served, asked, endpoint.base());
                return opened;
            } catch (IOException e) {
                body.close();
                throw e;
            }
        });
    }

    /** What an answer's headers say of its body, if they make sense. */
    private BlobStream.Body body(
            Endpoint endpoint, HttpResponse<InputStream> answer, InputStream body, long from, long end, boolean range)
            throws RegistryException {
        HttpHeaders headers = answer.headers();
        String encoding = headers.firstValue("Content-Encoding").orElse("identity");
        if (!encoding.equalsIgnoreCase("identity")) {
            throw malformed(endpoint, "sent a blob in the encoding " + quoted(encoding) + ", which nobody asked for");
        }
        long length = length(headers);
        if (answer.statusCode() == 200) {
            if (end >= 0 && length >= 0 && length < end) {
                throw malformed(endpoint, "has a blob of " + length + " bytes that should have at least " + end);
            }
            if (range && (from > 0 || length < 0 || length > end)) {
                remember(withoutRanges, endpoint.base(), System.nanoTime());
            }
            return new BlobStream.Body(body, 0, length, length, length >= 0);
        }
        String text = headers.firstValue("Content-Range").orElse("");
        Matcher told = CONTENT_RANGE.matcher(text);
        if (range && told.matches()) {
            long first = Long.parseLong(told.group(1));
            long last = Long.parseLong(told.group(2));
            long total = told.group(3).equals("*") ? BlobStream.UNKNOWN : Long.parseLong(told.group(3));
            // Fewer bytes than asked for are allowed (RFC 9110, 15.3.7), others are not.
            if (first == from
                    && last >= first
                    && (end < 0 || last < end)
                    && (total < 0 || (last < total && (end < 0 || end <= total)))
                    && (length < 0 || length == last - first + 1)) {
                withoutRanges.remove(endpoint.base());
                return new BlobStream.Body(body, first, last + 1, total, length >= 0);
            }
        }
        throw malformed(
                endpoint,
                "was asked for bytes " + from + "-" + (end < 0 ? "" : Long.toString(end - 1)) + " of a blob and sent "
                        + quoted(text) + (length < 0 ? "" : " with " + length + " bytes"));
    }

    private static long length(HttpHeaders headers) {
        String length = headers.firstValue("Content-Length").orElse("");
        return length.matches("\\d{1,18}") ? Long.parseLong(length) : BlobStream.UNKNOWN;
    }

    private static RegistryException malformed(Endpoint endpoint, String what) {
        return new RegistryException(Reason.MALFORMED, "registry " + endpoint.authority() + " " + what);
    }

    private static String quoted(String header) {
        String printable = header.replaceAll("[^\\x20-\\x7e]", "?");
        return "\"" + (printable.length() > 100 ? printable.substring(0, 100) + "…" : printable) + "\"";
    }

    /** Asks one server after the other, and those that may have recovered again. */
    private <T> T send(Asked asked, Map<String, String> headers, Reader<T> reader) throws IOException {
        List<Endpoint> left = new ArrayList<>(order(asked));
        if (left.isEmpty()) {
            throw new RegistryException(
                    Reason.DENIED,
                    "containerd's hosts.toml allows no server to be asked for " + asked + " of " + asked.host());
        }
        long start = System.nanoTime();
        Map<Endpoint, IOException> failures = new LinkedHashMap<>();
        for (int attempt = 0; !left.isEmpty(); attempt++) {
            for (Endpoint endpoint : List.copyOf(left)) {
                try {
                    return ask(endpoint, asked, headers, reader);
                } catch (InterruptedIOException e) {
                    throw e;
                } catch (IOException e) {
                    failures.put(endpoint, e);
                    if (e instanceof RegistryException known && !known.mayPass()) {
                        left.remove(endpoint);
                    }
                }
            }
            if (attempt + 1 >= ATTEMPTS || System.nanoTime() - start > 2 * silence.toNanos()) {
                break;
            }
            if (!left.isEmpty()) {
                pause(attempt);
            }
        }
        throw told(failures);
    }

    /** That ranges are ignored counts most, then what the registry itself says: a mirror need not have everything. */
    private static IOException told(Map<Endpoint, IOException> failures) {
        List<IOException> order = failures.entrySet().stream()
                .sorted(Comparator.comparing((Map.Entry<Endpoint, IOException> failure) ->
                                !(failure.getValue() instanceof RegistryException known)
                                        || known.reason() != Reason.RANGES_IGNORED)
                        .thenComparing(failure -> failure.getKey().namespace() != null))
                .map(Map.Entry::getValue)
                .toList();
        IOException told = order.getFirst();
        order.stream().skip(1).forEach(told::addSuppressed);
        return told;
    }

    /** Those that may be asked, the likeliest first. */
    private List<Endpoint> order(Asked asked) throws RegistryException {
        return hosts.endpoints(asked.host()).stream()
                .filter(endpoint -> asked.byName() ? endpoint.resolves() : endpoint.pulls())
                .sorted(Comparator.comparing((Endpoint endpoint) -> lately(wrong.get(place(endpoint, asked))))
                        .thenComparing(endpoint -> asked.blob() && lately(withoutRanges.get(endpoint.base())))
                        .thenComparing(endpoint -> gate(endpoint.base()).avoided()))
                .toList();
    }

    private static Locations.Blob place(Endpoint endpoint, Asked asked) {
        return new Locations.Blob(endpoint.base(), asked.repository(), asked.what());
    }

    private HostGate gate(URI address) {
        String key = address.getHost() + ":" + Endpoint.port(address);
        return gates.computeIfAbsent(key, host -> new HostGate(address.getAuthority()));
    }

    /** One server's answer, after its redirects and its questions. */
    private <T> T ask(Endpoint endpoint, Asked asked, Map<String, String> headers, Reader<T> reader)
            throws IOException {
        URI direct = address(endpoint, asked);
        Locations.Blob place = place(endpoint, asked);
        URI known = asked.blob() ? locations.find(place, Instant.now()) : null;
        URI at = known == null ? direct : known;
        int redirects = 0;
        for (int step = 0; step < STEPS; step++) {
            boolean own = endpoint.owns(at);
            String authorization = own ? authorizer.current(endpoint, asked.repository()) : null;
            HttpResponse<InputStream> answer;
            try {
                answer = exchange(
                        endpoint,
                        request(endpoint, at, asked.blob(), authorization, headers)
                                .GET()
                                .build());
            } catch (RegistryException e) {
                locations.forget(place);
                throw e;
            }
            int status = answer.statusCode();
            if (status == 200 || status == 206) {
                authorizer.worked(endpoint, asked.repository(), authorization);
                return reader.read(endpoint, answer, answer.body());
            }
            discard(answer);
            if (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) {
                at = redirected(endpoint, at, answer.headers());
                if (++redirects > REDIRECTS) {
                    throw malformed(endpoint, "redirects without end");
                }
                if (asked.blob()) {
                    locations.put(place, at, Instant.now());
                }
            } else if (status >= 400
                    && status < 500
                    && status != 408
                    && status != 416
                    && status != 429
                    && !at.equals(direct)) {
                // The address that it once sent us to has ended: it knows another one.
                locations.forget(place);
                if (known == null) {
                    throw refused(endpoint, asked, status);
                }
                known = null;
                at = direct;
                redirects = 0;
            } else if (status == 401 || status == 403) {
                String next = authorizer.answer(
                        endpoint,
                        asked.repository(),
                        status,
                        answer.headers().allValues("WWW-Authenticate"),
                        authorization);
                if (next == null) {
                    throw refused(endpoint, asked, status);
                }
            } else {
                Duration wait = retryAfter(answer.headers());
                if (status == 429 || wait != null) {
                    gate(at).quiet(wait == null ? FIRST_PAUSE : wait);
                }
                throw refused(endpoint, asked, status);
            }
        }
        throw malformed(endpoint, "does not come to an answer for " + asked);
    }

    private static URI address(Endpoint endpoint, Asked asked) throws RegistryException {
        try {
            String namespace = endpoint.namespace();
            return new URI(endpoint.base() + "/" + asked.repository() + "/" + asked.what()
                    + (namespace == null
                            ? ""
                            : (asked.what().contains("?") ? "&ns=" : "?ns=")
                                    + java.net.URLEncoder.encode(namespace, StandardCharsets.UTF_8)));
        } catch (URISyntaxException e) {
            throw new RegistryException(Reason.MALFORMED, asked + " cannot be asked of " + endpoint.authority());
        }
    }

    private static URI redirected(Endpoint endpoint, URI from, HttpHeaders headers) throws RegistryException {
        try {
            URI to = from.resolve(new URI(escaped(headers.firstValue("Location").orElse(""))));
            boolean plain = "http".equalsIgnoreCase(to.getScheme());
            if (to.getHost() != null
                    && to.getRawUserInfo() == null
                    && ("https".equalsIgnoreCase(to.getScheme()) || (plain && endpoint.plain()))) {
                return to;
            }
        } catch (URISyntaxException e) {
            // Said below.
        }
        throw malformed(endpoint, "redirects to an address that cannot be used");
    }

    /** Signed addresses come with characters that an address must not have (RFC 3986), and are meant all the same. */
    private static String escaped(String address) {
        StringBuilder escaped = new StringBuilder();
        for (byte b : address.getBytes(StandardCharsets.ISO_8859_1)) {
            int c = b & 0xff;
            if (c <= ' ' || c >= 127 || "\"<>\\^`{|}".indexOf(c) >= 0) {
                escaped.append('%').append(HexFormat.of().withUpperCase().toHexDigits(b));
            } else {
                escaped.append((char) c);
            }
        }
        return escaped.toString();
    }

    private HttpRequest.Builder request(
            Endpoint endpoint, URI at, boolean blob, @Nullable String authorization, Map<String, String> headers) {
        HttpRequest.Builder request = HttpRequest.newBuilder(at).timeout(silence);
        // Ranges in parallel are faster over connections of their own than over the one of HTTP/2: see ARCHITECTURE.md.
        if (blob || "http".equalsIgnoreCase(at.getScheme())) {
            request.version(HttpClient.Version.HTTP_1_1);
        }
        if (endpoint.owns(at)) {
            endpoint.headers().forEach((name, values) -> values.forEach(value -> request.header(name, value)));
        }
        headers.forEach(request::setHeader);
        if (authorization != null) {
            request.setHeader("Authorization", authorization);
        }
        return request;
    }

    /** One request; its body gives the turn back when it is closed. */
    private HttpResponse<InputStream> exchange(Endpoint endpoint, HttpRequest request) throws IOException {
        URI at = request.uri();
        HttpClient http = connections.to(endpoint);
        HostGate gate = gate(at);
        HostGate own = gate(endpoint.base());
        gate.enter(silence);
        boolean answered = false;
        try {
            HttpResponse<InputStream> answer = http.send(
                    request,
                    parts -> HttpResponse.BodySubscribers.mapping(
                            HttpResponse.BodySubscribers.ofInputStream(),
                            body -> new Turn(
                                    new StallGuard(body, clock, "registry " + at.getAuthority(), silence), gate, own)));
            answered = true;
            gate.up();
            return answer;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted");
        } catch (IOException e) {
            gate.down();
            own.down();
            throw new RegistryException(
                    Reason.UNREACHABLE,
                    "cannot reach registry " + at.getAuthority() + " (" + at.getScheme() + "): " + reason(e));
        } finally {
            if (!answered) {
                gate.leave();
            }
        }
    }

    /** A body whose end lets the next request to the server begin. */
    private static final class Turn extends FilterInputStream {
        private final HostGate gate;
        private final HostGate own;
        private final AtomicBoolean left = new AtomicBoolean();

        /** @param own of the server that was asked, which may have sent us elsewhere */
        Turn(InputStream body, HostGate gate, HostGate own) {
            super(body);
            this.gate = gate;
            this.own = own;
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            try {
                return super.read(bytes, offset, length);
            } catch (IOException e) {
                // So that the rest is asked for elsewhere first, if there is another server.
                own.down();
                throw e;
            }
        }

        @Override
        public void close() throws IOException {
            if (left.compareAndSet(false, true)) {
                gate.leave();
            }
            super.close();
        }
    }

    private static void discard(HttpResponse<InputStream> answer) {
        try (InputStream body = answer.body()) {
            if (length(answer.headers()) <= DRAINED) {
                var _ = body.readNBytes(DRAINED);
            }
        } catch (IOException e) {
            System.getLogger(RegistryClient.class.getName())
                    .log(System.Logger.Level.DEBUG, "an answer broke that nobody wanted");
        }
    }

    private static RegistryException refused(Endpoint endpoint, Asked asked, int status) {
        String server = "registry " + endpoint.authority();
        return switch (status) {
            case 401, 403, 410 ->
                new RegistryException(
                        Reason.DENIED,
                        server + " denies access to " + asked.repository()
                                + "; log in with docker or nerdctl as root, or name the credentials in config.json");
            case 404 -> new RegistryException(Reason.NOT_FOUND, server + " has no " + asked);
            case 416 ->
                new RegistryException(Reason.MALFORMED, server + " has fewer bytes of " + asked + " than it should");
            case 429 -> new RegistryException(Reason.OVERLOADED, server + " answered 429 for " + asked);
            default ->
                new RegistryException(
                        status == 408 || status >= 500 ? Reason.UNREACHABLE : Reason.MALFORMED,
                        server + " answered " + status + " for " + asked);
        };
    }

    /** As seconds or as a date (RFC 9110, 10.2.3); null if it says nothing. */
    static @Nullable Duration retryAfter(HttpHeaders headers) {
        String value = headers.firstValue("Retry-After").orElse("").strip();
        if (value.matches("\\d{1,9}")) {
            return Duration.ofSeconds(Long.parseLong(value));
        }
        try {
            Duration until = Duration.between(
                    Instant.now(),
                    ZonedDateTime.parse(value, DateTimeFormatter.RFC_1123_DATE_TIME.withLocale(Locale.ROOT)));
            return until.isNegative() ? Duration.ZERO : until;
        } catch (DateTimeParseException e) {
            return null;
        }
    }

    /** Asks a token server, which answers in JSON. */
    private byte[] token(Endpoint endpoint, URI server, @Nullable String authorization, @Nullable String form)
            throws IOException {
        String who = "the token server of registry " + endpoint.authority();
        URI at = server;
        IOException last = new RegistryException(Reason.MALFORMED, who + " redirects without end");
        int attempt = 0;
        for (int step = 0; step < TOKEN_ATTEMPTS + REDIRECTS && attempt < TOKEN_ATTEMPTS; step++) {
            boolean same = at.getHost().equalsIgnoreCase(server.getHost())
                    && Endpoint.port(at) == Endpoint.port(server)
                    && at.getScheme().equalsIgnoreCase(server.getScheme());
            HttpRequest.Builder request =
                    request(endpoint, at, false, same ? authorization : null, Map.of("Accept", "application/json"));
            if (form == null) {
                request.GET();
            } else {
                request.setHeader("Content-Type", "application/x-www-form-urlencoded")
                        .POST(HttpRequest.BodyPublishers.ofString(form));
            }
            HttpResponse<InputStream> answer;
            try {
                answer = exchange(endpoint, request.build());
            } catch (RegistryException e) {
                last = e;
                pause(attempt++);
                continue;
            }
            int status = answer.statusCode();
            if (status == 200) {
                try (InputStream body = answer.body()) {
                    return body.readNBytes(MAX_TOKEN_ANSWER);
                } catch (IOException e) {
                    last = new RegistryException(Reason.UNREACHABLE, who + " broke off: " + reason(e));
                    pause(attempt++);
                    continue;
                }
            }
            discard(answer);
            if (form == null && (status == 301 || status == 302 || status == 307 || status == 308)) {
                at = redirected(endpoint, at, answer.headers());
            } else if (status == 408 || status == 429 || status >= 500) {
                Duration wait = retryAfter(answer.headers());
                if (wait != null) {
                    gate(at).quiet(wait);
                }
                last = new RegistryException(
                        status == 429 ? Reason.OVERLOADED : Reason.UNREACHABLE, who + " answered " + status);
                pause(attempt++);
            } else {
                throw new RegistryException(
                        status == 400 || status == 401 || status == 403 ? Reason.DENIED : Reason.MALFORMED,
                        who + " answered " + status);
            }
        }
        throw last;
    }

    private static void pause(int attempt) throws InterruptedIOException {
        long millis = Math.min(FIRST_PAUSE.toMillis() << attempt, LONGEST_PAUSE.toMillis());
        try {
            TimeUnit.MILLISECONDS.sleep(millis / 2 + ThreadLocalRandom.current().nextLong(millis / 2 + 1));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted");
        }
    }

    /** A failure in words: java.net.http's own often has none. */
    static String reason(IOException e) {
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
        connections.close();
    }
}
