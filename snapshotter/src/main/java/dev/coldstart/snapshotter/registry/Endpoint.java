package dev.coldstart.snapshotter.registry;

import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * One server that may have the repositories of an image's host: the host itself, or a mirror.
 *
 * @param base scheme, authority and root of the API, such as {@code https://mirror:5000/v2}; no slash at the end
 * @param namespace what a mirror is told in the query parameter {@code ns}: the image's host; null if it is that host
 * @param pulls whether blobs, and manifests by digest, may be asked of it
 * @param resolves whether it is trusted to say what a tag means
 * @param headers sent with every request to it, and to nobody else; may be secret
 */
record Endpoint(
        URI base,
        @Nullable String namespace,
        boolean pulls,
        boolean resolves,
        Map<String, List<String>> headers,
        Tls tls,
        Duration dialTimeout) {
    /** Connecting takes no longer where nothing else is said. */
    static final Duration DIAL_TIMEOUT = Duration.ofSeconds(5);

    Endpoint {
        headers = Map.copyOf(headers);
    }

    /** HOST[:PORT], by which people know it. */
    String authority() {
        String authority = base.getAuthority();
        return authority.equals("registry-1.docker.io") ? "docker.io" : authority;
    }

    boolean plain() {
        return "http".equals(base.getScheme());
    }

    /** Whether an address is this server's: only then it sees credentials. */
    boolean owns(URI address) {
        return address.getScheme().equalsIgnoreCase(base.getScheme())
                && address.getHost() != null
                && address.getHost().equalsIgnoreCase(base.getHost())
                && port(address) == port(base);
    }

    static int port(URI address) {
        return address.getPort() >= 0 ? address.getPort() : "http".equalsIgnoreCase(address.getScheme()) ? 80 : 443;
    }

    @Override
    public String toString() {
        return base.toString();
    }
}
