package dev.coldstart.integration.host;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What tests in test hosts need. */
public final class Root {
    private Root() {}

    /** Skips the test where test hosts cannot be made. */
    public static void assume() {
        boolean root;
        try {
            root = Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid"));
        } catch (IOException e) {
            root = false;
        }
        assumeTrue(root, "test hosts need root: namespaces, mounts and cgroups");
    }
}
