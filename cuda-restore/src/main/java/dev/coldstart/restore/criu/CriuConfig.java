package dev.coldstart.restore.criu;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * What runc has no option for. CRIU reads it from the file that {@code CRIU_CONFIG_FILE} names (criu(8)), which runc
 * passes on; so no file of the host and no annotation of the container is touched, and a configuration of theirs
 * ({@code /etc/criu/runc.conf}, the annotation {@code org.criu.config}) still has the last word.
 */
public final class CriuConfig {
    /** A process finds its established connections closed: the peers of a restored container are gone. */
    private static final String CONTENT = """
            tcp-close
            skip-in-flight
            ghost-limit 536870912
            """;

    private CriuConfig() {}

    /**
     * Writes the configuration into a directory.
     *
     * @return the environment that makes CRIU read it
     */
    public static Map<String, String> write(Path directory) throws IOException {
        Path file = directory.resolve("criu.conf");
        Files.writeString(file, CONTENT);
        return Map.of("CRIU_CONFIG_FILE", file.toString());
    }
}
