package dev.coldstart.restore;

import dev.coldstart.linux.FileAttributes;
import dev.coldstart.linux.FileCopy;
import dev.coldstart.linux.SpecialFile;
import dev.coldstart.linux.Xattr;
import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Copies an overlay's writable layer so that the copy can serve as a lower layer: owners, permissions, times, hard
 * links, holes, extended attributes (overlayfs keeps opaque and renamed directories and metadata-only copies in
 * {@code trusted.overlay.*}), devices (whiteouts are device 0:0) and fifos. Sockets are left out: a restored server
 * binds anew, and overlayfs cannot connect to another layer's.
 */
final class LayerCopy extends SimpleFileVisitor<Path> {
    /** {@code st_mode}: S_IFMT and its values, include/uapi/linux/stat.h. */
    private static final int FILE_TYPE = 0170000;

    private static final int SOCKET = 0140000;
    private static final int SYMBOLIC_LINK = 0120000;
    private static final int REGULAR = 0100000;

    private final Path from;
    private final Path to;
    /** Files with several names: what identifies the file, and its first name in the copy. */
    private final Map<Object, Path> linked = new HashMap<>();

    private long bytes;

    private LayerCopy(Path from, Path to) {
        this.from = from;
        this.to = to;
    }

    /**
     * Copies the tree {@code from} to {@code to}, which must not exist.
     *
     * @return the sum of the sizes of its regular files, in bytes
     */
    static long copy(Path from, Path to) throws IOException {
        LayerCopy copy = new LayerCopy(from, to);
        Files.walkFileTree(from, copy);
        return copy.bytes;
    }

    @Override
    public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) throws IOException {
        Files.createDirectory(copyOf(directory));
        return FileVisitResult.CONTINUE;
    }

    @Override
    public FileVisitResult postVisitDirectory(Path directory, @Nullable IOException failure) throws IOException {
        if (failure != null) {
            throw failure;
        }
        attributes(directory, copyOf(directory), inode(directory));
        return FileVisitResult.CONTINUE;
    }

    @Override
    public FileVisitResult visitFile(Path file, BasicFileAttributes basic) throws IOException {
        Map<String, Object> inode = inode(file);
        int type = number(inode, "mode") & FILE_TYPE;
        if (type == SOCKET) {
            return FileVisitResult.CONTINUE;
        }
        Path copy = copyOf(file);
        Object key = basic.fileKey();
        if (key != null && number(inode, "nlink") > 1) {
            Path first = linked.putIfAbsent(key, copy);
            if (first != null) {
                Files.createLink(copy, first);
                return FileVisitResult.CONTINUE;
            }
        }
        switch (type) {
            case REGULAR -> {
                FileCopy.copy(file, copy);
                bytes += basic.size();
            }
            case SYMBOLIC_LINK -> Files.createSymbolicLink(copy, Files.readSymbolicLink(file));
            default ->
                SpecialFile.make(
                        copy, number(inode, "mode"), ((Number) Objects.requireNonNull(inode.get("rdev"))).longValue());
        }
        attributes(file, copy, inode);
        return FileVisitResult.CONTINUE;
    }

    private Path copyOf(Path file) {
        return file.equals(from) ? to : to.resolve(from.relativize(file));
    }

    private static Map<String, Object> inode(Path file) throws IOException {
        return Files.readAttributes(file, "unix:mode,nlink,rdev,uid,gid,lastModifiedTime", LinkOption.NOFOLLOW_LINKS);
    }

    private static int number(Map<String, Object> inode, String name) {
        return ((Number) Objects.requireNonNull(inode.get(name))).intValue();
    }

    /** In this order: a change of owner clears file capabilities, and everything changes the time. */
    private static void attributes(Path file, Path copy, Map<String, Object> inode) throws IOException {
        FileAttributes.own(copy, number(inode, "mode"), number(inode, "uid"), number(inode, "gid"));
        for (String name : Xattr.list(file)) {
            Xattr.set(copy, name, Xattr.get(file, name));
        }
        FileTime modified = (FileTime) Objects.requireNonNull(inode.get("lastModifiedTime"));
        FileAttributes.touch(copy, modified.toInstant());
    }
}
