package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.linux.Errno;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.MountTable;
import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * Trees mounted for use as lower layers: {@code t/N}, with a short N because 128 of them must fit into one page of mount
 * options. The mount's source is the tree's file, named by the layer's digest, by which others learn what a root file
 * system consists of; or a loop device that has the file.
 */
public final class TreeMounts implements LayerMounts {
    private static final System.Logger LOG = System.getLogger(TreeMounts.class.getName());

    private final Path root;
    private final Path trees;
    private final ConcurrentHashMap<Digest, Path> mounted = new ConcurrentHashMap<>();
    /** Guarded by itself. */
    private final BitSet numbers = new BitSet();

    /**
     * Takes over the trees that a predecessor mounted; {@link #retain} tells which are still wanted.
     *
     * @param root the directory {@code t}
     * @param trees where the tree files lie
     */
    public TreeMounts(Path root, Path trees) throws IOException {
        this.root = root;
        this.trees = trees;
        Files.createDirectories(root);
        List<MountTable.Entry> table = MountTable.read();
        for (MountTable.Entry entry : table.reversed()) {
            Path at = Path.of(entry.mountPoint());
            if (!at.startsWith(root)) {
                continue;
            }
            Digest layer = at.equals(root) ? null : layer(entry);
            if (layer == null || !root.equals(at.getParent()) || mounted.putIfAbsent(layer, at) != null) {
                Mount.umount(entry.mountPoint(), Mount.MNT_DETACH);
            } else {
                numbers.set(Integer.parseInt(at.getFileName().toString()));
            }
        }
    }

    /** The layer whose tree this is; null if it is no tree of ours. */
    private @Nullable Digest layer(MountTable.Entry entry) {
        Path source = Path.of(entry.source());
        String name = source.getFileName() == null ? "" : source.getFileName().toString();
        if (!entry.type().equals("erofs")
                || !trees.equals(source.getParent())
                || !name.matches("[0-9a-f]{64}\\.erofs")
                || !Path.of(entry.mountPoint()).getFileName().toString().matches("\\d{1,9}")) {
            return null;
        }
        return new Digest("sha256", name.substring(0, 64));
    }

    @Override
    public void retain(Set<Digest> wanted) {
        for (Digest layer : Set.copyOf(mounted.keySet())) {
            if (!wanted.contains(layer)) {
                unmount(layer);
            }
        }
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
    public Path file(Digest layer) {
        return trees.resolve(layer.hex() + ".erofs");
    }

    @Override
    public @Nullable Path find(Digest layer) {
        return mounted.get(layer);
    }

    @Override
    public Path mount(Digest layer) throws IOException {
        Path at = mounted.get(layer);
        if (at != null) {
            return at;
        }
        int number;
        synchronized (numbers) {
            number = numbers.nextClearBit(0);
            numbers.set(number);
        }
        Path target = root.resolve(Integer.toString(number));
        try {
            Files.createDirectories(target);
            TreeFile.mount(file(layer), target);
        } catch (IOException e) {
            synchronized (numbers) {
                numbers.clear(number);
            }
            throw e;
        }
        mounted.put(layer, target);
        return target;
    }

    @Override
    public void unmount(Digest layer) {
        Path at = mounted.remove(layer);
        if (at == null) {
            return;
        }
        try {
            Mount.umount(at.toString(), 0);
            Files.deleteIfExists(at);
        } catch (LinuxException e) {
            if (e.errno() == Errno.EBUSY) {
                mounted.put(layer, at);
            } else {
                LOG.log(System.Logger.Level.WARNING, "cannot unmount a tree: {0}", e.getMessage());
            }
            return;
        } catch (IOException e) {
            LOG.log(System.Logger.Level.WARNING, "cannot remove a mount point: {0}", e.getMessage());
        }
        synchronized (numbers) {
            numbers.clear(Integer.parseInt(at.getFileName().toString()));
        }
    }
}
