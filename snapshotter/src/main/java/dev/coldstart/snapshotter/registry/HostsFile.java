package dev.coldstart.snapshotter.registry;

import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.tomlj.Toml;
import org.tomlj.TomlArray;
import org.tomlj.TomlParseResult;
import org.tomlj.TomlPosition;
import org.tomlj.TomlTable;

/**
 * containerd's {@code hosts.toml} (its docs/hosts.md and core/remotes/docker/config/hosts.go). Unknown keys are
 * containerd's business.
 */
final class HostsFile {
    private static final int MAX_BYTES = 1 << 20;
    private static final Pattern DURATION = Pattern.compile("(\\d{1,9}(?:\\.\\d{1,9})?)(ns|us|µs|ms|s|m|h)");
    private static final Pattern HEADER = Pattern.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+");
    private static final Duration LONGEST_DIAL = Duration.ofMinutes(5);

    private HostsFile() {}

    /**
     * A server as the file has it.
     *
     * @param base null for the registry that the image names
     */
    record Server(
            @Nullable URI base,
            boolean pulls,
            boolean resolves,
            Map<String, List<String>> headers,
            Tls tls,
            Duration dialTimeout) {}

    /**
     * The servers of a registry's directory, in the order in which they are asked; the last is the registry itself or
     * what stands in for it. Without a {@code hosts.toml} it is the registry itself with the directory's certificates
     * ({@code .crt}; {@code .cert} with {@code .key}), as docker keeps them.
     *
     * @throws IOException with one clear sentence that quotes nothing of the file
     */
    static List<Server> read(Path directory) throws IOException {
        Path file = directory.resolve("hosts.toml");
        if (!Files.exists(file) || Files.size(file) == 0) {
            return List.of(certificates(directory));
        }
        if (Files.size(file) > MAX_BYTES) {
            throw new IOException(file + " is too large");
        }
        return parse(file, Files.readString(file));
    }

    /** The registry itself with the certificates that lie in a directory. */
    static Server certificates(Path directory) throws IOException {
        List<Path> authorities = new ArrayList<>();
        List<Tls.Key> keys = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory, "*.{crt,cert}")) {
            for (Path file : files) {
                String name = file.getFileName().toString();
                if (name.endsWith(".crt")) {
                    authorities.add(file);
                } else {
                    Path key = file.resolveSibling(name.substring(0, name.length() - ".cert".length()) + ".key");
                    keys.add(new Tls.Key(file, Files.exists(key) ? key : null));
                }
            }
        }
        authorities.sort(Comparator.naturalOrder());
        keys.sort(Comparator.comparing(Tls.Key::certificate));
        return new Server(null, true, true, Map.of(), new Tls(authorities, keys, false), Endpoint.DIAL_TIMEOUT);
    }

    static List<Server> parse(Path file, String text) throws IOException {
        TomlParseResult toml;
        try {
            toml = Toml.parse(text);
        } catch (RuntimeException | AssertionError | StackOverflowError e) {
            // The library's own assertions, and its recursion, do not bear every text.
            throw new IOException(file + " is not valid TOML");
        }
        if (toml.hasErrors()) {
            // The error itself may quote a header's value.
            throw new IOException(
                    file + " is not valid TOML near " + toml.errors().getFirst().position());
        }
        List<Server> servers = new ArrayList<>();
        if (toml.get(List.of("host")) instanceof TomlTable hosts) {
            List<String> names = new ArrayList<>(hosts.keySet());
            names.sort(Comparator.comparing(
                    name -> hosts.inputPositionOf(List.of(name)),
                    Comparator.nullsLast(
                            Comparator.comparingInt(TomlPosition::line).thenComparingInt(TomlPosition::column))));
            for (String name : names) {
                if (!(hosts.get(List.of(name)) instanceof TomlTable table)) {
                    throw wrong(file, "host." + name);
                }
                servers.add(server(file, name, table));
            }
        } else if (toml.contains(List.of("host"))) {
            throw wrong(file, "host");
        }
        Object server = toml.get(List.of("server"));
        if (server != null && !(server instanceof String)) {
            throw wrong(file, "server");
        }
        servers.add(server(file, server instanceof String name ? name : "", toml));
        return servers;
    }

    private static Server server(Path file, String address, TomlTable table) throws IOException {
        boolean override = flag(file, table, "override_path");
        List<String> capabilities = strings(file, table, "capabilities");
        for (String capability : capabilities) {
            if (!List.of("pull", "resolve", "push").contains(capability.toLowerCase(Locale.ROOT))) {
                throw wrong(file, "capabilities");
            }
        }
        List<Path> authorities = new ArrayList<>();
        for (String ca : strings(file, table, "ca")) {
            authorities.add(path(file, ca, "ca"));
        }
        return new Server(
                address.isEmpty() ? null : base(file, address, override),
                capabilities.isEmpty() || capabilities.stream().anyMatch("pull"::equalsIgnoreCase),
                capabilities.isEmpty() || capabilities.stream().anyMatch("resolve"::equalsIgnoreCase),
                headers(file, table),
                new Tls(authorities, keys(file, table), flag(file, table, "skip_verify")),
                dialTimeout(file, table));
    }

    private static URI base(Path file, String address, boolean override) throws IOException {
        try {
            URI uri = new URI(address.startsWith("http") ? address : "https://" + address).normalize();
            String scheme = uri.getScheme();
            if (uri.getHost() == null
                    || uri.getRawUserInfo() != null
                    || !("http".equals(scheme) || "https".equals(scheme))) {
                throw wrong(file, "server or host");
            }
            String path = uri.getRawPath() == null ? "" : uri.getRawPath().replaceFirst("/+$", "");
            return new URI(
                    scheme + "://" + uri.getRawAuthority() + (override || path.endsWith("/v2") ? path : path + "/v2"));
        } catch (URISyntaxException e) {
            throw wrong(file, "server or host");
        }
    }

    private static List<Tls.Key> keys(Path file, TomlTable table) throws IOException {
        List<Tls.Key> keys = new ArrayList<>();
        Object value = table.get(List.of("client"));
        if (value instanceof String one) {
            keys.add(new Tls.Key(path(file, one, "client"), null));
        } else if (value instanceof TomlArray all) {
            for (int i = 0; i < all.size(); i++) {
                if (all.get(i) instanceof String one) {
                    keys.add(new Tls.Key(path(file, one, "client"), null));
                } else if (all.get(i) instanceof TomlArray pair
                        && pair.size() == 2
                        && pair.get(0) instanceof String certificate
                        && pair.get(1) instanceof String key) {
                    keys.add(new Tls.Key(
                            path(file, certificate, "client"), key.isEmpty() ? null : path(file, key, "client")));
                } else {
                    throw wrong(file, "client");
                }
            }
        } else if (value != null) {
            throw wrong(file, "client");
        }
        return keys;
    }

    private static Map<String, List<String>> headers(Path file, TomlTable table) throws IOException {
        Object value = table.get(List.of("header"));
        if (value == null) {
            return Map.of();
        }
        if (!(value instanceof TomlTable named)) {
            throw wrong(file, "header");
        }
        Map<String, List<String>> headers = new HashMap<>();
        for (String name : named.keySet()) {
            List<String> values = strings(file, named, name);
            // The client sets what belongs to the connection.
            boolean forbidden = List.of(
                            "host", "connection", "content-length", "expect", "upgrade", "transfer-encoding", "range")
                    .contains(name.toLowerCase(Locale.ROOT));
            if (!HEADER.matcher(name).matches()
                    || forbidden
                    || values.stream().anyMatch(v -> v.chars().anyMatch(c -> (c < ' ' && c != '\t') || c >= 127))) {
                throw wrong(file, "header." + name);
            }
            headers.put(name, values);
        }
        return headers;
    }

    private static Duration dialTimeout(Path file, TomlTable table) throws IOException {
        List<String> value = strings(file, table, "dial_timeout");
        if (value.isEmpty() || value.getFirst().isEmpty()) {
            return Endpoint.DIAL_TIMEOUT;
        }
        Matcher part = DURATION.matcher(value.getFirst());
        double nanos = 0;
        int at = 0;
        while (part.find() && part.start() == at) {
            nanos += Double.parseDouble(part.group(1))
                    * switch (part.group(2)) {
                        case "h" -> 3600e9;
                        case "m" -> 60e9;
                        case "s" -> 1e9;
                        case "ms" -> 1e6;
                        case "ns" -> 1;
                        default -> 1e3;
                    };
            at = part.end();
        }
        if (value.size() != 1 || at != value.getFirst().length()) {
            throw wrong(file, "dial_timeout");
        }
        return Duration.ofNanos((long) Math.clamp(nanos, 1e6, (double) LONGEST_DIAL.toNanos()));
    }

    private static boolean flag(Path file, TomlTable table, String key) throws IOException {
        Object value = table.get(List.of(key));
        if (value == null) {
            return false;
        }
        if (value instanceof Boolean flag) {
            return flag;
        }
        throw wrong(file, key);
    }

    /** A string, or an array of them. */
    private static List<String> strings(Path file, TomlTable table, String key) throws IOException {
        Object value = table.get(List.of(key));
        List<String> all = new ArrayList<>();
        if (value instanceof String one) {
            all.add(one);
        } else if (value instanceof TomlArray array) {
            for (int i = 0; i < array.size(); i++) {
                if (!(array.get(i) instanceof String one)) {
                    throw wrong(file, key);
                }
                all.add(one);
            }
        } else if (value != null) {
            throw wrong(file, key);
        }
        return List.copyOf(all);
    }

    private static Path path(Path file, String name, String key) throws IOException {
        try {
            return file.resolveSibling(name);
        } catch (IllegalArgumentException e) {
            throw wrong(file, key);
        }
    }

    private static IOException wrong(Path file, String key) {
        return new IOException("key " + key + " in " + file + " is not what containerd's hosts.toml allows");
    }
}
