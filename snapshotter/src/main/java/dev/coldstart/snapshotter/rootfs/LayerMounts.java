package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.linux.Errno;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Mount;
import dev.coldstart.snapshotter.layer.Digest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * Layers mounted for use as lower layers of overlays: {@code t/N}, with a short N because 128 of them must fit into one
 * page of mount options.
 */
public abstract class LayerMounts {
    private static final System.Logger LOG = System.getLogger(LayerMounts.class.getName());

    private final Path root;
    private final Path trees;
    private final ConcurrentHashMap<Digest, Path> mounted = new ConcurrentHashMap<>();
    /** Guarded by itself. */
    private final BitSet numbers = new BitSet();

    /**
     * With nothing mounted.
     *
     * @param root the directory {@code t}
     * @param trees where the tree files lie
     */
    protected LayerMounts(Path root, Path trees) {
        this.root = root;
        this.trees = trees;
    }

    /** Mounts a layer on an empty directory. */
    protected abstract void mount(Digest layer, Path target) throws IOException;

    /**
     * Takes over a layer that a predecessor mounted.
     *
     * @param number the N of {@code t/N}
     * @return false if the layer is mounted elsewhere too
     */
    protected final boolean adopt(Digest layer, int number) {
        if (mounted.putIfAbsent(layer, root.resolve(Integer.toString(number))) != null) {
            return false;
        }
        synchronized (numbers) {
            numbers.set(number);
        }
        return true;
    }

    /** The file of a layer's tree. */
    public final Path file(Digest layer) {
        return trees.resolve(layer.hex() + ".erofs");
    }

    /** Where the layer is mounted; null if it is not. */
    public final @Nullable Path find(Digest layer) {
        return mounted.get(layer);
    }

    /** Mounts a layer, unless it is mounted. Callers of one layer come one at a time. */
    public final Path mount(Digest layer) throws IOException {
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
            mount(layer, target);
        } catch (IOException e) {
            synchronized (numbers) {
                numbers.clear(number);
            }
            throw e;
        }
        mounted.put(layer, target);
        return target;
    }

    /** Unmounts a layer. Overlays that use it keep it. */
    public final void unmount(Digest layer) {
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
                LOG.log(System.Logger.Level.WARNING, "cannot unmount a layer: {0}", e.getMessage());
            }
            return;
        } catch (IOException e) {
            LOG.log(System.Logger.Level.WARNING, "cannot remove a mount point: {0}", e.getMessage());
        }
        synchronized (numbers) {
            numbers.clear(Integer.parseInt(at.getFileName().toString()));
        }
    }

    /** Unmounts all layers but these, unless somebody uses them. */
    public final void retain(Set<Digest> wanted) {
        for (Digest layer : Set.copyOf(mounted.keySet())) {
            if (!wanted.contains(layer)) {
                unmount(layer);
            }
        }
    }
}
