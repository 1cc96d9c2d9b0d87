package dev.coldstart.snapshotter.wholetree;

import dev.coldstart.linux.Errno;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.MountTable;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.SpanFetcher;
import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.rootfs.LayerMounts;
import dev.coldstart.snapshotter.tree.TreeReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import jnr.ffi.LibraryLoader;
import org.jspecify.annotations.Nullable;
import ru.serce.jnrfuse.LibFuse;

/**
 * Layers served whole by this process: {@code t/N}, as other mounts of trees are, and with the tree's file as the mount's
 * source as well. They end with the process.
 */
public final class WholeTreeMounts implements LayerMounts {
    private static final System.Logger LOG = System.getLogger(WholeTreeMounts.class.getName());
    private static final String LIBRARY = "libfuse.so.2";

    private final LibFuse library;
    private final Path root;
    private final Path trees;
    private final KnownLayers known;
    private final ObjectStore store;
    private final SpanFetcher fetcher;
    private final ConcurrentHashMap<Digest, Path> mounted = new ConcurrentHashMap<>();
    /** Guarded by itself. */
    private final BitSet numbers = new BitSet();

    /**
     * Takes away what a predecessor mounted, which nobody serves any more.
     *
     * @param root the directory {@code t}
     * @param trees where the tree files lie
     * @throws IOException with one clear sentence if libfuse 2 is not installed
     */
    public WholeTreeMounts(Path root, Path trees, KnownLayers known, ObjectStore store, SpanFetcher fetcher)
            throws IOException {
        this.library = load();
        this.root = root;
        this.trees = trees;
        this.known = known;
        this.store = store;
        this.fetcher = fetcher;
        // Before the directory is looked at: one whose server is dead cannot be.
        List<MountTable.Entry> table = MountTable.read();
        for (MountTable.Entry entry : table.reversed()) {
            if (Path.of(entry.mountPoint()).startsWith(root)) {
                Mount.umount(entry.mountPoint(), Mount.MNT_DETACH);
            }
        }
        Files.createDirectories(root);
    }

    private static LibFuse load() throws IOException {
        try {
            return LibraryLoader.create(LibFuse.class).failImmediately().load(LIBRARY);
        } catch (LinkageError e) {
            // Behind its first line are all the directories that were looked through.
            String why = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
            throw new IOException(
                    LIBRARY + " cannot be loaded, which serving layers whole over FUSE needs; install libfuse2"
                            + " (libfuse2t64 from Debian 13 and Ubuntu 24.04 on): " + why,
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
        KnownLayer of = known.find(layer);
        if (of == null) {
            throw new IOException("the index of layer " + layer + " is not here");
        }
        int number;
        synchronized (numbers) {
            number = numbers.nextClearBit(0);
            numbers.set(number);
        }
        Path target = root.resolve(Integer.toString(number));
        try {
            Files.createDirectories(target);
            TreeReader tree = TreeReader.open(file(layer));
            new TreeFileSystem(tree, of, store, fetcher)
                    .mount(library, target, file(layer).toString());
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

    @Override
    public void retain(Set<Digest> wanted) {
        for (Digest layer : List.copyOf(mounted.keySet())) {
            if (!wanted.contains(layer)) {
                unmount(layer);
            }
        }
    }
}
