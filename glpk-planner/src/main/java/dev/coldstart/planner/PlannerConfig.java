package dev.coldstart.planner;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import org.tomlj.Toml;
import org.tomlj.TomlParseResult;
import org.tomlj.TomlTable;

/**
 * What the planner reads from {@code /etc/coldstart/config.toml}: the section {@code [planner]}.
 *
 * @param state directory of the sockets
 */
record PlannerConfig(Path state) {
    static final Path DEFAULT_FILE = Path.of("/etc/coldstart/config.toml");
    private static final Path DEFAULT_STATE = Path.of("/run/coldstart");
    /** Sections of the other programs in the same file. */
    private static final List<String> SECTIONS =
            List.of("snapshotter", "store", "fetch", "index", "registry", "cri", "shim", "planner");

    /** Where the service listens. */
    Path socket() {
        return state.resolve("planner.sock");
    }

    /** A missing file means defaults. */
    static PlannerConfig read(Path file) throws ConfigException {
        String text;
        try {
            text = Files.readString(file);
        } catch (NoSuchFileException e) {
            return new PlannerConfig(DEFAULT_STATE);
        } catch (IOException e) {
            throw new ConfigException("Cannot read " + file + ": " + e.getMessage(), e);
        }
        return parse(text, file.toString());
    }

    /** @param name how messages call the file */
    static PlannerConfig parse(String text, String name) throws ConfigException {
        TomlParseResult result = Toml.parse(text);
        if (result.hasErrors()) {
            throw new ConfigException(name + " is not TOML: " + result.errors().getFirst(), null);
        }
        for (String key : result.keySet()) {
            if (!SECTIONS.contains(key)) {
                throw new ConfigException(name + " has the unknown key '" + key + "'.", null);
            }
        }
        if (!result.contains("planner")) {
            return new PlannerConfig(DEFAULT_STATE);
        }
        if (!result.isTable("planner")) {
            throw new ConfigException(name + ": 'planner' must be a section, [planner].", null);
        }
        TomlTable planner = result.getTableOrEmpty("planner");
        for (String key : planner.keySet()) {
            if (!key.equals("state")) {
                throw new ConfigException(
                        name + " has the unknown key '" + key + "' in [planner]; known is: state.", null);
            }
        }
        if (!planner.contains("state")) {
            return new PlannerConfig(DEFAULT_STATE);
        }
        if (!planner.isString("state")) {
            throw new ConfigException(name + ": state in [planner] must be a path in quotes.", null);
        }
        Path state = Path.of(planner.getString("state", () -> DEFAULT_STATE.toString()));
        if (!state.isAbsolute()) {
            throw new ConfigException(name + ": state in [planner] must be an absolute path.", null);
        }
        return new PlannerConfig(state);
    }
}
