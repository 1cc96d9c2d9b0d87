package dev.coldstart.snapshotter.rootfs;

import dev.coldstart.linux.Errno;
import dev.coldstart.linux.FileAttributes;
import dev.coldstart.linux.FileTree;
import dev.coldstart.linux.IdMapping;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Mount;
import dev.coldstart.snapshotter.metadata.Catalog;
import dev.coldstart.snapshotter.metadata.Snapshot;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
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
import java.util.Set;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** The directories of ordinary snapshots: {@code fs/ID/fs}, and {@code fs/ID/work} for overlayfs. */
public final class Directories {
    private static final String REMOVED = "rm-";

    private final Path root;
    private final Path links;
    private final ReentrantLock sweeping = new ReentrantLock();

    /**
     * Makes both directories.
     *
     * @param root the directory {@code fs}, which survives a reboot
     * @param links the directory {@code l} of short names
     */
    public Directories(Path root, Path links) throws IOException {
        this.root = root;
        this.links = links;
        Files.createDirectories(root);
        Files.createDirectories(links);
    }

    /**
     * Proves that containers can write into this directory's file system through an overlay.
     *
     * @param scratch an empty directory for a trial
     * @throws IOException with one clear sentence
     */
    public static void requireOverlayUpper(Path scratch) throws IOException {
        Path lower = Files.createDirectories(scratch.resolve("lower"));
        Path upper = Files.createDirectories(scratch.resolve("upper"));
        Path work = Files.createDirectories(scratch.resolve("work"));
        Path target = Files.createDirectories(scratch.resolve("target"));
        try {
            Mount.mount(
                    "overlay",
                    target.toString(),
                    "overlay",
                    0,
                    "lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work);
            Mount.umount(target.toString(), Mount.MNT_DETACH);
        } catch (LinuxException e) {
            throw new IOException(
                    scratch.getParent() + " lies on a file system of type "
                            + Files.getFileStore(scratch).type()
                            + ", which cannot be the writable layer of an overlay; set snapshotter.root to a directory on ext4, xfs, btrfs or tmpfs: "
                            + e.getMessage(),
                    e);
        } finally {
            FileTree.delete(scratch);
        }
    }

    /** What an ordinary snapshot consists of. */
    public Path content(Snapshot snapshot) {
        return root.resolve(Long.toString(snapshot.id())).resolve("fs");
    }

    /** A short path to what an ordinary snapshot consists of: 128 of them fit into one page of mount options. */
    Path shortContent(Snapshot snapshot) throws IOException {
        Path link = links.resolve(Long.toString(snapshot.id(), Character.MAX_RADIX));
        if (!Files.isSymbolicLink(link)) {
            try {
                Files.createSymbolicLink(link, content(snapshot));
            } catch (FileAlreadyExistsException e) {
                // Another request for a stack with this layer was faster.
            }
        }
        return link;
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
        IdMapping mapping = MappedLayers.mapping(snapshot.labels());
        if (mapping != null) {
            chown(content, (int) mapping.rootUser().orElseThrow(), (int)
                    mapping.rootGroup().orElseThrow());
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

    /** Takes a removed snapshot's directories out of the way at once; {@link #sweep} deletes them. */
    public void remove(Snapshot snapshot) throws IOException {
        Files.deleteIfExists(links.resolve(Long.toString(snapshot.id(), Character.MAX_RADIX)));
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

    /** After a crash: what no snapshot names is removed, and what a snapshot should have is made. */
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
    }

    /**
     * Disk usage.
     *
     * @param size bytes allocated
     * @param inodes files and directories; a file with several names counts once
     */
    public record Usage(long size, long inodes) {}

    /** Measures one snapshot's own content, also while a container changes it. */
    public Usage usage(Snapshot snapshot) throws IOException {
        long[] sum = new long[2];
        Set<Object> linked = new HashSet<>();
        Files.walkFileTree(content(snapshot), new SimpleFileVisitor<>() {
            private void count(Path file) throws IOException {
                try {
                    sum[0] += FileAttributes.allocatedBytes(file);
                    sum[1]++;
                } catch (LinuxException e) {
                    if (e.errno() != Errno.ENOENT) {
                        throw e;
                    }
                }
            }

            @Override
            public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes)
                    throws IOException {
                count(directory);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                try {
                    if ((int) Files.getAttribute(file, "unix:nlink", LinkOption.NOFOLLOW_LINKS) == 1
                            || linked.add(attributes.fileKey())) {
                        count(file);
                    }
                    return FileVisitResult.CONTINUE;
                } catch (NoSuchFileException e) {
                    return FileVisitResult.CONTINUE;
                }
            }

            @Override
            public FileVisitResult visitFileFailed(Path file, IOException e) throws IOException {
                return goneOrFail(e);
            }

            @Override
            public FileVisitResult postVisitDirectory(Path directory, @Nullable IOException e) throws IOException {
                return e == null ? FileVisitResult.CONTINUE : goneOrFail(e);
            }

            // A container may delete while we look.
            private FileVisitResult goneOrFail(IOException e) throws IOException {
                if (e instanceof NoSuchFileException) {
                    return FileVisitResult.CONTINUE;
                }
                throw e;
            }
        });
        return new Usage(sum[0], sum[1]);
    }
}
