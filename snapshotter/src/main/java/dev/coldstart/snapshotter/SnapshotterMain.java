package dev.coldstart.snapshotter;

import dev.coldstart.linux.ServiceManager;
import java.io.IOException;
import java.lang.ref.Reference;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.jspecify.annotations.Nullable;

/** {@code coldstart-snapshotter [--config PATH]}: serves until it is told to stop. */
public final class SnapshotterMain {
    private static final String DEFAULT_CONFIG = "/etc/coldstart/config.toml";

    private SnapshotterMain() {}

    public static void main(String[] arguments) throws InterruptedException {
        // netty warns on each connection that a unix socket has no SO_KEEPALIVE, which gRPC sets on all sockets.
        Logger netty = Logger.getLogger("io.netty.bootstrap");
        netty.setLevel(Level.SEVERE);
        CountDownLatch stop = new CountDownLatch(1);
        Snapshotter snapshotter;
        try {
            snapshotter = start(arguments);
        } catch (IOException | IllegalArgumentException e) {
            System.err.println("coldstart-snapshotter: " + e.getMessage());
            System.exit(1);
            return;
        }
        snapshotter.rehearse();
        Runtime.getRuntime()
                .addShutdownHook(new Thread(
                        () -> {
                            snapshotter.close();
                            stop.countDown();
                        },
                        "stop"));
        try {
            stop.await();
        } finally {
            Reference.reachabilityFence(netty);
        }
    }

    private static Snapshotter start(String[] arguments) throws IOException {
        Path config = config(arguments);
        if (!Integer.valueOf(0).equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid"))) {
            throw new IOException("must be started by root, because it mounts file systems");
        }
        if (!Files.exists(Path.of("/dev/fuse"))) {
            throw new IOException("/dev/fuse does not exist; load the fuse module (modprobe fuse)");
        }
        return Snapshotter.start(
                Configuration.read(config), version(), credentials(), new ServiceManager(System.getenv()));
    }

    private static Path config(String[] arguments) {
        if (arguments.length == 0) {
            return Path.of(DEFAULT_CONFIG);
        }
        if (arguments.length == 2 && arguments[0].equals("--config")) {
            return Path.of(arguments[1]);
        }
        throw new IllegalArgumentException("usage: coldstart-snapshotter [--config PATH]");
    }

    private static Path credentials() {
        String directory = System.getenv("DOCKER_CONFIG");
        String home = System.getenv("HOME");
        return directory != null
                ? Path.of(directory, "config.json")
                : Path.of(home == null ? "/root" : home, ".docker", "config.json");
    }

    private static String version() {
        @Nullable String version = SnapshotterMain.class.getPackage().getImplementationVersion();
        return version == null ? "development" : version;
    }
}
