package dev.coldstart.snapshotter.wholetree;

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
import java.util.List;
import jnr.ffi.LibraryLoader;
import ru.serce.jnrfuse.LibFuse;

/**
 * Layers served whole by this process: {@code t/N}, as other mounts of trees are, and with the tree's file as the mount's
 * source as well. They end with the process.
 */
public final class WholeTreeMounts extends LayerMounts {
    private static final String LIBRARY = "libfuse.so.2";

    private final LibFuse library;
    private final KnownLayers known;
    private final ObjectStore store;
    private final SpanFetcher fetcher;

    /**
     * Takes away what a predecessor mounted, which nobody serves any more.
     *
     * @param root the directory {@code t}
     * @param trees where the tree files lie
     * @throws IOException with one clear sentence if libfuse 2 is not installed
     */
    public WholeTreeMounts(Path root, Path trees, KnownLayers known, ObjectStore store, SpanFetcher fetcher)
            throws IOException {
        super(root, trees);
        this.library = load();
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
    protected void mount(Digest layer, Path target) throws IOException {
        KnownLayer of = known.find(layer);
        if (of == null) {
            throw new IOException("the index of layer " + layer + " is not here");
        }
        TreeReader tree = TreeReader.open(file(layer));
        new TreeFileSystem(tree, of, store, fetcher)
                .mount(library, target, file(layer).toString());
    }
}
