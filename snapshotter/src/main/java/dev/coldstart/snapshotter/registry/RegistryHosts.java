package dev.coldstart.snapshotter.registry;

import dev.coldstart.snapshotter.registry.RegistryException.Reason;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Which servers are asked for the images of a host: its mirrors and then itself, as containerd's {@code certs.d} says.
 * What our own configuration says of a host counts more. Files are read again when they change.
 */
public final class RegistryHosts {
    private static final System.Logger LOG = System.getLogger(RegistryHosts.class.getName());
    private static final long LOOK_AGAIN_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final int MOST_HOSTS = 1000;

    private final @Nullable Path directory;
    private final Function<String, @Nullable Boolean> plainHttp;
    private final ConcurrentHashMap<String, Loaded> loaded = new ConcurrentHashMap<>();

    private record Loaded(@Nullable Path from, Map<Path, FileStamp> stamps, List<Endpoint> endpoints, long looked) {}

    /**
     * Looks into a directory when asked.
     *
     * @param directory with one directory for each host, and {@code _default}; null for none
     * @param plainHttp whether a host is spoken to without TLS; null if our configuration does not say
     */
    public RegistryHosts(@Nullable Path directory, Function<String, @Nullable Boolean> plainHttp) {
        this.directory = directory;
        this.plainHttp = plainHttp;
    }

    /** Those to ask for images of this host, the first first; never empty. */
    List<Endpoint> endpoints(String host) throws RegistryException {
        Loaded before = loaded.get(host);
        if (before != null && System.nanoTime() - before.looked() < LOOK_AGAIN_NANOS) {
            return before.endpoints();
        }
        Path from = directoryOf(host);
        Map<Path, FileStamp> stamps = stamps(from);
        List<Endpoint> endpoints =
                before != null && equal(before, from, stamps) ? before.endpoints() : load(host, from);
        if (loaded.size() > MOST_HOSTS) {
            loaded.clear();
        }
        loaded.put(host, new Loaded(from, stamps, endpoints, System.nanoTime()));
        return endpoints;
    }

    private static boolean equal(Loaded before, @Nullable Path from, Map<Path, FileStamp> stamps) {
        return java.util.Objects.equals(before.from(), from) && before.stamps().equals(stamps);
    }

    private @Nullable Path directoryOf(String host) {
        // The host comes from a label; it must stay one name below the directory.
        if (directory == null || !host.matches("[A-Za-z0-9\\[][A-Za-z0-9.:\\[\\]_-]*")) {
            return null;
        }
        List<String> names = new ArrayList<>();
        int colon = host.lastIndexOf(':');
        if (colon > 0) {
            names.add(host.substring(0, colon) + "_" + host.substring(colon + 1) + "_");
        }
        names.add(host);
        names.add("_default");
        return names.stream()
                .map(directory::resolve)
                .filter(Files::isDirectory)
                .findFirst()
                .orElse(null);
    }

    private static Map<Path, FileStamp> stamps(@Nullable Path from) {
        Map<Path, FileStamp> stamps = new TreeMap<>();
        if (from != null) {
            try (DirectoryStream<Path> files = Files.newDirectoryStream(from)) {
                files.forEach(file -> stamps.put(file, FileStamp.of(file)));
            } catch (IOException | java.nio.file.DirectoryIteratorException e) {
                LOG.log(System.Logger.Level.WARNING, "cannot look into {0}", from);
            }
        }
        return stamps;
    }

    private List<Endpoint> load(String host, @Nullable Path from) throws RegistryException {
        List<HostsFile.Server> servers =
                List.of(new HostsFile.Server(null, true, true, Map.of(), Tls.DEFAULT, Endpoint.DIAL_TIMEOUT));
        if (from != null) {
            try {
                servers = HostsFile.read(from);
            } catch (IOException e) {
                LOG.log(System.Logger.Level.WARNING, "mirrors of {0} are not asked: {1}", host, e.getMessage());
                try {
                    servers = List.of(HostsFile.certificates(from));
                } catch (IOException second) {
                    LOG.log(System.Logger.Level.WARNING, "cannot look into {0}: {1}", from, second.getMessage());
                }
            }
        }
        List<Endpoint> endpoints = new ArrayList<>();
        for (int i = 0; i < servers.size(); i++) {
            HostsFile.Server server = servers.get(i);
            boolean ours = i == servers.size() - 1 && plainHttp.apply(host) != null;
            URI base = ours || server.base() == null ? itself(host, server.tls()) : server.base();
            endpoints.add(new Endpoint(
                    base,
                    base.getAuthority().equals(docker(host)) ? null : host,
                    server.pulls(),
                    server.resolves(),
                    server.headers(),
                    server.tls(),
                    server.dialTimeout()));
        }
        return List.copyOf(endpoints);
    }

    private URI itself(String host, Tls tls) throws RegistryException {
        Boolean named = plainHttp.apply(host);
        boolean plain = named == null ? tls.equals(Tls.DEFAULT) && RegistryClient.isLoopback(host) : named;
        try {
            URI base = new URI((plain ? "http://" : "https://") + docker(host) + "/v2");
            if (base.getHost() != null && base.getRawUserInfo() == null) {
                return base;
            }
        } catch (URISyntaxException e) {
            // Said below.
        }
        throw new RegistryException(Reason.MALFORMED, "\"" + host + "\" is not a registry's host");
    }

    /** docker.io is a name, not a server. */
    private static String docker(String host) {
        return host.equals("docker.io") ? "registry-1.docker.io" : host;
    }
}
