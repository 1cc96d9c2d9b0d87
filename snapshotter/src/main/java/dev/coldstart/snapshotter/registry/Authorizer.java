package dev.coldstart.snapshotter.registry;

import dev.coldstart.snapshotter.registry.Credential.IdentityToken;
import dev.coldstart.snapshotter.registry.Credential.Password;
import dev.coldstart.snapshotter.registry.Credential.RegistryToken;
import dev.coldstart.snapshotter.registry.RegistryException.Reason;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.json.JsonFactory;

/**
 * The Authorization headers for repositories: got when a registry asks (Basic, or docker's token flow), by one request
 * however many need them, kept while they are good, and renewed before they end.
 */
final class Authorizer {
    private static final System.Logger LOG = System.getLogger(Authorizer.class.getName());
    private static final int MOST_PLACES = 4096;
    /** docker's token specification, where the answer says nothing. */
    private static final long DEFAULT_LIFE_SECONDS = 60;

    private static final long LONGEST_LIFE_SECONDS = TimeUnit.DAYS.toSeconds(7);
    /** A refusal of all credentials holds that long, so that many waiting readers do not all ask again. */
    private static final long DENIAL_NANOS = TimeUnit.SECONDS.toNanos(1);
    /** A permission that was good and is refused may have been taken back; one that is younger was not. */
    private static final long YOUNG_NANOS = TimeUnit.SECONDS.toNanos(10);

    private final Keychain keychain;
    private final TokenServer tokens;
    private final LongSupplier nanoTime;
    private final ConcurrentHashMap<Key, Place> places = new ConcurrentHashMap<>();

    /** Asks a token server. */
    @FunctionalInterface
    interface TokenServer {
        /**
         * One request, with its retries.
         *
         * @param authorization header; null for none
         * @param form body of a POST; null for a GET
         * @return the body of the answer 200
         * @throws RegistryException DENIED if the answer is no
         */
        byte[] ask(Endpoint endpoint, URI server, @Nullable String authorization, @Nullable String form)
                throws IOException;
    }

    private record Key(URI endpoint, String repository) {}

    private static final class Place {
        final ReentrantLock lock = new ReentrantLock();
        final AtomicBoolean renewing = new AtomicBoolean();
        volatile @Nullable Grant grant;
        volatile long deniedAt;
        volatile boolean denied;
    }

    /** A header that may be good. */
    private static final class Grant {
        final String header;
        final Challenge challenge;
        final int candidate;
        final long since;
        /** By {@link #nanoTime}; both 0 apart from {@code since} if it does not end by itself. */
        final long lifeNanos;

        volatile boolean worked;

        Grant(String header, Challenge challenge, int candidate, long since, long lifeNanos) {
            this.header = header;
            this.challenge = challenge;
            this.candidate = candidate;
            this.since = since;
            this.lifeNanos = lifeNanos;
        }
    }

    Authorizer(Keychain keychain, TokenServer tokens, LongSupplier nanoTime) {
        this.keychain = keychain;
        this.tokens = tokens;
        this.nanoTime = nanoTime;
    }

    /** The header to send; null if nobody asked for one yet, or none can be had. */
    @Nullable
    String current(Endpoint endpoint, String repository) {
        Place place = places.get(new Key(endpoint.base(), repository));
        Grant grant = place == null ? null : place.grant;
        if (place == null || grant == null) {
            return null;
        }
        long age = nanoTime.getAsLong() - grant.since;
        if (grant.lifeNanos == 0 || age < grant.lifeNanos / 4 * 3) {
            return grant.header;
        }
        if (age < grant.lifeNanos) {
            // Still good: whoever reads now does not wait for the next one.
            if (place.renewing.compareAndSet(false, true)) {
                Thread.ofVirtual().name("token-renewal").start(() -> {
                    try {
                        var _ = renew(endpoint, repository, place, grant);
                    } finally {
                        place.renewing.set(false);
                    }
                });
            }
            return grant.header;
        }
        return renew(endpoint, repository, place, grant);
    }

    private @Nullable String renew(Endpoint endpoint, String repository, Place place, Grant old) {
        place.lock.lock();
        try {
            if (place.grant == old) {
                obtain(endpoint, repository, place, old.challenge, 0);
            }
        } catch (IOException e) {
            LOG.log(System.Logger.Level.DEBUG, "a token is not renewed: {0}", RegistryClient.reason(e));
        } finally {
            place.lock.unlock();
        }
        Grant now = place.grant;
        return now == null ? null : now.header;
    }

    /** Says that a header was good. */
    void worked(Endpoint endpoint, String repository, @Nullable String header) {
        Place place = places.get(new Key(endpoint.base(), repository));
        Grant grant = place == null ? null : place.grant;
        if (grant != null && grant.header.equals(header)) {
            grant.worked = true;
        }
    }

    /**
     * What to send after a refusal.
     *
     * @param status 401 or 403
     * @param headers WWW-Authenticate of the answer
     * @param sent what was sent; null for nothing
     * @return null if there is nothing more to try
     * @throws IOException if the token server cannot be asked
     */
    @Nullable
    String answer(Endpoint endpoint, String repository, int status, List<String> headers, @Nullable String sent)
            throws IOException {
        if (places.size() > MOST_PLACES) {
            places.clear();
        }
        Place place = places.computeIfAbsent(new Key(endpoint.base(), repository), key -> new Place());
        place.lock.lock();
        try {
            Grant grant = place.grant;
            if (grant != null && !grant.header.equals(sent)) {
                return grant.header;
            }
            if (place.denied && nanoTime.getAsLong() - place.deniedAt < DENIAL_NANOS) {
                return null;
            }
            Challenge challenge = Challenge.best(headers);
            if (challenge == null) {
                challenge = grant == null ? null : grant.challenge;
            }
            if (challenge == null) {
                return null;
            }
            if (status == 403 && grant != null && grant.worked && nanoTime.getAsLong() - grant.since < YOUNG_NANOS) {
                return null;
            }
            obtain(endpoint, repository, place, challenge, grant == null || grant.worked ? 0 : grant.candidate + 1);
            Grant now = place.grant;
            return now == null ? null : now.header;
        } finally {
            place.lock.unlock();
        }
    }

    /** Tries credentials from the one of a number on; then nobody's. Leaves the grant, or null. */
    private void obtain(Endpoint endpoint, String repository, Place place, Challenge challenge, int from)
            throws IOException {
        List<@Nullable Credential> candidates = new ArrayList<>(keychain.find(endpoint.authority(), repository));
        if (challenge.bearer()) {
            candidates.add(null);
        }
        place.denied = false;
        for (int i = from; i < candidates.size(); i++) {
            try {
                Grant grant = grant(endpoint, repository, challenge, candidates.get(i), i);
                if (grant != null) {
                    place.grant = grant;
                    return;
                }
            } catch (RegistryException e) {
                if (e.reason() != Reason.DENIED) {
                    throw e;
                }
            }
        }
        place.grant = null;
        place.deniedAt = nanoTime.getAsLong();
        place.denied = true;
    }

    private @Nullable Grant grant(
            Endpoint endpoint, String repository, Challenge challenge, @Nullable Credential credential, int candidate)
            throws IOException {
        long now = nanoTime.getAsLong();
        if (credential instanceof RegistryToken token) {
            return new Grant("Bearer " + token.token(), challenge, candidate, now, 0);
        }
        if (!challenge.bearer()) {
            return credential instanceof Password password
                    ? new Grant("Basic " + password.basic(), challenge, candidate, now, 0)
                    : null;
        }
        String scope = challenge.parameters().getOrDefault("scope", "repository:" + repository + ":pull");
        String service = challenge.parameters().get("service");
        URI realm = realm(endpoint, challenge, credential != null);
        String query = "scope=" + encode(scope) + (service == null ? "" : "&service=" + encode(service));
        byte[] answer;
        if (credential instanceof IdentityToken identity) {
            answer = tokens.ask(
                    endpoint,
                    realm,
                    null,
                    "grant_type=refresh_token&client_id=coldstart&refresh_token=" + encode(identity.token()) + "&"
                            + query);
        } else {
            URI address = address(endpoint, realm + (realm.getRawQuery() == null ? "?" : "&") + query);
            answer = tokens.ask(
                    endpoint,
                    address,
                    credential instanceof Password password ? "Basic " + password.basic() : null,
                    null);
        }
        return token(endpoint, challenge, candidate, now, answer);
    }

    private static URI realm(Endpoint endpoint, Challenge challenge, boolean secret) throws RegistryException {
        String realm = challenge.parameters().get("realm");
        if (realm == null) {
            throw new RegistryException(
                    Reason.MALFORMED,
                    "registry " + endpoint.authority() + " asks for a token but does not say where to get it");
        }
        URI uri = address(endpoint, realm);
        // A secret goes over TLS, or nowhere but where the registry itself is spoken to in plain.
        if (secret && !"https".equalsIgnoreCase(uri.getScheme()) && !endpoint.plain()) {
            throw new RegistryException(
                    Reason.MALFORMED, "registry " + endpoint.authority() + " wants a password sent without TLS");
        }
        return uri;
    }

    private static URI address(Endpoint endpoint, String text) throws RegistryException {
        try {
            URI uri = new URI(text);
            if (uri.getHost() != null
                    && uri.getFragment() == null
                    && uri.getRawUserInfo() == null
                    && ("http".equalsIgnoreCase(uri.getScheme()) || "https".equalsIgnoreCase(uri.getScheme()))) {
                return uri;
            }
        } catch (URISyntaxException e) {
            // Said below.
        }
        throw new RegistryException(
                Reason.MALFORMED, "registry " + endpoint.authority() + " names a token server that is no address");
    }

    private static Grant token(Endpoint endpoint, Challenge challenge, int candidate, long now, byte[] answer)
            throws RegistryException {
        String token = null;
        long life = DEFAULT_LIFE_SECONDS;
        try (JsonParser json = new JsonFactory().createParser(ObjectReadContext.empty(), answer)) {
            json.nextToken();
            while (json.nextToken() == JsonToken.PROPERTY_NAME) {
                String field = json.currentName();
                JsonToken value = json.nextToken();
                if (value == JsonToken.VALUE_STRING
                        && (field.equals("token") || field.equals("access_token"))
                        && Credential.isToken(json.getString())) {
                    token = json.getString();
                } else if (value == JsonToken.VALUE_NUMBER_INT && field.equals("expires_in")) {
                    life = Math.clamp(
                            json.getBigIntegerValue()
                                    .min(java.math.BigInteger.valueOf(LONGEST_LIFE_SECONDS))
                                    .longValue(),
                            1,
                            LONGEST_LIFE_SECONDS);
                } else {
                    json.skipChildren();
                }
            }
        } catch (JacksonException e) {
            // Its message may quote the token.
            throw new RegistryException(
                    Reason.MALFORMED, "the token server of registry " + endpoint.authority() + " sent no valid JSON");
        }
        if (token == null) {
            throw new RegistryException(
                    Reason.MALFORMED, "the token server of registry " + endpoint.authority() + " sent no token");
        }
        return new Grant("Bearer " + token, challenge, candidate, now, TimeUnit.SECONDS.toNanos(life));
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }
}
