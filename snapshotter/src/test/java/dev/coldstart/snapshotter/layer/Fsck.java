package dev.coldstart.snapshotter.layer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.abort;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** What the file system's own checker says of a tree. */
final class Fsck {
    private Fsck() {}

    static void check(Path tree) throws InterruptedException {
        Process fsck;
        String output;
        try {
            fsck = new ProcessBuilder("fsck.erofs", tree.toString())
                    .redirectErrorStream(true)
                    .start();
            output = new String(fsck.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            abort("fsck.erofs is not here; install erofs-utils to check trees");
            return;
        }
        assertThat(fsck.waitFor()).as(output).isZero();
    }
}
