package dev.coldstart.shim.snapshot;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.tomlj.Toml;
import org.tomlj.TomlParseResult;
import org.tomlj.TomlTable;

/**
 * The section {@code [shim]} of the node's configuration.
 *
 * @param root where snapshots lie, under {@code snapshots/}
 * @param state where sockets and mounts of the node's programs lie
 * @param pool how many JVMs wait for containers; 0 for none
 * @param poolMemory bytes, the most that those take which wait
 */
public record ShimConfig(Path root, Path state, int pool, long poolMemory) {
    private static final Set<String> SECTIONS =
            Set.of("snapshotter", "store", "fetch", "index", "registry", "cri", "shim", "planner");
    private static final int MAX_POOL = 64;
    private static final Pattern BYTES = Pattern.compile("(\\d{1,10}) *(MiB|GiB)");

    /** The defaults, for a node without a configuration file. */
    public static ShimConfig defaults() {
        return new ShimConfig(Path.of("/var/lib/coldstart"), Path.of("/run/coldstart"), 2, 256L << 20);
    }

    /**
     * Reads a configuration file; one that does not exist means the defaults.
     *
     * @throws IOException with one sentence: the file is unreadable, not TOML, or has a key that nobody knows
     */
    public static ShimConfig read(Path file) throws IOException {
        if (!Files.exists(file)) {
            return defaults();
        }
        TomlParseResult toml = Toml.parse(file);
        if (toml.hasErrors()) {
            throw new IOException(
                    file + " is not valid TOML: " + toml.errors().getFirst().toString());
        }
        for (String section : toml.keySet()) {
            if (!SECTIONS.contains(section)) {
                throw new IOException(file + " has an unknown section [" + section + "]; remove it.");
            }
        }
        ShimConfig config = defaults();
        @Nullable TomlTable shim = toml.getTable("shim");
        if (shim == null) {
            return config;
        }
        for (String key : shim.keySet()) {
            @Nullable Object value = shim.get(List.of(key));
            config = switch (key) {
                case "root" ->
                    new ShimConfig(path(file, key, value), config.state(), config.pool(), config.poolMemory());
                case "state" ->
                    new ShimConfig(config.root(), path(file, key, value), config.pool(), config.poolMemory());
                case "pool" -> new ShimConfig(config.root(), config.state(), size(file, value), config.poolMemory());
                case "pool_memory" -> new ShimConfig(config.root(), config.state(), config.pool(), bytes(file, value));
                default -> throw new IOException(file + " has an unknown key " + key + " in [shim]; remove it.");
            };
        }
        return config;
    }

    private static Path path(Path file, String key, @Nullable Object value) throws IOException {
        if (value instanceof String text) {
            return Path.of(text);
        }
        throw new IOException(file + ": " + key + " in [shim] must be a string.");
    }

    private static int size(Path file, @Nullable Object value) throws IOException {
        if (value instanceof Long number && number >= 0 && number <= MAX_POOL) {
            return number.intValue();
        }
        throw new IOException(file + ": pool in [shim] must be a number from 0 to " + MAX_POOL + ".");
    }

    private static long bytes(Path file, @Nullable Object value) throws IOException {
        Matcher matcher = BYTES.matcher(value instanceof String text ? text : "");
        if (matcher.matches()) {
            return Long.parseLong(matcher.group(1)) << (matcher.group(2).equals("MiB") ? 20 : 30);
        }
        throw new IOException(file + ": pool_memory in [shim] must be a size such as \"256 MiB\".");
    }
}
