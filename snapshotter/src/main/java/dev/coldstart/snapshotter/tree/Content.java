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
     * A regular file whose bytes overlayfs finds in a data-only layer, at {@code /ab/cdef…}: the hexadecimal digits of
     * their SHA-256.
     *
     * @param sha256 its 32 bytes; the caller's array, not to be changed afterwards
     * @param size how many bytes the file has
     */
    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    record Redirect(byte[] sha256, long size) implements Content {
        /** Bytes of the path. */
        static final int PATH = 2 + 64;

        private static final byte[] DIGITS = {
            '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'
        };

        /**
         * Checks the digest's length.
         *
         * @throws IllegalArgumentException if it is not 32 bytes long
         */
        public Redirect {
            if (sha256.length != 32) {
                throw new IllegalArgumentException("a SHA-256 has 32 bytes, not " + sha256.length);
            }
        }

        /** The path as overlayfs wants it. */
        byte[] path() {
            byte[] path = new byte[PATH];
            int at = 0;
            for (int i = 0; i < 32; i++) {
                if (i < 2) {
                    path[at++] = '/';
                }
                path[at++] = DIGITS[(sha256[i] & 0xff) >> 4];
                path[at++] = DIGITS[sha256[i] & 0xf];
            }
            return path;
        }
    }
}
