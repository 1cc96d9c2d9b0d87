package dev.coldstart.integration.host;

import java.nio.file.Files;
import java.nio.file.Path;

/**
 * The checkout that is tested.
 *
 * @param root its top directory
 */
public record Repository(Path root) {
    /** The checkout that the working directory lies in. */
    public static Repository here() {
        for (Path up = Path.of("").toAbsolutePath(); up != null; up = up.getParent()) {
            if (Files.isExecutable(up.resolve("integration/testhost"))) {
                return new Repository(up);
            }
        }
        throw new HostException("the working directory is not in a checkout of coldstart");
    }

    public Path script(String name) {
        return root.resolve("integration").resolve(name);
    }

    /** The installed programs, as the build leaves them. */
    public Path programs() {
        Path programs = root.resolve("deploy/target/coldstart");
        if (!Files.isDirectory(programs.resolve("runtime"))) {
            throw new HostException(programs + " is not there; build first: ./mvnw package");
        }
        return programs;
    }
}
