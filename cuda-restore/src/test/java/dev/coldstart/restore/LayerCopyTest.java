package dev.coldstart.restore;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.coldstart.linux.Xattr;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** On a real overlayfs: the copied writable layer as a lower layer shows what the container saw. */
class LayerCopyTest {
    @TempDir
    Path directory;

    @BeforeEach
    void needsRoot() {
        assumeTrue(System.getProperty("user.name", "").equals("root"), "mounting overlayfs needs root");
    }

    private String shell(String script) throws IOException, InterruptedException {
        Process process = new ProcessBuilder("sh", "-ec", script)
                .directory(directory.toFile())
                .redirectErrorStream(true)
                .start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).as(output).isZero();
        return output;
    }

    @Test
    void aCopiedLayerShowsTheSameTree() throws Exception {
        shell("""
                mkdir lower up1 work1 up2 work2 root
                cd lower; mkdir -p dir/sub gone opaque moved; echo a > dir/a; echo b > dir/sub/b; echo g > gone/g
                echo o > opaque/old; echo m > moved/m; echo meta > meta; echo del > del; echo linked > linked
                cd ..
                mount -t overlay overlay -o lowerdir=lower,upperdir=up1,workdir=work1,metacopy=on,redirect_dir=on root
                """);
        String seen;
        try {
            shell("""
                    cd root; rm del; rm -r gone; rm -r opaque; mkdir opaque; echo new > opaque/new
                    mv moved elsewhere; chmod 4711 meta; chown 12:34 meta; echo more >> dir/a; ln linked linked2
                    mkfifo fifo; ln -s dir/a link; chown -h 5:6 link; touch -h -d '2001-02-03 04:05:06.789' link
                    mknod dev c 1 3; truncate -s 64M sparse; printf x | dd of=sparse bs=1 seek=33554432 conv=notrunc 2>/dev/null
                    printf 'bytes' > "$(printf 'name\\377\\303\\251')"
                    python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('sock')" || true
                    """);
            LayerCopy.copy(directory.resolve("up1"), directory.resolve("copy"));
            shell("rm -f root/sock");
            seen = listing();
        } finally {
            shell("umount root");
        }
        shell("""
                mount -t overlay overlay -o lowerdir=copy:lower,upperdir=up2,workdir=work2,metacopy=on,redirect_dir=on root
                """);
        try {
            assertThat(listing()).isEqualTo(seen);
            assertThat(shell("cat root/meta root/elsewhere/m root/dir/a; ls root/opaque"))
                    .isEqualTo("meta\nm\na\nmore\nnew\n");
            assertThat(shell("stat -c '%d:%i' root/linked; stat -c %h root/linked2"))
                    .endsWith("\n2\n");
            assertThat(Integer.parseInt(shell("du -sk copy/sparse | cut -f1").strip()))
                    .isLessThan(1024);
            assertThat(shell("test -e copy/sock && echo socket || true")).isEmpty();
        } finally {
            shell("umount root");
        }
    }

    /** coldstart's own root file systems: a tree names files whose bytes lie in a data-only layer. */
    @Test
    void aCopiedLayerOverATreeOfObjectsShowsTheSameTree() throws Exception {
        shell(
                "mkdir -p lower/ab tree/dir up1 work1 up2 work2 root; printf object > lower/ab/1; cp lower/ab/1 lower/ab/2");
        for (int object = 1; object <= 2; object++) {
            Path file = directory.resolve("tree/dir/" + object);
            shell("truncate -s 6 tree/dir/" + object);
            Xattr.set(file, "trusted.overlay.metacopy", new byte[0]);
            Xattr.set(file, "trusted.overlay.redirect", ("/ab/" + object).getBytes(StandardCharsets.US_ASCII));
        }
        String options = "workdir=work1,metacopy=on,redirect_dir=on root";
        shell("mount -t overlay overlay -o lowerdir=tree::lower,upperdir=up1," + options);
        String seen;
        try {
            shell("cd root; chmod 600 dir/1; mv dir/2 dir/3; chmod 640 dir/3; mv dir moved");
            seen = listing();
            LayerCopy.copy(directory.resolve("up1"), directory.resolve("copy"));
        } finally {
            shell("umount root");
        }
        shell("mount -t overlay overlay -o lowerdir=copy:tree::lower,upperdir=up2,"
                + options.replace("work1", "work2"));
        try {
            assertThat(listing()).isEqualTo(seen).contains("./moved/3 f 640");
            assertThat(shell("cat root/moved/1 root/moved/3; echo >> root/moved/3; wc -c < root/moved/3"))
                    .isEqualTo("objectobject7\n");
        } finally {
            shell("umount root");
        }
    }

    /** Names, types, owners, permissions, sizes, link targets, times of what can have kept them, and contents. */
    private String listing() throws IOException, InterruptedException {
        return shell(
                "cd root; find . -mindepth 1 \\( -type d -printf '%p %y %m %U:%G\\n' -o -printf '%p %y %m %U:%G %s %l %n %T+\\n' \\)"
                        + " | LC_ALL=C sort; find . -type f | LC_ALL=C sort | while read -r f; do md5sum \"$f\"; done");
    }
}
