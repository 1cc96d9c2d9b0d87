package dev.coldstart.snapshotter.tree;

import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The names and attributes of one layer, gathered entry by entry as a tar gives them and kept in memory (about 270 bytes
 * a file) until {@link TreeWriter} lays them out. Names are bytes, kept in strings of one char per byte. Not thread-safe.
 *
 * <p>What it does with a path is what containerd's unpacking does: {@code ./} and a leading {@code /} are dropped; a
 * directory that has no entry of its own is made (0755, root); a symbolic link on the way to the last name is followed,
 * within the layer and never above its root; a later entry replaces an earlier one, but a directory over a directory only
 * changes its attributes, and one for the root is ignored; one that adds a name to a file changes its attributes too. A
 * path with {@code ..} in it is refused. Times are taken as they are, while containerd's stop at 1970.
 *
 * <p>Attributes become what the kernel would make of them: a symbolic link has all permissions; {@code user.} attributes are
 * for regular files and directories only, access control lists not for symbolic links, and they follow the permissions
 * ({@link PosixAcl}). What it would not take is refused: it would make a file that cannot be copied up.
 */
public final class Tree {
    private static final int MAX_NAME = 255;
    private static final int MAX_PATH = 4096;
    private static final int MAX_SYMLINKS = 40;

    // Far above any image; a hostile tar of empty entries must not take all memory.
    private static final int MAX_INODES = 4_000_000;
    private static final int MAX_NAMES = TreeWriter.NUMBERS;
    private static final long MAX_MEMORY = 2L << 30;

    // Bytes of heap, measured: a file with its attributes, a name less its characters, an extended attribute or a
    // target.
    private static final int INODE_MEMORY = 160;
    private static final int NAME_MEMORY = 100;
    private static final int VALUE_MEMORY = 100;

    final Inode root = new Inode(Attributes.IMPLIED, new Content.Directory());

    private final long maxMemory;
    private int inodes = 1;
    private int names;
    private long memory;

    // Where the entry before went: the next one mostly goes there too.
    private String lastPath = "";
    private @Nullable Inode lastDirectory;

    /** An empty tree that takes half of what memory this process may have, or 2 GiB if that is less. */
    public Tree() {
        this(Math.min(Runtime.getRuntime().maxMemory() / 2, MAX_MEMORY));
    }

    /** An empty tree that refuses to take more than so many bytes of memory. */
    Tree(long maxMemory) {
        this.maxMemory = maxMemory;
    }

    /** Number of files so far, the root and those replaced meanwhile included. */
    public int inodes() {
        return inodes;
    }

    /**
     * Puts a file, replacing what was there.
     *
     * @throws TreeException if the path is not one that can be put
     */
    public void put(String path, Attributes attributes, Content content) throws TreeException {
        if (content instanceof Content.Symlink(String target)) {
            if (target.isEmpty() || target.length() >= MAX_PATH || target.indexOf(0) >= 0) {
                throw new TreeException(printable(path) + " is a symbolic link to nothing or to a path too long");
            }
            memory += target.length() + VALUE_MEMORY;
        }
        int slash = path.lastIndexOf('/');
        String last = path.substring(slash + 1);
        Inode directory = lastDirectory;
        if (directory == null
                || slash != lastPath.length()
                || !path.startsWith(lastPath)
                || last.isEmpty()
                || last.equals(".")
                || last.equals("..")) {
            Deque<String> names = split(path);
            String name = names.pollLast();
            if (name == null) {
                if (!(content instanceof Content.Directory)) {
                    throw new TreeException("the layer's root is not a directory");
                }
                return;
            }
            directory = directory(names, path);
            if (name.length() == path.length() - slash - 1) {
                lastPath = path.substring(0, Math.max(slash, 0));
                lastDirectory = slash < 0 ? null : directory;
            }
            last = name;
        }
        Inode there = children(directory).get(last);
        if (there != null && there.children != null && content instanceof Content.Directory) {
            change(there, attributes, false, path);
            there.implied = false;
            return;
        }
        Inode inode = new Inode(settle(attributes, content, path), content);
        inode.opaque = there != null && there.opaque;
        enter(directory, last, inode, path);
    }

    /**
     * Puts one more name of a file that is already there, and changes its attributes to those of the link's entry.
     *
     * @throws TreeException if there is no such file, or it is a directory
     */
    public void link(String path, String target, Attributes attributes) throws TreeException {
        Deque<String> targetNames = split(target);
        String targetName = targetNames.pollLast();
        Inode inode = targetName == null
                ? null
                : children(directory(targetNames, target)).get(targetName);
        if (inode == null || inode.isWhiteout()) {
            throw new TreeException(
                    printable(path) + " is a hard link to " + printable(target) + ", which is not in the layer");
        }
        if (inode.children != null) {
            throw new TreeException(printable(path) + " is a hard link to the directory " + printable(target));
        }
        Deque<String> names = split(path);
        String last = names.pollLast();
        if (last == null) {
            throw new TreeException("the layer's root is not a directory");
        }
        Inode directory = directory(names, path);
        change(inode, attributes, true, path);
        if (children(directory).get(last) != inode) {
            enter(directory, last, inode, path);
        }
    }

    /** Sets attributes of a file that is there; of its extended ones those stay that are not set again. */
    private void change(Inode inode, Attributes attributes, boolean isFile, String path) throws TreeException {
        List<Xattr> xattrs = new ArrayList<>(attributes.xattrs());
        for (Xattr xattr : inode.attributes.xattrs()) {
            // A change of owner takes a file its capability.
            if (!(isFile && xattr.isCapability())
                    && attributes.xattrs().stream().noneMatch(xattr::hasSameName)) {
                xattrs.add(xattr);
            }
        }
        inode.attributes = settle(
                new Attributes(
                        attributes.permissions(),
                        attributes.uid(),
                        attributes.gid(),
                        attributes.seconds(),
                        attributes.nanos(),
                        xattrs),
                inode.content,
                path);
    }

    /** What the kernel makes of attributes that are set on a file of this kind. */
    private Attributes settle(Attributes attributes, Content content, String path) throws TreeException {
        boolean symlink = content instanceof Content.Symlink;
        int permissions = symlink ? 0777 : attributes.permissions();
        List<Xattr> xattrs = attributes.xattrs();
        if (!xattrs.isEmpty()) {
            xattrs = new ArrayList<>();
            for (Xattr xattr : attributes.xattrs()) {
                Xattr settled = xattr.settle(content, permissions, path);
                if (settled != null) {
                    xattrs.add(settled);
                    memory += settled.suffix().length() + settled.value().length + VALUE_MEMORY;
                }
            }
            if (TreeWriter.xattrSize(xattrs) > TreeWriter.MAX_XATTRS) {
                throw new TreeException(printable(path) + " has more extended attributes than a tree can hold");
            }
        } else if (permissions == attributes.permissions()) {
            return attributes;
        }
        return new Attributes(
                permissions,
                attributes.uid(),
                attributes.gid(),
                attributes.seconds(),
                attributes.nanos(),
                List.copyOf(xattrs));
    }

    /**
     * Hides a name of the layers below. What this layer itself has under that name, before or after, stays; of a
     * directory, only what this layer has in it is then seen.
     *
     * @param directory path of the directory
     * @param name the hidden name
     */
    public void whiteout(String directory, String name) throws TreeException {
        Inode parent = directory(split(directory), directory);
        checkName(name, directory + "/" + name);
        Inode there = children(parent).get(name);
        if (there != null) {
            there.opaque = true;
            return;
        }
        Inode whiteout = new Inode(new Attributes(0, 0, 0, 0, 0, List.of()), new Content.Device(false, 0, 0));
        whiteout.opaque = true;
        enter(parent, name, whiteout, directory);
    }

    /** Hides all that the layers below have in a directory. */
    public void opaque(String directory) throws TreeException {
        directory(split(directory), directory).opaque = true;
    }

    /**
     * Directories that have no entry of their own, parents first: where layers below have them too, they are to be as they
     * are there. What the layer hides is not among them.
     *
     * @return paths without a leading slash, a byte per char
     */
    public List<String> implied() {
        record Directory(String path, Inode inode) {}
        List<String> paths = new ArrayList<>();
        Deque<Directory> all = new ArrayDeque<>(List.of(new Directory("", root)));
        for (Directory next = all.poll(); next != null; next = all.poll()) {
            for (Map.Entry<String, Inode> entry : children(next.inode()).entrySet()) {
                Inode child = entry.getValue();
                if (child.children == null || child.opaque) {
                    continue;
                }
                String path = next.path().isEmpty() ? entry.getKey() : next.path() + "/" + entry.getKey();
                if (child.implied) {
                    paths.add(path);
                }
                all.add(new Directory(path, child));
            }
        }
        return paths;
    }

    /** A path as it may stand in a message: what is no printable ASCII as {@code \xHH}, and not too long. */
    public static String printable(String path) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < Math.min(path.length(), 200); i++) {
            char c = path.charAt(i);
            if (c >= 0x20 && c < 0x7f && c != '\\') {
                text.append(c);
            } else {
                text.append(String.format("\\x%02x", (int) c));
            }
        }
        return text.append(path.length() > 200 ? "…" : "").toString();
    }

    /** A name as the bytes it stands for. */
    static byte[] bytes(String name) {
        return name.getBytes(StandardCharsets.ISO_8859_1);
    }

    private void enter(Inode directory, String name, Inode inode, String path) throws TreeException {
        checkName(name, path);
        if (inode.names++ == 0) {
            inodes++;
            memory += INODE_MEMORY;
        }
        names++;
        memory += name.length() + NAME_MEMORY;
        if (inodes > MAX_INODES || names >= MAX_NAMES || memory > maxMemory) {
            throw new TreeException("the layer has more files or longer names than fit in a tree of "
                    + (maxMemory >> 20) + " MiB of memory, at " + printable(path));
        }
        Inode replaced = children(directory).put(name, inode);
        if (replaced != null) {
            forget(replaced);
            // It may have been on the way.
            lastDirectory = null;
        }
    }

    /** A file has lost a name; below a directory all have, for a hard link may keep one of them. */
    private static void forget(Inode gone) {
        Deque<Inode> all = new ArrayDeque<>(List.of(gone));
        for (Inode next = all.poll(); next != null; next = all.poll()) {
            next.names--;
            if (next.children != null) {
                all.addAll(next.children.values());
            }
        }
    }

    /** Walks to a directory, making what is missing and following symbolic links. */
    private Inode directory(Deque<String> names, String path) throws TreeException {
        Deque<Inode> way = new ArrayDeque<>();
        Inode here = root;
        int followed = 0;
        for (String name = names.poll(); name != null; name = names.poll()) {
            if (name.equals("..")) {
                // Only a symbolic link's target can bring this; above the root is the root.
                Inode above = way.poll();
                here = above == null ? root : above;
                continue;
            }
            Inode next = children(here).get(name);
            if (next == null || next.isWhiteout()) {
                Inode made = new Inode(Attributes.IMPLIED, new Content.Directory());
                made.implied = true;
                made.opaque = next != null;
                enter(here, name, made, path);
                next = made;
            }
            if (next.content instanceof Content.Symlink(String target)) {
                if (++followed > MAX_SYMLINKS) {
                    throw new TreeException(printable(path) + " leads through too many symbolic links");
                }
                if (target.startsWith("/")) {
                    here = root;
                    way.clear();
                }
                Deque<String> rest = names;
                names = new ArrayDeque<>();
                for (String part : target.split("/", -1)) {
                    if (!part.isEmpty() && !part.equals(".")) {
                        names.add(part);
                    }
                }
                names.addAll(rest);
                continue;
            }
            if (next.children == null) {
                throw new TreeException(printable(path) + " leads through a file that is not a directory");
            }
            way.push(here);
            here = next;
        }
        return here;
    }

    private static Map<String, Inode> children(Inode directory) {
        @Nullable Map<String, Inode> children = directory.children;
        if (children == null) {
            throw new IllegalStateException("not a directory");
        }
        return children;
    }

    private static Deque<String> split(String path) throws TreeException {
        if (path.length() > MAX_PATH) {
            throw new TreeException("the path " + printable(path) + " is longer than " + MAX_PATH + " bytes");
        }
        Deque<String> names = new ArrayDeque<>();
        int from = 0;
        while (from <= path.length()) {
            int slash = path.indexOf('/', from);
            int end = slash < 0 ? path.length() : slash;
            String name = path.substring(from, end);
            if (!name.isEmpty() && !name.equals(".")) {
                if (name.equals("..")) {
                    throw new TreeException("the path " + printable(path) + " leads upwards");
                }
                checkName(name, path);
                names.add(name);
            }
            from = end + 1;
        }
        return names;
    }

    private static void checkName(String name, String path) throws TreeException {
        if (name.isEmpty()
                || name.length() > MAX_NAME
                || name.indexOf(0) >= 0
                || name.indexOf('/') >= 0
                || name.equals(".")
                || name.equals("..")) {
            throw new TreeException("the path " + printable(path) + " has a name that no file can have");
        }
    }
}
