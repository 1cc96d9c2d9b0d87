package dev.coldstart.snapshotter.object;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.Errno;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.MountTable;
import dev.coldstart.linux.OpenFile;
import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Complete objects in memory: a tmpfs with huge pages, in which overlayfs looks before the disk. It stays mounted when
 * this process ends. Only verified copies of what is complete on disk come here.
 */
public final class RamTier {
    private static final System.Logger LOG = System.getLogger(RamTier.class.getName());

    private final Path directory;
    private final long bytes;
    private final Retention retention;

    private RamTier(Path directory, long bytes, Retention retention) {
        this.directory = directory;
        this.bytes = bytes;
        this.retention = retention;
    }

    /**
     * Mounts the tier, or takes over what a predecessor mounted, or unmounts that.
     *
     * @param bytes its size; 0 for no tier
     * @return null if there is none
     */
    public static @Nullable RamTier open(Path directory, long bytes, Retention retention) throws IOException {
        boolean mounted =
                MountTable.read().stream().anyMatch(entry -> entry.mountPoint().equals(directory.toString()));
        if (bytes == 0) {
            if (mounted) {
                unmount(directory);
            }
            return null;
        }
        String options = "mode=0700,size=" + bytes;
        if (mounted) {
            try {
                Mount.mount(null, directory.toString(), null, Mount.MS_REMOUNT, "size=" + bytes);
            } catch (LinuxException e) {
                LOG.log(System.Logger.Level.WARNING, "the RAM tier keeps its size: {0}", e.getMessage());
            }
        } else {
            Files.createDirectories(directory);
            try {
                mount(directory, options + ",huge=always");
            } catch (LinuxException e) {
                LOG.log(System.Logger.Level.WARNING, "the RAM tier has no huge pages: {0}", e.getMessage());
                mount(directory, options);
            }
        }
        for (int i = 0; i < 256; i++) {
            Files.createDirectories(directory.resolve(HexFormat.of().toHexDigits((byte) i)));
        }
        return new RamTier(directory, bytes, retention);
    }

    private static void mount(Path directory, String options) throws LinuxException {
        Mount.mount("coldstart-ram", directory.toString(), "tmpfs", Mount.MS_NODEV | Mount.MS_NOSUID, options);
    }

    private static void unmount(Path directory) throws LinuxException {
        try {
            Mount.umount(directory.toString(), 0);
        } catch (LinuxException e) {
            if (e.errno() != Errno.EBUSY) {
                throw e;
            }
            LOG.log(
                    System.Logger.Level.WARNING,
                    "the RAM tier is configured off, but {0} is in use and stays",
                    directory);
        }
    }

    /** The directory that is this tier's lower layer. */
    public Path directory() {
        return directory;
    }

    /** Bytes that it can hold. */
    public long bytes() {
        return bytes;
    }

    /** Copies the objects of a layer that are complete on disk; those that find no room stay on disk only. */
    public void stage(LayerIndex layer, ObjectStore store) throws IOException {
        for (int row = 0; row < layer.objectCount(); row++) {
            ObjectName name = layer.objectName(row);
            try {
                copy(name, store);
            } catch (LinuxException e) {
                if (e.errno() != Errno.ENOSPC) {
                    throw e;
                }
                if (evict(layer.objectSize(row)) < layer.objectSize(row)) {
                    LOG.log(
                            System.Logger.Level.WARNING,
                            "layer {0} does not fit into the RAM tier, the rest of it stays on disk",
                            layer.layer());
                    return;
                }
                row--;
            }
        }
    }

    private void copy(ObjectName name, ObjectStore store) throws IOException {
        Path path = directory.resolve(name.path());
        if (Files.exists(path)) {
            return;
        }
        try (OpenFile from = store.openComplete(name)) {
            if (from == null) {
                return;
            }
            try (Arena arena = Arena.ofConfined();
                    OpenFile to = OpenFile.unnamed(directory, 0444)) {
                CallState state = new CallState(arena);
                long[] offset = new long[1];
                boolean sound = Verification.isSound(state, from, name, Long.MAX_VALUE, chunk -> {
                    to.write(state, chunk, offset[0]);
                    offset[0] += chunk.byteSize();
                });
                if (sound) {
                    var _ = to.link(state, path);
                }
            }
        }
    }

    private long evict(long goal) throws IOException {
        List<Retention.Layer> layers = retention.layers();
        try {
            long freed = 0;
            for (int i = 0; i < layers.size() && freed < goal; i++) {
                Retention.Layer layer = layers.get(i);
                LayerIndex index = layer.index();
                for (int row = 0;
                        index != null && !layer.pinned() && row < index.objectCount() && freed < goal;
                        row++) {
                    ObjectName name = index.objectName(row);
                    if (!Eviction.isNeeded(name, layers, i) && Files.deleteIfExists(directory.resolve(name.path()))) {
                        freed += index.objectSize(row);
                    }
                }
            }
            return freed;
        } finally {
            layers.forEach(Retention.Layer::close);
        }
    }
}
