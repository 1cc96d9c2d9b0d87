package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.MountTable;
import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Trees mounted as EROFS. The mount's source is the tree's file, named by the layer's digest, by which others learn what a root file
 * system consists of; or a loop device that has the file.
 */
public final class TreeMounts extends LayerMounts {
    private final Path trees;

    /**
     * Takes over the trees that a predecessor mounted; {@link #retain} tells which are still wanted.
     *
     * @param root the directory {@code t}
     * @param trees where the tree files lie
     */
    public TreeMounts(Path root, Path trees) throws IOException {
        super(root, trees);
        this.trees = trees;
        Files.createDirectories(root);
        List<MountTable.Entry> table = MountTable.read();
        for (MountTable.Entry entry : table.reversed()) {
            Path at = Path.of(entry.mountPoint());
            if (!at.startsWith(root)) {
                continue;
            }
            String number = root.relativize(at).toString();
            Digest layer = number.matches("\\d{1,9}") ? layer(entry) : null;
            if (layer == null || !adopt(layer, Integer.parseInt(number))) {
                Mount.umount(entry.mountPoint(), Mount.MNT_DETACH);
            }
        }
    }

    /** The layer whose tree this is; null if it is no tree of ours. */
    private @Nullable Digest layer(MountTable.Entry entry) throws IOException {
        if (!entry.type().equals("erofs")) {
            return null;
        }
        Path image = Path.of(entry.image());
        String name = image.getFileName() == null ? "" : image.getFileName().toString();
        return trees.equals(image.getParent()) && name.matches("[0-9a-f]{64}\\.erofs")
                ? new Digest("sha256", name.substring(0, 64))
                : null;
    }

    /**
     * Proves that this kernel can do what our root file systems need.
     *
     * @param scratch an empty directory for a trial
     * @throws IOException with one clear sentence
     */
    public static void requireKernelSupport(Path scratch) throws IOException {
        Path lower = Files.createDirectories(scratch.resolve("lower"));
        Path data = Files.createDirectories(scratch.resolve("data"));
        Path target = Files.createDirectories(scratch.resolve("target"));
        try {
            Mount.mount(
                    "overlay",
                    target.toString(),
                    "overlay",
                    Mount.MS_RDONLY,
                    "lowerdir=" + lower + "::" + data + ",metacopy=on,redirect_dir=on");
            Mount.umount(target.toString(), Mount.MNT_DETACH);
        } catch (LinuxException e) {
            throw new IOException(
                    "this kernel's overlayfs has no data-only lower layers, which need Linux 6.5 or newer and the right to mount: "
                            + e.getMessage(),
                    e);
        }
    }

    @Override
    protected void mount(Digest layer, Path target) throws IOException {
        TreeFile.mount(file(layer), target);
    }
}
