package dev.coldstart.snapshotter;

import dev.coldstart.snapshotter.object.Size;
import dev.coldstart.snapshotter.object.StoreSettings;
import dev.coldstart.snapshotter.registry.RegistryClient;
import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.tomlj.Toml;
import org.tomlj.TomlArray;
import org.tomlj.TomlParseResult;
import org.tomlj.TomlTable;

/**
 * What this program reads of {@code /etc/coldstart/config.toml}: the sections {@code [snapshotter]}, {@code
 * [store]}, {@code [fetch]}, {@code [index]}, {@code [registry]} with {@code [registry."HOST"]}, and {@code [cri]}.
 *
 * @param root what survives a reboot
 * @param state sockets and mounts
 * @param containerd containerd's socket
 * @param ioTimeout how long a container's read waits for its bytes before it gets an error
 * @param nodeName under which the planner knows this node
 * @param serve how root file systems are served
 * @param store bounds of the object store
 * @param fetch what is fetched before it is read
 * @param sharing how nodes share their indexes
 * @param registries that the file names, by HOST[:PORT]
 * @param hostsDirectory containerd's directory of {@code hosts.toml} files
 * @param pullSecrets directory of Kubernetes pull secrets; null for none
 * @param imageService socket on which the kubelet's calls to the image service are passed on; null for none
 */
public record Configuration(
        Path root,
        Path state,
        Path containerd,
        Duration ioTimeout,
        String nodeName,
        Serve serve,
        StoreSettings store,
        Fetch fetch,
        Sharing sharing,
        Map<String, Registry> registries,
        Path hostsDirectory,
        @Nullable Path pullSecrets,
        @Nullable Path imageService) {
    /** How root file systems are served. */
    public enum Serve {
        /** As trees if the kernel can, or else over FUSE. */
        AUTO,
        /** As EROFS trees, with the objects in data-only layers of overlayfs. */
        TREES,
        /** Whole, over FUSE. */
        FUSE
    }

    /**
     * What is fetched before it is read.
     *
     * @param replay whether starts of containers are recorded, and what they read is fetched ahead at later ones
     * @param background whether the rest of an image is fetched when its container has started
     */
    public record Fetch(boolean replay, boolean background) {}

    /**
     * How nodes share the indexes that they made.
     *
     * @param keyFile the secret of the cluster; null if nothing is shared
     * @param listen HOST:PORT where other nodes are answered; null for nowhere
     * @param peers other nodes to ask, as HOST:PORT
     * @param publish whether indexes are pushed into the images' repositories
     */
    public record Sharing(@Nullable Path keyFile, @Nullable String listen, List<String> peers, boolean publish) {
        /** Nothing is shared. */
        public static final Sharing NONE = new Sharing(null, null, List.of(), false);

        /** Whether other nodes can have what this one knows. */
        public boolean tellsOthers() {
            return listen != null || publish;
        }

        public Sharing {
            peers = List.copyOf(peers);
        }
    }

    /**
     * What the file says of a registry.
     *
     * @param plainHttp whether it is spoken to without TLS
     * @param caFile PEM file of authorities to trust besides the runtime's; null for none
     */
    public record Registry(boolean plainHttp, @Nullable Path caFile) {}

    private static final String HOSTS_DIRECTORY = "hosts_dir";
    private static final String PULL_SECRETS = "pull_secrets";
    private static final Duration IO_TIMEOUT = Duration.ofSeconds(30);
    private static final Set<String> SECTIONS =
            Set.of("snapshotter", "store", "fetch", "index", "registry", "cri", "shim", "planner");

    public Configuration {
        registries = Map.copyOf(registries);
    }

    /** Reads a file; all defaults if it is not there. An unknown key is an error that names it and the file. */
    public static Configuration read(Path file) throws IOException {
        if (!Files.exists(file)) {
            return parse(file, "");
        }
        return parse(file, Files.readString(file));
    }

    static Configuration parse(Path file, String text) throws IOException {
        TomlParseResult toml = Toml.parse(text);
        if (toml.hasErrors()) {
            throw new IOException(file + " is not valid TOML: " + toml.errors().getFirst());
        }
        for (String section : toml.keySet()) {
            if (!SECTIONS.contains(section) || !toml.isTable(List.of(section))) {
                throw unknown(section, file);
            }
        }
        TomlTable own = toml.getTable("snapshotter");
        Map<String, String> values = new HashMap<>(Map.of(
                "root", "/var/lib/coldstart",
                "state", "/run/coldstart",
                "containerd_address", "/run/containerd/containerd.sock",
                "node_name", "",
                "serve", "auto"));
        Duration ioTimeout = IO_TIMEOUT;
        if (own != null) {
            for (String key : own.keySet()) {
                if (key.equals("io_timeout_seconds")) {
                    ioTimeout = seconds(own, key, "snapshotter." + key, file);
                    continue;
                }
                if (!values.containsKey(key)) {
                    throw unknown("snapshotter." + key, file);
                }
                values.put(key, string(own, key, "snapshotter." + key, file));
            }
        }
        String node = values.getOrDefault("node_name", "");
        return new Configuration(
                path(values, "root", file),
                path(values, "state", file),
                path(values, "containerd_address", file),
                ioTimeout,
                node.isEmpty() ? hostName() : node,
                serve(values.getOrDefault("serve", ""), file),
                store(toml.getTable("store"), file),
                fetch(toml.getTable("fetch"), file),
                sharing(toml.getTable("index"), file),
                registries(toml.getTable("registry"), file),
                Objects.requireNonNullElse(
                        directory(toml.getTable("registry"), HOSTS_DIRECTORY, file),
                        Path.of("/etc/containerd/certs.d")),
                directory(toml.getTable("registry"), PULL_SECRETS, file),
                imageService(toml.getTable("cri"), file));
    }

    private static Serve serve(String value, Path file) throws IOException {
        return switch (value) {
            case "auto" -> Serve.AUTO;
            case "trees" -> Serve.TREES;
            case "fuse" -> Serve.FUSE;
            default ->
                throw new IOException("key snapshotter.serve in " + file + " must be \"auto\", \"trees\" or \"fuse\"");
        };
    }

    private static StoreSettings store(@Nullable TomlTable table, Path file) throws IOException {
        StoreSettings settings = StoreSettings.DEFAULTS;
        Size diskMax = settings.diskMax();
        Size freeMin = settings.freeMin();
        long ramMax = settings.ramMax();
        StoreSettings.Verify verify = settings.verify();
        long scrubDays = settings.scrubDays();
        if (table == null) {
            return settings;
        }
        for (String key : table.keySet()) {
            String name = "store." + key;
            switch (key) {
                case "disk_max" -> diskMax = size(table, key, name, file);
                case "free_min" -> freeMin = size(table, key, name, file);
                case "ram_max" -> {
                    Size size = size(table, key, name, file);
                    if (size.unit() == Size.Unit.PERCENT) {
                        throw new IOException("key " + name + " in " + file + " must be a size in bytes, not a share");
                    }
                    ramMax = size.of(0);
                }
                case "verify" ->
                    verify = switch (string(table, key, name, file)) {
                        case "once" -> StoreSettings.Verify.ONCE;
                        case "always" -> StoreSettings.Verify.ALWAYS;
                        default ->
                            throw new IOException("key " + name + " in " + file + " must be \"once\" or \"always\"");
                    };
                case "scrub_days" -> {
                    if (!(table.get(List.of(key)) instanceof Long days) || days < 0 || days > 3650) {
                        throw new IOException("key " + name + " in " + file + " must be a whole number, 0 to 3650");
                    }
                    scrubDays = days;
                }
                default -> throw unknown(name, file);
            }
        }
        return new StoreSettings(diskMax, freeMin, ramMax, verify, (int) scrubDays);
    }

    private static Fetch fetch(@Nullable TomlTable table, Path file) throws IOException {
        boolean replay = true;
        boolean background = false;
        if (table != null) {
            for (String key : table.keySet()) {
                String name = "fetch." + key;
                switch (key) {
                    case "replay" -> replay = truth(table, key, name, file);
                    case "background" -> background = truth(table, key, name, file);
                    default -> throw unknown(name, file);
                }
            }
        }
        return new Fetch(replay, background);
    }

    private static Sharing sharing(@Nullable TomlTable table, Path file) throws IOException {
        if (table == null) {
            return Sharing.NONE;
        }
        Path keyFile = null;
        String listen = null;
        List<String> peers = new ArrayList<>();
        boolean publish = false;
        for (String key : table.keySet()) {
            String name = "index." + key;
            switch (key) {
                case "key_file" -> keyFile = Path.of(string(table, key, name, file));
                case "listen" -> listen = hostAndPort(string(table, key, name, file), name, file);
                case "peers" -> {
                    if (!(table.get(List.of(key)) instanceof TomlArray array)) {
                        throw new IOException("key " + name + " in " + file + " must be a list of strings");
                    }
                    for (Object peer : array.toList()) {
                        peers.add(hostAndPort(String.valueOf(peer), name, file));
                    }
                }
                case "publish" -> publish = truth(table, key, name, file);
                default -> throw unknown(name, file);
            }
        }
        if (keyFile == null) {
            throw new IOException("[index] in " + file
                    + " needs key_file, the secret of the cluster: an index says which bytes a file has, so it is"
                    + " believed only if a node with the same key sealed it");
        }
        return new Sharing(keyFile, listen, peers, publish);
    }

    private static String hostAndPort(String value, String name, Path file) throws IOException {
        if (!value.matches("[^\\s/]+:[0-9]{1,5}")
                || Integer.parseInt(value.substring(value.lastIndexOf(':') + 1)) > 65535) {
            throw new IOException("key " + name + " in " + file + " must be HOST:PORT, not \"" + value + "\"");
        }
        return value;
    }

    private static Size size(TomlTable table, String key, String name, Path file) throws IOException {
        try {
            return Size.parse(string(table, key, name, file));
        } catch (IllegalArgumentException e) {
            throw new IOException("key " + name + " in " + file + ": " + e.getMessage(), e);
        }
    }

    private static Map<String, Registry> registries(@Nullable TomlTable table, Path file) throws IOException {
        Map<String, Registry> named = new HashMap<>();
        if (table == null) {
            return named;
        }
        for (String host : table.keySet()) {
            if (host.equals(HOSTS_DIRECTORY) || host.equals(PULL_SECRETS)) {
                continue;
            }
            if (!(table.get(List.of(host)) instanceof TomlTable registry)) {
                throw unknown("registry." + host, file);
            }
            boolean plainHttp = RegistryClient.isLoopback(host);
            Path caFile = null;
            for (String key : registry.keySet()) {
                String name = "registry.\"" + host + "\"." + key;
                switch (key) {
                    case "plain_http" -> plainHttp = truth(registry, key, name, file);
                    case "ca_file" -> caFile = Path.of(string(registry, key, name, file));
                    default -> throw unknown(name, file);
                }
            }
            named.put(host, new Registry(plainHttp, caFile));
        }
        return named;
    }

    private static @Nullable Path directory(@Nullable TomlTable table, String key, Path file) throws IOException {
        return table == null || !table.contains(List.of(key)) ? null : absolute(table, key, "registry." + key, file);
    }

    private static @Nullable Path imageService(@Nullable TomlTable table, Path file) throws IOException {
        Path socket = null;
        for (String key : table == null ? Set.<String>of() : table.keySet()) {
            if (!key.equals("image_service") || table == null) {
                throw unknown("cri." + key, file);
            }
            socket = absolute(table, key, "cri." + key, file);
        }
        return socket;
    }

    private static Path absolute(TomlTable table, String key, String name, Path file) throws IOException {
        Path path = Path.of(string(table, key, name, file));
        if (!path.isAbsolute()) {
            throw new IOException("key " + name + " in " + file + " must be an absolute path");
        }
        return path;
    }

    private static Duration seconds(TomlTable table, String key, String name, Path file) throws IOException {
        if (table.get(List.of(key)) instanceof Long value && value > 0 && value <= 3600) {
            return Duration.ofSeconds(value);
        }
        throw new IOException("key " + name + " in " + file + " must be a number of seconds from 1 to 3600");
    }

    private static boolean truth(TomlTable table, String key, String name, Path file) throws IOException {
        if (table.get(List.of(key)) instanceof Boolean value) {
            return value;
        }
        throw new IOException("key " + name + " in " + file + " must be true or false");
    }

    private static String string(TomlTable table, String key, String name, Path file) throws IOException {
        if (table.get(List.of(key)) instanceof String value) {
            return value;
        }
        throw new IOException("key " + name + " in " + file + " must be a string");
    }

    private static Path path(Map<String, String> values, String key, Path file) throws IOException {
        Path path = Path.of(values.getOrDefault(key, ""));
        // A colon or comma would be read as part of overlayfs' option syntax.
        if (!path.isAbsolute() || path.toString().matches(".*[:,\\\\\\s].*")) {
            throw new IOException("key snapshotter." + key + " in " + file
                    + " must be an absolute path without spaces, colons, commas and backslashes");
        }
        return path.normalize();
    }

    private static IOException unknown(String key, Path file) {
        return new IOException("unknown key " + key + " in " + file);
    }

    private static String hostName() {
        try {
            return Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
        } catch (IOException e) {
            try {
                return InetAddress.getLocalHost().getHostName();
            } catch (UnknownHostException second) {
                return "localhost";
            }
        }
    }
}
