package dev.coldstart.snapshotter.tree;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.zip.CRC32C;

/**
 * Writes a {@link Tree} as an EROFS image with 4 KiB blocks, uncompressed. Equal trees give equal bytes.
 *
 * <p>The image is: the superblock in block 0, behind it all inodes (64-byte form, in the order of a breadth-first walk,
 * small ones filling what larger ones leave of a block) with their extended attributes and the tails of their data, then
 * whole blocks of data. A file whose bytes are elsewhere is chunk-based: one chunk, a hole, so that it has its size and no
 * data. Structures, constants and limits are those of Linux, fs/erofs/erofs_fs.h.
 */
public final class TreeWriter {
    static final int BLOCK_BITS = 12;
    static final int BLOCK = 1 << BLOCK_BITS;

    static final int SUPER_OFFSET = 1024;
    private static final int SUPER_SIZE = 128;
    static final int SUPER_MAGIC = 0xe0f5_e1e2;
    static final int COMPAT_SB_CHKSUM = 1;
    private static final int COMPAT_MTIME = 2;
    static final int INCOMPAT_CHUNKED_FILE = 4;

    static final int SLOT = 32;
    static final int INODE = 64;
    static final int LAYOUT_EXTENDED = 1;
    static final int FLAT_PLAIN = 0;
    static final int FLAT_INLINE = 2;
    static final int CHUNK_BASED = 4;
    private static final int MAX_CHUNK_BITS = BLOCK_BITS + 31;
    static final int XATTR_HEADER = 12;
    static final int DIRENT = 12;
    // Files and names are numbered with so many bits, beside what they are sorted by.
    static final int NUMBER_BITS = 23;
    static final int NUMBERS = (1 << NUMBER_BITS) - 1;

    /** The largest inline xattr area: i_xattr_icount is 16 bits wide. */
    static final int MAX_XATTRS = XATTR_HEADER + 4 * 0xfffe - 256;

    static final int S_IFIFO = 0010000;
    static final int S_IFCHR = 0020000;
    static final int S_IFDIR = 0040000;
    static final int S_IFBLK = 0060000;
    static final int S_IFREG = 0100000;
    static final int S_IFLNK = 0120000;

    private static final Xattr METACOPY = new Xattr(Xattr.TRUSTED, "overlay.metacopy", new byte[0]);
    private static final Xattr OPAQUE = new Xattr(Xattr.TRUSTED, "overlay.opaque", new byte[] {'y'});
    private static final String REDIRECT = "overlay.redirect";
    private static final int REDIRECT_SIZE =
            METACOPY.diskSize() + Xattr.diskSize(REDIRECT.length(), Content.Redirect.PATH);
    private static final byte[] ZEROS = new byte[BLOCK];

    private final TreeSpool spool;
    private final List<Inode> inodes = new ArrayList<>();
    private final ByteBuffer out = ByteBuffer.allocateDirect(1 << 20).order(ByteOrder.LITTLE_ENDIAN);
    private final FileChannel file;
    private long written;
    private boolean chunked;

    private TreeWriter(TreeSpool spool, FileChannel file) {
        this.spool = spool;
        this.file = file;
    }

    /**
     * Writes the image into an empty file.
     *
     * @param spool has the bytes that the tree's files refer to
     * @param uuid 16 bytes that identify the file system
     * @param file open for reading and writing
     * @return number of files, the root included
     */
    public static int write(Tree tree, TreeSpool spool, byte[] uuid, FileChannel file) throws IOException {
        spool.map();
        TreeWriter writer = new TreeWriter(spool, file);
        writer.walk(tree.root);
        long blocks = writer.place();
        writer.writeInodes();
        writer.writeData();
        writer.pad(blocks * BLOCK);
        writer.flush();
        writer.writeSuperblock(uuid, blocks);
        return writer.inodes.size();
    }

    /** Bytes of an inode's extended attributes on disk, those for overlayfs not counted. */
    static int xattrSize(List<Xattr> xattrs) {
        if (xattrs.isEmpty()) {
            return 0;
        }
        int size = XATTR_HEADER;
        for (Xattr xattr : xattrs) {
            size += xattr.diskSize();
        }
        return size;
    }

    private static int xattrSize(Inode inode) {
        int own = xattrSize(inode.attributes.xattrs());
        int overlay = switch (inode.content) {
            case Content.Redirect redirect -> REDIRECT_SIZE;
            case Content.Directory directory when inode.opaque -> OPAQUE.diskSize();
            default -> 0;
        };
        return overlay > 0 && own == 0 ? XATTR_HEADER + overlay : own + overlay;
    }

    private void walk(Inode root) {
        Deque<Inode> directories = new ArrayDeque<>();
        Deque<Inode> parents = new ArrayDeque<>();
        number(root);
        directories.add(root);
        parents.add(root);
        for (Inode directory = directories.poll(); directory != null; directory = directories.poll()) {
            Listing listing = Listing.of(directory, parents.remove());
            directory.listing = listing;
            for (Inode inode : listing.inodes()) {
                if (inode.number == 0) {
                    number(inode);
                    if (inode.children != null) {
                        directories.add(inode);
                        parents.add(directory);
                    }
                }
            }
        }
    }

    private void number(Inode inode) {
        inodes.add(inode);
        inode.number = inodes.size();
    }

    /** Gives every inode its offset and its blocks. Returns the blocks of the whole image. */
    private long place() throws TreeException {
        Gaps gaps = new Gaps();
        for (Inode inode : inodes) {
            inode.dataSize = dataSize(inode);
            int fixed = INODE + xattrSize(inode);
            int tail = (int) (inode.dataSize % BLOCK);
            switch (inode.content) {
                case Content.Redirect redirect -> {
                    chunked = true;
                    inode.offset = gaps.take(fixed + 4 * chunkCount(redirect.size()));
                }
                case Content.Sparse sparse -> {
                    chunked = true;
                    inode.offset = gaps.take(fixed + 4 * sparse.chunks().length);
                }
                default -> {
                    // The tail has to lie in one block; xattrs of kilobytes leave it where the data is.
                    inode.tail = tail > 0 && fixed + tail <= BLOCK;
                    inode.offset = gaps.take(inode.tail ? fixed + tail : fixed);
                }
            }
        }
        long block = (gaps.end() + BLOCK - 1) / BLOCK;
        for (Inode inode : inodes) {
            inode.block = block;
            if (inode.content instanceof Content.Sparse sparse) {
                for (int chunk = 0; chunk < sparse.chunks().length; chunk++) {
                    block += sparse.chunks()[chunk] < 0 ? 0 : chunkBlocks(sparse, chunk);
                }
            } else {
                block += inode.tail ? inode.dataSize / BLOCK : (inode.dataSize + BLOCK - 1) / BLOCK;
            }
        }
        if (block >= 0xffff_ffffL) {
            throw new TreeException("the layer's tree would have more than 16 TiB");
        }
        return block;
    }

    /** Bytes in the data area or the tail: not those of chunk-based files. */
    private static long dataSize(Inode inode) {
        return switch (inode.content) {
            case Content.Directory directory -> directorySize(listing(inode).names());
            case Content.Symlink symlink -> symlink.target().length();
            case Content.Bytes bytes -> bytes.size();
            case Content.Device device -> 0;
            case Content.Fifo fifo -> 0;
            case Content.Redirect redirect -> 0;
            case Content.Sparse sparse -> 0;
        };
    }

    private static long directorySize(String[] names) {
        long blocks = 0;
        int used = 0;
        for (String name : names) {
            int entry = DIRENT + name.length();
            if (used + entry > BLOCK) {
                blocks++;
                used = 0;
            }
            used += entry;
        }
        return blocks * BLOCK + used;
    }

    private static Listing listing(Inode directory) {
        Listing listing = directory.listing;
        if (listing == null) {
            throw new IllegalStateException("a directory was not walked");
        }
        return listing;
    }

    private void writeInodes() throws IOException {
        // Offset and number in one word: all inodes lie within the first 2^40 slots.
        long[] order = new long[inodes.size()];
        for (Inode inode : inodes) {
            order[inode.number - 1] = ((inode.offset / SLOT) << NUMBER_BITS) | (inode.number - 1);
        }
        Arrays.sort(order);
        for (long next : order) {
            Inode inode = inodes.get((int) (next & NUMBERS));
            pad(inode.offset);
            writeInode(inode);
        }
    }

    private void writeInode(Inode inode) throws IOException {
        int xattrs = xattrSize(inode);
        int layout;
        int union = 0;
        long size = inode.dataSize;
        switch (inode.content) {
            case Content.Redirect redirect -> {
                layout = CHUNK_BASED;
                size = redirect.size();
                union = chunkBits(size) - BLOCK_BITS;
            }
            case Content.Sparse sparse -> {
                layout = CHUNK_BASED;
                size = sparse.size();
                union = sparse.chunkBits() - BLOCK_BITS;
            }
            case Content.Device device -> {
                layout = FLAT_PLAIN;
                // new_encode_dev() of include/linux/kdev_t.h
                union = (device.minor() & 0xff) | (device.major() << 8) | ((device.minor() & ~0xff) << 12);
            }
            default -> {
                layout = inode.tail ? FLAT_INLINE : FLAT_PLAIN;
                union = (int) inode.block;
            }
        }
        Attributes attributes = inode.attributes;
        room(INODE);
        out.putShort((short) (LAYOUT_EXTENDED | (layout << 1)));
        out.putShort((short) (xattrs == 0 ? 0 : (xattrs - XATTR_HEADER) / 4 + 1));
        out.putShort((short) (kind(inode) | (attributes.permissions() & 07777)));
        out.putShort((short) 0);
        out.putLong(size);
        out.putInt(union);
        out.putInt(inode.number);
        out.putInt(attributes.uid());
        out.putInt(attributes.gid());
        out.putLong(attributes.seconds());
        out.putInt(attributes.nanos());
        out.putInt(links(inode));
        out.putLong(0).putLong(0);
        if (xattrs > 0) {
            room(XATTR_HEADER);
            out.putInt(0).putInt(0).putInt(0);
            for (Xattr xattr : attributes.xattrs()) {
                writeXattr(xattr);
            }
            if (inode.content instanceof Content.Redirect redirect) {
                writeXattr(METACOPY);
                writeXattr(new Xattr(Xattr.TRUSTED, REDIRECT, redirect.path()));
            } else if (inode.children != null && inode.opaque) {
                writeXattr(OPAQUE);
            }
        }
        switch (inode.content) {
            case Content.Redirect redirect -> {
                for (int i = chunkCount(redirect.size()); i > 0; i--) {
                    room(4);
                    out.putInt(-1);
                }
            }
            case Content.Sparse sparse -> {
                int block = (int) inode.block;
                for (int chunk = 0; chunk < sparse.chunks().length; chunk++) {
                    room(4);
                    boolean hole = sparse.chunks()[chunk] < 0;
                    out.putInt(hole ? -1 : block);
                    block += hole ? 0 : (int) chunkBlocks(sparse, chunk);
                }
            }
            default -> {
                if (inode.tail) {
                    writeContent(inode, inode.dataSize / BLOCK * BLOCK, inode.dataSize);
                }
            }
        }
    }

    private void writeXattr(Xattr xattr) throws IOException {
        room(4);
        out.put((byte) xattr.suffix().length());
        out.put((byte) xattr.prefix());
        out.putShort((short) xattr.value().length);
        put(Tree.bytes(xattr.suffix()));
        put(xattr.value());
        zeros(-(xattr.suffix().length() + xattr.value().length) & 3);
    }

    private void writeData() throws IOException {
        for (Inode inode : inodes) {
            if (inode.content instanceof Content.Sparse sparse) {
                long block = inode.block;
                for (int chunk = 0; chunk < sparse.chunks().length; chunk++) {
                    if (sparse.chunks()[chunk] >= 0) {
                        pad(block * BLOCK);
                        copy(sparse.chunks()[chunk], chunkBytes(sparse, chunk));
                        block += chunkBlocks(sparse, chunk);
                    }
                }
                continue;
            }
            long end = inode.tail ? inode.dataSize / BLOCK * BLOCK : inode.dataSize;
            if (end > 0) {
                pad(inode.block * BLOCK);
                writeContent(inode, 0, end);
            }
        }
    }

    /** Writes a part of what an inode consists of; {@code from} is a multiple of the block size. */
    private void writeContent(Inode inode, long from, long to) throws IOException {
        switch (inode.content) {
            case Content.Bytes bytes -> copy(bytes.spooled() + from, to - from);
            case Content.Symlink symlink -> put(Tree.bytes(symlink.target()));
            default -> writeDirectory(listing(inode), from, to);
        }
    }

    /** Each block of a directory has first its entries, then their names. */
    private void writeDirectory(Listing listing, long from, long to) throws IOException {
        String[] names = listing.names();
        long base = written + out.position() - from;
        long size = 0;
        int first = 0;
        while (first < names.length) {
            int end = first;
            int used = 0;
            while (end < names.length && used + DIRENT + names[end].length() <= BLOCK) {
                used += DIRENT + names[end].length();
                end++;
            }
            if (size >= from && size < to) {
                pad(base + size);
                room(used);
                int name = DIRENT * (end - first);
                for (int i = first; i < end; i++) {
                    Inode inode = listing.inodes()[i];
                    out.putLong(inode.offset / SLOT);
                    out.putShort((short) name);
                    out.put(fileType(inode));
                    out.put((byte) 0);
                    name += names[i].length();
                }
                for (int i = first; i < end; i++) {
                    out.put(Tree.bytes(names[i]));
                }
            }
            size += BLOCK;
            first = end;
        }
    }

    private void writeSuperblock(byte[] uuid, long blocks) throws IOException {
        ByteBuffer block = ByteBuffer.allocate(BLOCK).order(ByteOrder.LITTLE_ENDIAN);
        while (block.hasRemaining() && file.read(block, block.position()) >= 0) {
            // Block 0 also has the first inodes, which the checksum covers.
        }
        block.putInt(SUPER_OFFSET, SUPER_MAGIC);
        block.putInt(SUPER_OFFSET + 8, COMPAT_SB_CHKSUM | COMPAT_MTIME);
        block.put(SUPER_OFFSET + 12, (byte) BLOCK_BITS);
        block.putShort(SUPER_OFFSET + 14, (short) (inodes.getFirst().offset / SLOT));
        block.putLong(SUPER_OFFSET + 16, inodes.size());
        block.putInt(SUPER_OFFSET + 36, (int) blocks);
        block.put(SUPER_OFFSET + 48, Arrays.copyOf(uuid, 16));
        block.putInt(SUPER_OFFSET + 80, chunked ? INCOMPAT_CHUNKED_FILE : 0);
        CRC32C crc = new CRC32C();
        crc.update(block.array(), SUPER_OFFSET, BLOCK - SUPER_OFFSET);
        // The kernel's crc32c() does not complement its result.
        block.putInt(SUPER_OFFSET + 4, ~(int) crc.getValue());
        block.rewind();
        while (block.hasRemaining()) {
            file.write(block, block.position());
        }
    }

    private static int chunkBits(long size) {
        int bits = BLOCK_BITS;
        while (bits < MAX_CHUNK_BITS && (1L << bits) < size) {
            bits++;
        }
        return bits;
    }

    private static int chunkCount(long size) {
        return (int) ((size + (1L << chunkBits(size)) - 1) >>> chunkBits(size));
    }

    private static long chunkBytes(Content.Sparse sparse, int chunk) {
        return Math.min(1L << sparse.chunkBits(), sparse.size() - ((long) chunk << sparse.chunkBits()));
    }

    private static long chunkBlocks(Content.Sparse sparse, int chunk) {
        return (chunkBytes(sparse, chunk) + BLOCK - 1) / BLOCK;
    }

    private static int links(Inode inode) {
        if (inode.children == null) {
            return inode.names;
        }
        int links = 2;
        for (Inode child : inode.children.values()) {
            links += child.children == null ? 0 : 1;
        }
        return links;
    }

    private static int kind(Inode inode) {
        return switch (inode.content) {
            case Content.Directory directory -> S_IFDIR;
            case Content.Symlink symlink -> S_IFLNK;
            case Content.Device device -> device.block() ? S_IFBLK : S_IFCHR;
            case Content.Fifo fifo -> S_IFIFO;
            case Content.Bytes bytes -> S_IFREG;
            case Content.Sparse sparse -> S_IFREG;
            case Content.Redirect redirect -> S_IFREG;
        };
    }

    /** The kernel's FT_* of include/linux/fs_types.h. */
    private static byte fileType(Inode inode) {
        return (byte)
                switch (kind(inode)) {
                    case S_IFREG -> 1;
                    case S_IFDIR -> 2;
                    case S_IFCHR -> 3;
                    case S_IFBLK -> 4;
                    case S_IFIFO -> 5;
                    default -> 7;
                };
    }

    private void copy(long spooled, long length) throws IOException {
        while (length > 0) {
            room(1);
            int piece = (int) Math.min(length, out.remaining());
            spool.read(spooled, out, piece);
            spooled += piece;
            length -= piece;
        }
    }

    private void put(byte[] bytes) throws IOException {
        int from = 0;
        while (from < bytes.length) {
            room(1);
            int piece = Math.min(bytes.length - from, out.remaining());
            out.put(bytes, from, piece);
            from += piece;
        }
    }

    private void pad(long to) throws IOException {
        zeros(to - written - out.position());
    }

    private void zeros(long count) throws IOException {
        while (count > 0) {
            room(1);
            int piece = (int) Math.min(count, Math.min(out.remaining(), ZEROS.length));
            out.put(ZEROS, 0, piece);
            count -= piece;
        }
    }

    private void room(int bytes) throws IOException {
        if (out.remaining() < bytes) {
            flush();
        }
    }

    private void flush() throws IOException {
        out.flip();
        while (out.hasRemaining()) {
            written += file.write(out, written);
        }
        out.clear();
    }

    /** Free room between inodes: what fits in a block stays in one block. */
    private static final class Gaps {
        private static final int SLOTS = BLOCK / SLOT;

        // By size in slots: a stack of offsets of gaps at the end of blocks.
        private final long[][] bySize = new long[SLOTS + 1][0];
        private final int[] count = new int[SLOTS + 1];
        private long end = SUPER_OFFSET + SUPER_SIZE;

        long take(int bytes) {
            int slots = (bytes + SLOT - 1) / SLOT;
            if (slots > SLOTS) {
                long at = end;
                end += (long) slots * SLOT;
                return at;
            }
            int left = (int) (BLOCK - end % BLOCK) / SLOT;
            // The open block at the end is the better place when it fits no worse.
            int sizes = slots <= left ? left : SLOTS + 1;
            for (int size = slots; size < sizes; size++) {
                if (count[size] > 0) {
                    long at = bySize[size][--count[size]];
                    keep(at + (long) slots * SLOT, size - slots);
                    return at;
                }
            }
            if (slots > left) {
                keep(end, left);
                end += (long) left * SLOT;
            }
            long at = end;
            end += (long) slots * SLOT;
            return at;
        }

        long end() {
            return end;
        }

        private void keep(long at, int slots) {
            if (slots >= INODE / SLOT) {
                if (count[slots] == bySize[slots].length) {
                    bySize[slots] = Arrays.copyOf(bySize[slots], 16 + 2 * count[slots]);
                }
                bySize[slots][count[slots]++] = at;
            }
        }
    }
}
