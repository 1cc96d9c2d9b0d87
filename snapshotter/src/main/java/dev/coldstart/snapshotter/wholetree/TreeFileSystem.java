package dev.coldstart.snapshotter.wholetree;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.Errno;
import dev.coldstart.linux.LentMemory;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Mount;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.SpanFetcher;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.PartialObject;
import dev.coldstart.snapshotter.tree.TreeException;
import dev.coldstart.snapshotter.tree.TreeNode;
import dev.coldstart.snapshotter.tree.TreeReader;
import dev.coldstart.snapshotter.tree.Xattr;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import jnr.ffi.Memory;
import jnr.ffi.Pointer;
import jnr.ffi.Runtime;
import jnr.ffi.Struct;
import jnr.ffi.provider.jffi.ClosureHelper;
import org.jspecify.annotations.Nullable;
import ru.serce.jnrfuse.FuseFillDir;
import ru.serce.jnrfuse.LibFuse;
import ru.serce.jnrfuse.struct.FileStat;

/**
 * One layer as a read-only file system, on threads of libfuse's. Nothing in it ever changes, so that the kernel may keep
 * what it was told, names that are not there included. What says where a file's bytes are is not shown; whiteouts and
 * opaque directories are, as overlayfs wants them.
 */
final class TreeFileSystem {
    private static final System.Logger LOG = System.getLogger(TreeFileSystem.class.getName());
    private static final long START_SECONDS = 10;
    /** A year. */
    private static final String FOREVER = "31536000";

    private static final int MAX_READ = 128 << 10;
    private static final int MAX_PATH = Integer.MAX_VALUE;
    /** Directories whose place is remembered by path. */
    private static final int REMEMBERED = 4096;

    private static final int STAT_BYTES = 144;
    private static final int BLOCK = 4096;

    private final TreeReader tree;
    private final KnownLayer layer;
    private final ObjectStore store;
    private final SpanFetcher fetcher;
    private final ConcurrentHashMap<String, TreeNode> directories = new ConcurrentHashMap<>();
    private final ConcurrentHashMap<Long, OpenObject> objects = new ConcurrentHashMap<>();
    private final AtomicLong handles = new AtomicLong();
    private final CompletableFuture<Boolean> served = new CompletableFuture<>();
    private final Operations operations = new Operations();
    private final long handleOffset = Operations.handleOffset();

    private record OpenObject(int row, PartialObject object) {}

    @FunctionalInterface
    private interface Answer {
        int find() throws IOException;
    }

    /** @param tree closed when the file system is gone or could not be mounted */
    TreeFileSystem(TreeReader tree, KnownLayer layer, ObjectStore store, SpanFetcher fetcher) {
        this.tree = tree;
        this.layer = layer;
        this.store = store;
        this.fetcher = fetcher;
        operations.set(operations.getattr, Callbacks.OnPath.class, (path, stat) -> answer(() -> getattr(path, stat)));
        operations.set(
                operations.readlink, Callbacks.Fill.class, (path, to, size) -> answer(() -> readlink(path, to, size)));
        operations.set(operations.open, Callbacks.OnPath.class, (path, info) -> answer(() -> open(path, info)));
        operations.set(
                operations.read,
                Callbacks.Read.class,
                (path, to, size, offset, info) -> answer(() -> read(to, size, offset, info.getLongLong(handleOffset))));
        operations.set(
                operations.release,
                Callbacks.OnPath.class,
                (path, info) -> answer(() -> release(info.getLongLong(handleOffset))));
        operations.set(operations.opendir, Callbacks.OnPath.class, (path, info) -> answer(() -> opendir(path, info)));
        operations.set(
                operations.readdir,
                Callbacks.ReadDirectory.class,
                (path, to, filler, offset, info) -> answer(() -> readdir(to, filler, info.getLongLong(handleOffset))));
        operations.set(
                operations.getxattr,
                Callbacks.GetXattr.class,
                (path, name, to, size) -> answer(() -> getxattr(path, text(name), to, size)));
        operations.set(
                operations.listxattr,
                Callbacks.Fill.class,
                (path, to, size) -> answer(() -> listxattr(path, to, size)));
        operations.init.set(connection -> {
            served.complete(true);
            return null;
        });
    }

    /**
     * Mounts the file system and serves it, until it is unmounted and nobody uses it any more.
     *
     * @param source what the mount table is to name as the mount's source
     */
    void mount(LibFuse library, Path target, String source) throws IOException {
        String options = "ro,suid,nodev,noatime,allow_other,default_permissions,use_ino,kernel_cache"
                + ",entry_timeout=" + FOREVER + ",negative_timeout=" + FOREVER + ",attr_timeout=" + FOREVER
                + ",max_read=" + MAX_READ + ",subtype=coldstart,fsname=" + source;
        String[] arguments = {"coldstart", "-f", "-o", options, target.toString()};
        Thread.ofPlatform().name("tree-" + target.getFileName()).daemon().start(() -> {
            try {
                // Not jnr-fuse's mount(): that takes two seconds each time, and unmounts by a program of FUSE's.
                int status =
                        library.fuse_main_real(arguments.length, arguments, operations, Struct.size(operations), null);
                var _ = served.completeExceptionally(
                        new IOException("libfuse gave up with status " + status + "; its message is in the log"));
            } catch (RuntimeException | Error e) {
                if (!served.completeExceptionally(e)) {
                    LOG.log(System.Logger.Level.ERROR, "the file system at " + target + " ended", e);
                }
            } finally {
                objects.keySet().forEach(this::release);
                tree.close();
            }
        });
        String attempt = "cannot mount " + source + " by libfuse on " + target + ": ";
        try {
            var _ = served.get(START_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            Throwable cause = e.getCause();
            throw new IOException(attempt + (cause == null ? "it failed" : cause.getMessage()), e);
        } catch (TimeoutException e) {
            abandon(target);
            throw new IOException(attempt + "the kernel asked for nothing within " + START_SECONDS + " s", e);
        } catch (InterruptedException e) {
            abandon(target);
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while mounting " + source, e);
        }
    }

    private static void abandon(Path target) {
        try {
            Mount.umount(target.toString(), Mount.MNT_DETACH);
        } catch (LinuxException e) {
            LOG.log(System.Logger.Level.WARNING, "nothing to unmount at {0}: {1}", target, e.getMessage());
        }
    }

    /** An exception must not reach native code. */
    private int answer(Answer answer) {
        try {
            return answer.find();
        } catch (IOException e) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "a read of layer {0} fails with an input/output error: {1}",
                    layer.index().layer(),
                    e.getMessage());
        } catch (RuntimeException | Error e) {
            LOG.log(
                    System.Logger.Level.ERROR,
                    "a request for layer " + layer.index().layer() + " failed",
                    e);
        }
        return -Errno.EIO;
    }

    private static String text(Pointer bytes) {
        return bytes.getString(0, MAX_PATH, StandardCharsets.ISO_8859_1);
    }

    /** The file of a path that libfuse gives, such as {@code /usr/bin}; null if there is none. */
    private @Nullable TreeNode resolve(Pointer at) throws TreeException {
        String path = text(at);
        int slash = path.lastIndexOf('/');
        if (path.length() <= 1 || slash < 0) {
            return tree.root();
        }
        TreeNode directory = directory(path.substring(0, slash));
        return directory == null ? null : tree.find(directory, path.substring(slash + 1));
    }

    private @Nullable TreeNode directory(String path) throws TreeException {
        TreeNode found = directories.get(path);
        if (found != null || path.isEmpty()) {
            return path.isEmpty() ? tree.root() : found;
        }
        found = tree.root();
        int from = 1;
        while (found != null && from <= path.length()) {
            int slash = path.indexOf('/', from);
            int end = slash < 0 ? path.length() : slash;
            found = found.isDirectory() ? tree.find(found, path.substring(from, end)) : null;
            from = end + 1;
        }
        if (found == null || !found.isDirectory()) {
            return null;
        }
        if (directories.size() >= REMEMBERED) {
            directories.clear();
        }
        directories.put(path, found);
        return found;
    }

    private int getattr(Pointer path, Pointer to) throws TreeException {
        TreeNode node = resolve(path);
        if (node == null) {
            return -Errno.ENOENT;
        }
        FileStat stat = FileStat.of(to);
        stat.st_ino.set(node.nid());
        stat.st_mode.set(node.mode());
        stat.st_nlink.set(node.links());
        stat.st_uid.set(node.uid());
        stat.st_gid.set(node.gid());
        stat.st_rdev.set(node.device());
        stat.st_size.set(node.size());
        stat.st_blksize.set(BLOCK);
        stat.st_blocks.set((node.size() + 511) / 512);
        stat.st_mtim.tv_sec.set(node.seconds());
        stat.st_mtim.tv_nsec.set(node.nanos());
        stat.st_ctim.tv_sec.set(node.seconds());
        stat.st_ctim.tv_nsec.set(node.nanos());
        stat.st_atim.tv_sec.set(node.seconds());
        stat.st_atim.tv_nsec.set(node.nanos());
        return 0;
    }

    private int readlink(Pointer path, Pointer to, long size) throws TreeException {
        TreeNode node = resolve(path);
        if (node == null || !node.isSymlink()) {
            return node == null ? -Errno.ENOENT : -Errno.EINVAL;
        }
        byte[] target = tree.target(node).getBytes(StandardCharsets.ISO_8859_1);
        int length = (int) Math.min(target.length, size - 1);
        to.put(0, target, 0, length);
        to.putByte(length, (byte) 0);
        return 0;
    }

    private int open(Pointer path, Pointer info) throws IOException {
        TreeNode node = resolve(path);
        if (node == null || !node.isRegular()) {
            return node == null ? -Errno.ENOENT : -Errno.EINVAL;
        }
        String redirect = tree.redirect(node);
        if (redirect == null) {
            info.putLongLong(handleOffset, node.nid());
            return 0;
        }
        int row = row(redirect);
        if (row < 0) {
            throw new TreeException("the tree names an object that the layer's index does not have: " + redirect);
        }
        PartialObject object = store.acquire(
                layer.index().objectName(row), layer.index().objectSize(row), layer.pieces(row), layer.cut());
        // Below all numbers of inodes.
        long handle = -handles.incrementAndGet();
        objects.put(handle, new OpenObject(row, object));
        info.putLongLong(handleOffset, handle);
        return 0;
    }

    private int row(String redirect) {
        try {
            return layer.index().find(ObjectName.parse(redirect.replace("/", "")));
        } catch (IllegalArgumentException e) {
            return -1;
        }
    }

    private int release(long handle) {
        OpenObject open = objects.remove(handle);
        if (open != null) {
            store.release(layer.index().objectName(open.row()), layer.cut());
        }
        return 0;
    }

    private int read(Pointer to, long size, long offset, long handle) throws IOException {
        MemorySegment into = LentMemory.at(to.address(), size);
        if (handle >= 0) {
            return (int) tree.read(tree.node(handle), offset, into, size);
        }
        OpenObject open = objects.get(handle);
        if (open == null) {
            return -Errno.EBADF;
        }
        long length = Math.min(size, layer.index().objectSize(open.row()) - offset);
        if (offset < 0 || length <= 0) {
            return 0;
        }
        try (Arena arena = Arena.ofConfined()) {
            CallState state = new CallState(arena);
            long evictions = open.object().evictions();
            long n = SpanFetcher.isHere(layer, open.row(), open.object(), offset, length)
                    ? open.object().read(state, into, length, offset, evictions)
                    : PartialObject.MISSING;
            if (n == PartialObject.MISSING) {
                fetcher.read(layer, open.row(), open.object(), state, into, length, offset, fetcher.deadline());
                return (int) length;
            }
            if (n == length) {
                fetcher.touched(layer, open.row(), offset, length);
            }
            return n == length || n < 0 ? (int) n : -Errno.EIO;
        }
    }

    private int opendir(Pointer path, Pointer info) throws TreeException {
        TreeNode node = resolve(path);
        if (node == null || !node.isDirectory()) {
            return node == null ? -Errno.ENOENT : -Errno.ENOTDIR;
        }
        info.putLongLong(handleOffset, node.nid());
        return 0;
    }

    private int readdir(Pointer to, Pointer filler, long handle) throws TreeException {
        ClosureHelper helper = ClosureHelper.getInstance();
        FuseFillDir fill =
                helper.getNativeConveter(FuseFillDir.class).fromNative(filler, helper.getFromNativeContext());
        Pointer memory = Memory.allocateDirect(Runtime.getSystemRuntime(), STAT_BYTES, true);
        FileStat stat = FileStat.of(memory);
        for (TreeReader.Name name : tree.list(tree.node(handle))) {
            // overlayfs looks for whiteouts among what is listed as a character device.
            stat.st_mode.set(name.kind());
            stat.st_ino.set(name.nid());
            ByteBuffer text = ByteBuffer.wrap((name.name() + "\0").getBytes(StandardCharsets.ISO_8859_1));
            if (fill.apply(to, text, memory, 0) != 0) {
                return -Errno.ENOMEM;
            }
        }
        return 0;
    }

    private int getxattr(Pointer path, String name, Pointer to, long size) throws TreeException {
        TreeNode node = resolve(path);
        if (node == null) {
            return -Errno.ENOENT;
        }
        if (!TreeReader.saysWhere(name)) {
            for (Xattr xattr : tree.xattrs(node)) {
                if (name.equals(xattr.name())) {
                    return give(xattr.value(), to, size);
                }
            }
        }
        return -Errno.ENODATA;
    }

    private int listxattr(Pointer path, Pointer to, long size) throws TreeException {
        TreeNode node = resolve(path);
        if (node == null) {
            return -Errno.ENOENT;
        }
        StringBuilder names = new StringBuilder();
        for (Xattr xattr : tree.xattrs(node)) {
            String name = xattr.name();
            if (name != null && !TreeReader.saysWhere(name)) {
                names.append(name).append('\0');
            }
        }
        return give(names.toString().getBytes(StandardCharsets.ISO_8859_1), to, size);
    }

    /** By the rules of getxattr(2): without room only the length is wanted. */
    private static int give(byte[] bytes, Pointer to, long size) {
        if (size > 0 && size < bytes.length) {
            return -Errno.ERANGE;
        }
        if (size > 0) {
            to.put(0, bytes, 0, bytes.length);
        }
        return bytes.length;
    }
}
