package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.tree.Tree;
import dev.coldstart.snapshotter.tree.TreeSpool;
import dev.coldstart.snapshotter.tree.TreeWriter;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** What serving trees needs of the kernel, found out by trying, as distributions backport and leave out. */
public final class KernelSupport {
    private static final Digest NO_LAYER = new Digest("sha256", "0".repeat(64));

    private KernelSupport() {}

    /**
     * Proves that this kernel can serve trees.
     *
     * @param scratch a directory for trials
     * @throws IOException with one clear sentence that says what it cannot do
     */
    public static void requireForTrees(Path scratch) throws IOException {
        TreeMounts.requireKernelSupport(scratch);
        Path trees = Files.createDirectories(scratch.resolve("trees"));
        TreeMounts mounts = new TreeMounts(scratch.resolve("t"), trees);
        try (TreeSpool spool = new TreeSpool(trees);
                FileChannel file = FileChannel.open(
                        mounts.file(NO_LAYER),
                        StandardOpenOption.CREATE,
                        StandardOpenOption.TRUNCATE_EXISTING,
                        StandardOpenOption.READ,
                        StandardOpenOption.WRITE)) {
            TreeWriter.write(new Tree(), spool, new byte[16], file);
        }
        try {
            var _ = mounts.mount(NO_LAYER);
        } catch (IOException e) {
            throw new IOException("this kernel cannot mount an EROFS image: " + e.getMessage(), e);
        } finally {
            mounts.unmount(NO_LAYER);
            Files.deleteIfExists(mounts.file(NO_LAYER));
        }
    }
}
