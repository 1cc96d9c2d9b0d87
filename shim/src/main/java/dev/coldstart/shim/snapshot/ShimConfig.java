package dev.coldstart.shim.snapshot;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.tomlj.Toml;
import org.tomlj.TomlParseResult;
import org.tomlj.TomlTable;

/**
 * The section {@code [shim]} of the node's configuration.
 *
 * @param root where snapshots lie, under {@code snapshots/}
 * @param state where sockets and mounts of the node's programs lie
 */
public record ShimConfig(Path root, Path state) {
    private static final Set<String> SECTIONS =
            Set.of("snapshotter", "store", "fetch", "index", "registry", "cri", "shim", "planner");

    /** The defaults, for a node without a configuration file. */
    public static ShimConfig defaults() {
        return new ShimConfig(Path.of("/var/lib/coldstart"), Path.of("/run/coldstart"));
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
            if (!(shim.get(java.util.List.of(key)) instanceof String value)) {
                throw new IOException(file + ": " + key + " in [shim] must be a string.");
            }
            config = switch (key) {
                case "root" -> new ShimConfig(Path.of(value), config.state());
                case "state" -> new ShimConfig(config.root(), Path.of(value));
                default -> throw new IOException(file + " has an unknown key " + key + " in [shim]; remove it.");
            };
        }
        return config;
    }
}
