package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.linux.FileTree;
import dev.coldstart.snapshotter.metadata.Catalog;
import dev.coldstart.snapshotter.metadata.Snapshot;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** The directories of ordinary snapshots: {@code fs/ID/fs}, and {@code fs/ID/work} for overlayfs. */
public final class Directories {
    private static final String UID_MAPPING = "containerd.io/snapshot/uidmapping";
    private static final String GID_MAPPING = "containerd.io/snapshot/gidmapping";
    private static final String REMOVED = "rm-";

    private final Path root;
    private final ReentrantLock sweeping = new ReentrantLock();

    /** @param root the directory {@code fs} */
    public Directories(Path root) throws IOException {
        this.root = root;
        Files.createDirectories(root);
    }

    /** What an ordinary snapshot consists of. */
    public Path content(Snapshot snapshot) {
        return root.resolve(Long.toString(snapshot.id())).resolve("fs");
    }

    /** overlayfs' own directory beside an active snapshot. */
    public Path work(Snapshot snapshot) {
        return root.resolve(Long.toString(snapshot.id())).resolve("work");
    }

    /**
     * Makes a snapshot's directories.
     *
     * @param like the parent's top directory, whose owner is taken over; null if there is no parent
     */
    public void create(Snapshot snapshot, @Nullable Path like) throws IOException {
        Path own = root.resolve(Long.toString(snapshot.id()));
        Files.createDirectories(own);
        Files.setPosixFilePermissions(own, PosixFilePermissions.fromString("rwx------"));
        Path content = content(snapshot);
        Files.createDirectories(content);
        // Set, not given at creation: what a container sees must not depend on our umask.
        Files.setPosixFilePermissions(content, PosixFilePermissions.fromString("rwxr-xr-x"));
        if (like != null) {
            chown(content, (int) Files.getAttribute(like, "unix:uid"), (int) Files.getAttribute(like, "unix:gid"));
        }
        Integer uid = hostId(snapshot.labels(), UID_MAPPING);
        Integer gid = hostId(snapshot.labels(), GID_MAPPING);
        if (uid != null && gid != null) {
            chown(content, uid, gid);
        }
        if (snapshot.kind() == Snapshot.Kind.ACTIVE) {
            Files.createDirectories(work(snapshot));
            Files.setPosixFilePermissions(work(snapshot), PosixFilePermissions.fromString("rwx--x--x"));
        }
    }

    private static void chown(Path path, int uid, int gid) throws IOException {
        if ((int) Files.getAttribute(path, "unix:uid") != uid || (int) Files.getAttribute(path, "unix:gid") != gid) {
            Files.setAttribute(path, "unix:uid", uid);
            Files.setAttribute(path, "unix:gid", gid);
        }
    }

    /** The host's id that a container's root is mapped to ({@code 0:HOST:SIZE}); null if the label does not say. */
    private static @Nullable Integer hostId(Map<String, String> labels, String label) {
        String mapping = labels.getOrDefault(label, "");
        return mapping.matches("0:\\d{1,9}:\\d{1,10}") ? Integer.valueOf(mapping.split(":", -1)[1]) : null;
    }

    /** Takes a removed snapshot's directories out of the way at once; {@link #sweep} deletes them. */
    public void remove(Snapshot snapshot) throws IOException {
        try {
            Files.move(
                    root.resolve(Long.toString(snapshot.id())),
                    root.resolve(REMOVED + snapshot.id()),
                    StandardCopyOption.ATOMIC_MOVE);
        } catch (NoSuchFileException e) {
            // A snapshot whose content is a tree has none.
        }
    }

    /** Deletes what was removed. */
    public void sweep() throws IOException {
        sweeping.lock();
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(root, REMOVED + "*")) {
            for (Path entry : entries) {
                FileTree.delete(entry);
            }
        } finally {
            sweeping.unlock();
        }
    }

    /** After a crash: what no snapshot names goes, and what a snapshot should have is made. */
    public void recover(Catalog catalog) throws IOException {
        Set<String> wanted = new HashSet<>();
        for (Snapshot snapshot : catalog.snapshots()) {
            if (snapshot.layer() != null) {
                continue;
            }
            wanted.add(Long.toString(snapshot.id()));
            if (!Files.exists(content(snapshot))) {
                create(snapshot, null);
            }
        }
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(root)) {
            for (Path entry : entries) {
                String name = entry.getFileName().toString();
                if (!wanted.contains(name) && name.matches("\\d+")) {
                    Files.move(entry, root.resolve(REMOVED + name), StandardCopyOption.ATOMIC_MOVE);
                }
            }
        }
        sweep();
    }

    /**
     * Disk usage.
     *
     * @param size bytes allocated
     * @param inodes files and directories; a file with several names counts once
     */
    public record Usage(long size, long inodes) {}

    /** Measures one snapshot's own content. */
    public Usage usage(Snapshot snapshot) throws IOException {
        long[] sum = new long[2];
        Set<Object> linked = new HashSet<>();
        Files.walkFileTree(content(snapshot), new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) {
                sum[1]++;
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                if ((int) Files.getAttribute(file, "unix:nlink", LinkOption.NOFOLLOW_LINKS) > 1
                        && !linked.add(attributes.fileKey())) {
                    return FileVisitResult.CONTINUE;
                }
                sum[0] += attributes.isRegularFile() ? (attributes.size() + 4095) / 4096 * 4096 : 0;
                sum[1]++;
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFileFailed(Path file, IOException e) throws IOException {
                // A container may delete while we look.
                if (e instanceof NoSuchFileException) {
                    return FileVisitResult.CONTINUE;
                }
                throw e;
            }
        });
        return new Usage(sum[0], sum[1]);
    }
}
