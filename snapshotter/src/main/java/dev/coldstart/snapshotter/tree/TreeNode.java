package dev.coldstart.snapshotter.tree;

/**
 * A file of a tree as {@link TreeReader} finds it.
 *
 * @param nid EROFS's number of the inode, one for all names of a file
 * @param mode kind and permissions, as in {@code st_mode}
 * @param links names of a file; of a directory 2 and one for each directory in it
 * @param uid owner, unsigned
 * @param gid group, unsigned
 * @param size bytes of a file or of a symbolic link's target
 * @param seconds modification time since 1970
 * @param nanos and nanoseconds
 * @param layout one of EROFS's data layouts, for the reader
 * @param union where the data is; of a device its number as in {@code st_rdev}
 * @param xattrs bytes of the extended attributes behind the inode, for the reader
 */
public record TreeNode(
        long nid,
        int mode,
        int links,
        int uid,
        int gid,
        long size,
        long seconds,
        int nanos,
        int layout,
        int union,
        int xattrs) {
    private static final int KIND = 0170000;

    public boolean isDirectory() {
        return (mode & KIND) == TreeWriter.S_IFDIR;
    }

    public boolean isRegular() {
        return (mode & KIND) == TreeWriter.S_IFREG;
    }

    public boolean isSymlink() {
        return (mode & KIND) == TreeWriter.S_IFLNK;
    }

    /** A device's number as in {@code st_rdev}; 0 of anything else. */
    public int device() {
        int kind = mode & KIND;
        return kind == TreeWriter.S_IFCHR || kind == TreeWriter.S_IFBLK ? union : 0;
    }
}
