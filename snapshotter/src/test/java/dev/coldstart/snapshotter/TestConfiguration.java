package dev.coldstart.snapshotter;

import dev.coldstart.snapshotter.object.StoreSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;

/** Configurations for tests: everything below one directory, and nothing outside of it. */
public final class TestConfiguration {
    private TestConfiguration() {}

    /** A node without containerd. */
    public static Configuration in(Path dir, Configuration.Serve serve, StoreSettings store) {
        return in(dir, dir.resolve("run"), serve, store);
    }

    /** A node without containerd whose mounts and sockets are elsewhere. */
    public static Configuration in(Path dir, Path state, Configuration.Serve serve, StoreSettings store) {
        return new Configuration(
                dir.resolve("root"),
                state,
                dir.resolve("no-containerd.sock"),
                Duration.ofSeconds(20),
                "node-1",
                serve,
                store,
                new Configuration.Fetch(true, false),
                Configuration.Sharing.NONE,
                Map.of(),
                dir.resolve("no-hosts"),
                null,
                null);
    }
}
