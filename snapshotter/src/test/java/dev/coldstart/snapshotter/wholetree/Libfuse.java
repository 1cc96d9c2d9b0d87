package dev.coldstart.snapshotter.wholetree;

import java.nio.file.Files;
import java.nio.file.Path;

/** Whether layers can be served whole here. */
public final class Libfuse {
    public static final String NEEDED = "needs libfuse2 (or libfuse2t64) and /dev/fuse";

    private Libfuse() {}

    public static boolean isInstalled() throws Exception {
        Process process = new ProcessBuilder("ldconfig", "-p").start();
        String libraries = new String(process.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
        return process.waitFor() == 0 && libraries.contains("libfuse.so.2") && Files.exists(Path.of("/dev/fuse"));
    }
}
