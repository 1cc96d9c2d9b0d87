package dev.coldstart.snapshotter.tree;

/** What kind of file it is, and what it consists of. */
public sealed interface Content {
    /** A directory. */
    record Directory() implements Content {}

    /**
     * A symbolic link.
     *
     * @param target where it points, a byte per char, 1 to 4095 of them
     */
    record Symlink(String target) implements Content {}

    /** A character or block device. */
    record Device(boolean block, int major, int minor) implements Content {}

    /** A named pipe. */
    record Fifo() implements Content {}

    /**
     * A regular file whose bytes are in the tree.
     *
     * @param spooled where they lie in the {@link TreeSpool}
     * @param size how many
     */
    record Bytes(long spooled, long size) implements Content {}

    /**
     * A regular file whose bytes are in the tree, with holes; made by {@link SparseWriter}.
     *
     * @param size bytes of the file, more than 0
     * @param chunkBits the file is cut into chunks of 2^chunkBits bytes
     * @param chunks where each chunk lies in the {@link TreeSpool}, -1 for a hole
     */
    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    record Sparse(long size, int chunkBits, long[] chunks) implements Content {}

    /**
     * A regular file whose bytes overlayfs finds in a data-only layer.
     *
     * @param path absolute path there, such as {@code /ab/cdef…}
     * @param size how many
     */
    record Redirect(String path, long size) implements Content {}
}
