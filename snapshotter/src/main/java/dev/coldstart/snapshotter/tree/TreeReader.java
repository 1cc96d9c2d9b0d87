package dev.coldstart.snapshotter.tree;

import static dev.coldstart.snapshotter.tree.TreeWriter.*;

import dev.coldstart.linux.MappedFile;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * Reads an image that {@link TreeWriter} wrote, as the kernel's EROFS does. Nothing in the image is believed: whatever
 * leads out of it or cannot be is a {@link TreeException}. Thread-safe but for {@link #close}.
 */
public final class TreeReader implements AutoCloseable {
    private static final String METACOPY = "trusted.overlay.metacopy";
    private static final String REDIRECT = "trusted.overlay.redirect";
    private static final int MAX_NAME = 255;
    private static final int MAX_TARGET = 4095;
    private static final int CHUNK_BITS = 0x1f;

    private final @Nullable MappedFile file;
    private final ByteBuffer image;
    private final MemorySegment bytes;
    private final TreeNode root;

    /**
     * A name in a directory.
     *
     * @param name a byte per char
     * @param nid the file's number, for {@link #node}
     * @param kind of file, as in {@code st_mode}; 0 if the directory does not say
     */
    public record Name(String name, long nid, int kind) {}

    private TreeReader(@Nullable MappedFile file, ByteBuffer image) throws TreeException {
        this.file = file;
        this.image = image;
        this.bytes = MemorySegment.ofBuffer(image);
        checkSuperblock();
        this.root = node(Short.toUnsignedLong(image.getShort(SUPER_OFFSET + 14)));
        if (!root.isDirectory()) {
            throw damaged("its root is not a directory");
        }
    }

    /** Maps an image of less than 2 GiB. */
    public static TreeReader open(Path file) throws IOException {
        MappedFile mapped = MappedFile.open(file);
        try {
            return new TreeReader(mapped, mapped.bytes());
        } catch (TreeException e) {
            mapped.close();
            throw new TreeException(file + " cannot be read: " + e.getMessage());
        }
    }

    /** An image in memory. */
    static TreeReader of(byte[] image) throws TreeException {
        return new TreeReader(null, ByteBuffer.wrap(image).order(ByteOrder.LITTLE_ENDIAN));
    }

    private void checkSuperblock() throws TreeException {
        if (image.limit() < BLOCK || image.getInt(SUPER_OFFSET) != SUPER_MAGIC) {
            throw damaged("it is no EROFS image");
        }
        if (image.get(SUPER_OFFSET + 12) != BLOCK_BITS
                || image.getInt(SUPER_OFFSET + 40) != 0
                || (image.getInt(SUPER_OFFSET + 80) & ~INCOMPAT_CHUNKED_FILE) != 0) {
            throw damaged("it has features that our trees do not have");
        }
        if ((image.getInt(SUPER_OFFSET + 8) & COMPAT_SB_CHKSUM) == 0
                || image.getInt(SUPER_OFFSET + 4) != checksum(image)) {
            throw damaged("the checksum of its superblock is wrong");
        }
    }

    /** The superblock's checksum: of all of block 0 behind the first 1024 bytes, with 0 in its own place. */
    static int checksum(ByteBuffer image) {
        byte[] block = new byte[BLOCK - SUPER_OFFSET];
        image.get(SUPER_OFFSET, block);
        ByteBuffer.wrap(block).putInt(4, 0);
        CRC32C crc = new CRC32C();
        crc.update(block, 0, block.length);
        // The kernel's crc32c() does not complement its result.
        return ~(int) crc.getValue();
    }

    /** The root directory. */
    public TreeNode root() {
        return root;
    }

    /** The file of a number that a directory has. */
    public TreeNode node(long nid) throws TreeException {
        if (nid < 0 || nid > image.limit() / SLOT) {
            throw damaged("inode " + nid + " is outside of it");
        }
        int at = at(nid * SLOT, INODE);
        int format = Short.toUnsignedInt(image.getShort(at));
        int layout = format >> 1;
        if ((format & LAYOUT_EXTENDED) == 0
                || (layout != FLAT_PLAIN && layout != FLAT_INLINE && layout != CHUNK_BASED)) {
            throw damaged("inode " + nid + " is of a form that our trees do not have");
        }
        int count = Short.toUnsignedInt(image.getShort(at + 2));
        TreeNode node = new TreeNode(
                nid,
                Short.toUnsignedInt(image.getShort(at + 4)),
                image.getInt(at + 44),
                image.getInt(at + 24),
                image.getInt(at + 28),
                image.getLong(at + 8),
                image.getLong(at + 32),
                image.getInt(at + 40),
                layout,
                image.getInt(at + 16),
                count == 0 ? 0 : XATTR_HEADER + 4 * (count - 1));
        if (node.size() < 0
                || node.nanos() < 0
                || node.nanos() > 999_999_999
                || (layout == CHUNK_BASED && !node.isRegular())) {
            throw damaged("inode " + nid + " has a size, a time or a layout that no file has");
        }
        return node;
    }

    /** The file of a name in a directory; null if there is none. */
    public @Nullable TreeNode find(TreeNode directory, String name) throws TreeException {
        int low = 0;
        int high = blocks(directory) - 1;
        Block candidate = null;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            Block block = block(directory, middle);
            int order = compare(name, block, 0);
            if (order == 0) {
                return node(block.nid(0));
            }
            if (order < 0) {
                high = middle - 1;
            } else {
                candidate = block;
                low = middle + 1;
            }
        }
        if (candidate == null) {
            return null;
        }
        low = 1;
        high = candidate.count() - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            int order = compare(name, candidate, middle);
            if (order == 0) {
                return node(candidate.nid(middle));
            }
            if (order < 0) {
                high = middle - 1;
            } else {
                low = middle + 1;
            }
        }
        return null;
    }

    /** A directory's names in the order of their bytes, {@code .} and {@code ..} included. */
    public List<Name> list(TreeNode directory) throws TreeException {
        List<Name> names = new ArrayList<>();
        for (int i = 0; i < blocks(directory); i++) {
            Block block = block(directory, i);
            for (int entry = 0; entry < block.count(); entry++) {
                byte[] name = new byte[block.nameEnd(entry) - block.nameStart(entry)];
                image.get(block.nameStart(entry), name);
                names.add(new Name(new String(name, StandardCharsets.ISO_8859_1), block.nid(entry), block.kind(entry)));
            }
        }
        return names;
    }

    /** A directory's data, block by block: entries of 12 bytes, and behind them their names. */
    private final class Block {
        private final int at;
        private final int end;
        private final int count;

        Block(int at, int length) throws TreeException {
            this.at = at;
            this.end = at + length;
            int names = length < DIRENT ? 0 : Short.toUnsignedInt(image.getShort(at + 8));
            if (names < DIRENT || names % DIRENT != 0 || names > length) {
                throw damaged("the directory block at " + at + " has no entries");
            }
            this.count = names / DIRENT;
        }

        int count() {
            return count;
        }

        long nid(int entry) {
            return image.getLong(at + DIRENT * entry);
        }

        int kind(int entry) {
            // FT_* of include/linux/fs_types.h
            return switch (image.get(at + DIRENT * entry + 10)) {
                case 1 -> S_IFREG;
                case 2 -> S_IFDIR;
                case 3 -> S_IFCHR;
                case 4 -> S_IFBLK;
                case 5 -> S_IFIFO;
                case 7 -> S_IFLNK;
                default -> 0;
            };
        }

        int nameStart(int entry) throws TreeException {
            int offset = Short.toUnsignedInt(image.getShort(at + DIRENT * entry + 8));
            if (offset < DIRENT * count || offset >= end - at) {
                throw damaged("a name of the directory block at " + at + " is outside of it");
            }
            return at + offset;
        }

        int nameEnd(int entry) throws TreeException {
            int start = nameStart(entry);
            int stop = end;
            if (entry + 1 < count) {
                stop = nameStart(entry + 1);
            } else {
                // What the last name leaves of a block is zeros.
                int zero = start;
                while (zero < Math.min(end, start + MAX_NAME + 1) && image.get(zero) != 0) {
                    zero++;
                }
                stop = zero;
            }
            if (stop <= start || stop - start > MAX_NAME) {
                throw damaged("a name of the directory block at " + at + " has no length that a name can have");
            }
            return stop;
        }
    }

    private int blocks(TreeNode directory) throws TreeException {
        if (!directory.isDirectory()) {
            throw damaged("inode " + directory.nid() + " is no directory");
        }
        if (directory.size() > image.limit()) {
            throw damaged("directory " + directory.nid() + " is larger than all of it");
        }
        return (int) ((directory.size() + BLOCK - 1) / BLOCK);
    }

    private Block block(TreeNode directory, int number) throws TreeException {
        long offset = (long) number * BLOCK;
        int length = (int) Math.min(BLOCK, directory.size() - offset);
        return new Block(flat(directory, offset, length), length);
    }

    private int compare(String name, Block block, int entry) throws TreeException {
        int start = block.nameStart(entry);
        int length = block.nameEnd(entry) - start;
        for (int i = 0; i < Math.min(length, name.length()); i++) {
            int order = name.charAt(i) - Byte.toUnsignedInt(image.get(start + i));
            if (order != 0) {
                return order;
            }
        }
        return name.length() - length;
    }

    /** A symbolic link's target, a byte per char. */
    public String target(TreeNode link) throws TreeException {
        if (!link.isSymlink() || link.size() < 1 || link.size() > MAX_TARGET) {
            throw damaged("inode " + link.nid() + " is no symbolic link");
        }
        byte[] target = new byte[(int) link.size()];
        image.get(flat(link, 0, target.length), target);
        return new String(target, StandardCharsets.ISO_8859_1);
    }

    /** A file's extended attributes, those included by which overlayfs finds its bytes. */
    public List<Xattr> xattrs(TreeNode node) throws TreeException {
        if (node.xattrs() == 0) {
            return List.of();
        }
        int at = at(node.nid() * SLOT + INODE, node.xattrs());
        int end = at + node.xattrs();
        if (image.get(at + 4) != 0) {
            throw damaged("inode " + node.nid() + " shares extended attributes, as in our trees none does");
        }
        List<Xattr> all = new ArrayList<>();
        at += XATTR_HEADER;
        while (at < end) {
            int name = end - at < 4 ? end : Byte.toUnsignedInt(image.get(at));
            int value = end - at < 4 ? end : Short.toUnsignedInt(image.getShort(at + 2));
            if (4 + name + value > end - at) {
                throw damaged("an extended attribute of inode " + node.nid() + " is longer than all of them");
            }
            byte[] suffix = new byte[name];
            image.get(at + 4, suffix);
            byte[] content = new byte[value];
            image.get(at + 4 + name, content);
            Xattr xattr = new Xattr(image.get(at + 1), new String(suffix, StandardCharsets.ISO_8859_1), content);
            all.add(xattr);
            at += xattr.diskSize();
        }
        return all;
    }

    /** Where the file's bytes are if they are not in the tree, such as {@code /ab/cdef…}; otherwise null. */
    public @Nullable String redirect(TreeNode node) throws TreeException {
        if (!node.isRegular() || node.xattrs() == 0) {
            return null;
        }
        boolean elsewhere = false;
        String path = null;
        for (Xattr xattr : xattrs(node)) {
            String name = xattr.name();
            elsewhere |= METACOPY.equals(name);
            path = REDIRECT.equals(name) ? new String(xattr.value(), StandardCharsets.ISO_8859_1) : path;
        }
        if (elsewhere && path == null) {
            throw damaged("inode " + node.nid() + " has its bytes elsewhere, and does not say where");
        }
        return elsewhere ? path : null;
    }

    /** Whether an attribute is one that only says where a file's bytes are. */
    public static boolean saysWhere(String xattr) {
        return xattr.equals(METACOPY) || xattr.equals(REDIRECT);
    }

    /**
     * Reads bytes of a regular file that are in the tree, holes as zeros.
     *
     * @return bytes read, fewer than {@code length} only at the file's end
     */
    public long read(TreeNode node, long offset, MemorySegment into, long length) throws TreeException {
        if (!node.isRegular() || offset < 0) {
            throw damaged("inode " + node.nid() + " is no regular file");
        }
        long end = Math.min(node.size(), offset + Math.min(length, Long.MAX_VALUE - offset));
        long done = 0;
        while (offset + done < end) {
            long position = offset + done;
            long piece = Math.min(end - position, pieceEnd(node, position) - position);
            int at = place(node, position, piece);
            if (at < 0) {
                into.asSlice(done, piece).fill((byte) 0);
            } else {
                MemorySegment.copy(bytes, at, into, done, piece);
            }
            done += piece;
        }
        return done;
    }

    /** The end of what lies in one piece in the image, or is a hole, from a position on. */
    private static long pieceEnd(TreeNode node, long position) throws TreeException {
        if (node.layout() == CHUNK_BASED) {
            int bits = chunkBits(node);
            long end = ((position >> bits) + 1) << bits;
            return end < 0 ? Long.MAX_VALUE : end;
        }
        long tail = node.size() / BLOCK * BLOCK;
        return node.layout() == FLAT_INLINE && position < tail ? tail : node.size();
    }

    private int place(TreeNode node, long position, long length) throws TreeException {
        if (node.layout() != CHUNK_BASED) {
            return flat(node, position, length);
        }
        int bits = chunkBits(node);
        long chunk = position >> bits;
        long table = node.nid() * SLOT + INODE + node.xattrs();
        if (chunk > image.limit()) {
            throw damaged("inode " + node.nid() + " has more chunks than fit");
        }
        int block = image.getInt(at(table + 4 * chunk, 4));
        return block == -1 ? -1 : at(Integer.toUnsignedLong(block) * BLOCK + (position & ((1L << bits) - 1)), length);
    }

    private static int chunkBits(TreeNode node) throws TreeException {
        int bits = (node.union() & CHUNK_BITS) + BLOCK_BITS;
        if ((node.union() & ~CHUNK_BITS) != 0) {
            throw damaged("inode " + node.nid() + " has chunks of a form that our trees do not have");
        }
        return bits;
    }

    /** Where bytes of an inode are that is not chunk-based; they must lie in one piece. */
    private int flat(TreeNode node, long position, long length) throws TreeException {
        long tail = node.size() / BLOCK * BLOCK;
        if (node.layout() == FLAT_INLINE && position >= tail) {
            return at(node.nid() * SLOT + INODE + node.xattrs() + position - tail, length);
        }
        if (node.layout() == CHUNK_BASED) {
            throw damaged("inode " + node.nid() + " is chunk-based and no regular file");
        }
        // Before the multiplication could overflow.
        if (position > image.limit()) {
            throw damaged("inode " + node.nid() + " is larger than all of it");
        }
        return at(Integer.toUnsignedLong(node.union()) * BLOCK + position, length);
    }

    private int at(long offset, long length) throws TreeException {
        if (offset < 0 || length < 0 || length > image.limit() || offset > image.limit() - length) {
            throw damaged("it ends before byte " + offset);
        }
        return (int) offset;
    }

    private static TreeException damaged(String what) {
        return new TreeException("the tree is damaged: " + what);
    }

    /** Unmaps the image. Nobody may be reading. */
    @Override
    public void close() {
        if (file != null) {
            file.close();
        }
    }
}
