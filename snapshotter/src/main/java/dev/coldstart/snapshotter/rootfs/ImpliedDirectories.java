package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.linux.FileAttributes;
import dev.coldstart.linux.FileTree;
import dev.coldstart.linux.PathBytes;
import dev.coldstart.linux.Xattr;
import dev.coldstart.snapshotter.metadata.Catalog;
import dev.coldstart.snapshotter.metadata.Snapshot;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Directories that a layer has no entry for, as the layers below have them. Unpacking a layer leaves a directory that is
 * only on the way to a file as it was; a tree, which knows nothing of the layers below, has it as root's with 0755 and
 * would hide what it was. So such a layer gets another one above it, {@code implied/ID}, that has nothing but these
 * directories; ID is the snapshot's, because it depends on the whole stack.
 */
public final class ImpliedDirectories {
    private static final String OVERLAY = "trusted.overlay.";
    private static final String OPAQUE = OVERLAY + "opaque";

    private final Path root;

    /** Takes away what belongs to no snapshot any more. */
    public ImpliedDirectories(Path root, Catalog catalog) throws IOException {
        this.root = root;
        Files.createDirectories(root);
        Set<String> wanted = new HashSet<>();
        catalog.snapshots().forEach(snapshot -> wanted.add(Long.toString(snapshot.id())));
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(root)) {
            for (Path entry : entries) {
                if (!wanted.contains(entry.getFileName().toString())) {
                    FileTree.delete(entry);
                }
            }
        }
    }

    /**
     * The layer that goes above a snapshot's own.
     *
     * @param own the snapshot's own layer, mounted
     * @param implied its directories without an entry, parents first, a byte per char
     * @param below the layers below, the topmost first
     * @return null if none is needed
     */
    synchronized @Nullable Path layer(Snapshot snapshot, Path own, List<String> implied, List<Path> below)
            throws IOException {
        if (implied.isEmpty() || below.isEmpty()) {
            return null;
        }
        Path made = root.resolve(Long.toString(snapshot.id()));
        if (Files.exists(made)) {
            return made;
        }
        Path fresh = root.resolve(snapshot.id() + ".new");
        FileTree.delete(fresh);
        Files.createDirectories(fresh);
        copyAttributes(own, fresh);
        Set<String> known = new HashSet<>(implied);
        List<Path> directories = new ArrayList<>(List.of(fresh));
        List<FileTime> times = new ArrayList<>(List.of(Files.getLastModifiedTime(own)));
        boolean needed = false;
        for (String path : implied) {
            Path source = find(path, below);
            if (source == null) {
                continue;
            }
            needed = true;
            int slash = path.indexOf('/');
            for (int end = slash < 0 ? path.length() : slash; ; end = path.indexOf('/', end + 1)) {
                String part = end < 0 ? path : path.substring(0, end);
                Path directory = PathBytes.resolve(fresh, part);
                if (!Files.exists(directory)) {
                    Path seen = known.contains(part) ? find(part, below) : null;
                    Path as = seen == null ? PathBytes.resolve(own, part) : seen;
                    Files.createDirectory(directory);
                    copyAttributes(as, directory);
                    directories.add(directory);
                    times.add(Files.getLastModifiedTime(as));
                }
                if (part.length() == path.length()) {
                    break;
                }
            }
        }
        if (!needed) {
            FileTree.delete(fresh);
            return null;
        }
        // Last, because each directory made in one changes its time.
        for (int i = 0; i < directories.size(); i++) {
            FileAttributes.touch(directories.get(i), times.get(i).toInstant());
        }
        Files.move(fresh, made, StandardCopyOption.ATOMIC_MOVE);
        return made;
    }

    /** The directory as it is seen in a stack of layers; null if it is not seen there. */
    private static @Nullable Path find(String path, List<Path> below) throws IOException {
        for (Path layer : below) {
            Path at = layer;
            boolean hidden = false;
            boolean there = true;
            for (String name : path.split("/", -1)) {
                at = PathBytes.resolve(at, name);
                if (!Files.exists(at, LinkOption.NOFOLLOW_LINKS)) {
                    there = false;
                    break;
                }
                if (!Files.isDirectory(at, LinkOption.NOFOLLOW_LINKS)) {
                    return null;
                }
                hidden |= Xattr.list(at).contains(OPAQUE);
            }
            if (there) {
                return at;
            }
            if (hidden) {
                return null;
            }
        }
        return null;
    }

    private static void copyAttributes(Path from, Path to) throws IOException {
        for (String name : Xattr.list(from)) {
            if (!name.startsWith(OVERLAY)) {
                Xattr.set(to, name, Xattr.get(from, name));
            }
        }
        Map<String, Object> attributes = Files.readAttributes(from, "unix:mode,uid,gid", LinkOption.NOFOLLOW_LINKS);
        FileAttributes.own(to, (int) attributes.getOrDefault("mode", 0), (int) attributes.getOrDefault("uid", 0), (int)
                attributes.getOrDefault("gid", 0));
    }

    /** After a snapshot is gone. */
    public void remove(Snapshot snapshot) throws IOException {
        FileTree.delete(root.resolve(Long.toString(snapshot.id())));
    }
}
