package dev.coldstart.snapshotter.fuse;

import static dev.coldstart.snapshotter.fuse.FuseProtocol.*;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.Errno;
import dev.coldstart.linux.FuseDevice;
import dev.coldstart.linux.FuseReply;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.MountTable;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.SpanFetcher;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.PartialObject;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.jspecify.annotations.Nullable;

/**
 * Serves the remote tier. Names are looked up in the layers' indexes; a node's number is its layer's ordinal and the
 * object's row, so nothing is remembered per name. Platform threads take requests, each from a queue of its own; a read
 * whose bytes are here is answered by the thread that took it, without allocating; one whose bytes are not waits on a
 * virtual thread, so that it delays nobody else.
 */
public final class RemoteTier implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(RemoteTier.class.getName());
    private static final String NAME = "coldstart";
    private static final int THREADS = 4;
    private static final int PAGE = 4096;
    private static final int MAX_PAGES = 256;
    private static final int MAX_READ = MAX_PAGES * PAGE;
    /** The kernel wants room for the largest write it was told of and its header, though nothing is ever written. */
    private static final int REQUEST_BYTES = 64 << 10;

    private static final int MAX_WRITE = PAGE;
    /** Reads that the kernel sends ahead of need; also bounds the memory of reads that wait. */
    private static final short MAX_BACKGROUND = 32;

    private static final int READ_AHEAD_KB = 1024;
    /** Objects never change: a year. */
    private static final long VALID_SECONDS = 365L * 24 * 3600;

    private static final long ROOT = 1;
    /** Nodes 2 to 257 are the directories 00 to ff. */
    private static final long FIRST_DIRECTORY = 2;

    private static final long LAST_DIRECTORY = 257;

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

    private final KnownLayers layers;
    private final ObjectStore store;
    private final SpanFetcher fetcher;
    private final Path mountPoint;
    private final OpenFiles files = new OpenFiles();
    private final ReplyPool replies = new ReplyPool(MAX_BACKGROUND, MAX_READ);
    private final ExecutorService waiting = Executors.newThreadPerTaskExecutor(
            Thread.ofVirtual().name("fuse-read-", 0).factory());

    private RemoteTier(KnownLayers layers, ObjectStore store, SpanFetcher fetcher, Path mountPoint) {
        this.layers = layers;
        this.store = store;
        this.fetcher = fetcher;
        this.mountPoint = mountPoint;
    }

    /** Mounts the tier on a directory, in the place of what a dead predecessor left there, and serves it. */
    public static RemoteTier mount(KnownLayers layers, ObjectStore store, SpanFetcher fetcher, Path mountPoint)
            throws IOException {
        detach(mountPoint);
        Files.createDirectories(mountPoint);
        RemoteTier tier = new RemoteTier(layers, store, fetcher, mountPoint);
        FuseDevice device = FuseDevice.open();
        try {
            device.mount(NAME, mountPoint.toString());
        } catch (LinuxException e) {
            device.close();
            throw e;
        }
        // The first thread must answer INIT before clones can be used; the kernel queues nothing else until then.
        tier.startThread(0, device);
        try {
            // A first operation returns only after INIT was answered.
            Files.exists(mountPoint.resolve("00"));
            for (int i = 1; i < THREADS; i++) {
                tier.startThread(i, device.cloned());
            }
            tier.setReadAhead();
        } catch (IOException e) {
            tier.close();
            throw e;
        }
        return tier;
    }

    private static void detach(Path mountPoint) throws IOException {
        for (MountTable.Entry entry : MountTable.read()) {
            if (entry.mountPoint().equals(mountPoint.toString())) {
                Mount.umount(entry.mountPoint(), Mount.MNT_DETACH);
            }
        }
    }

    private void setReadAhead() {
        try {
            String device = MountTable.read().stream()
                    .filter(entry -> entry.mountPoint().equals(mountPoint.toString()))
                    .map(MountTable.Entry::device)
                    .findFirst()
                    .orElseThrow(() -> new IOException(mountPoint + " is not in the mount table"));
            Files.writeString(Path.of("/sys/class/bdi", device, "read_ahead_kb"), READ_AHEAD_KB + "\n");
        } catch (IOException e) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "cannot set the remote tier''s read-ahead, reads will be smaller than they could be: {0}",
                    e.getMessage());
        }
    }

    private void startThread(int number, FuseDevice device) {
        Thread.ofPlatform().name("fuse-" + number).daemon().start(() -> {
            // The descriptor stays open until the process ends: a read that waits may still answer on it, and must not
            // meet another file under its number.
            try (Arena arena = Arena.ofConfined()) {
                new Worker(device, arena).run();
            } catch (RuntimeException | Error e) {
                LOG.log(System.Logger.Level.ERROR, "a thread of the remote tier ended", e);
            }
        });
    }

    /** Where it is mounted. */
    public Path mountPoint() {
        return mountPoint;
    }

    /** Unmounts it, unless somebody uses it: then it stays until its last user is gone. */
    @Override
    public void close() {
        try {
            Mount.umount(mountPoint.toString(), 0);
        } catch (LinuxException e) {
            if (e.errno() != Errno.EBUSY) {
                LOG.log(System.Logger.Level.WARNING, "cannot unmount the remote tier: {0}", e.getMessage());
            }
        }
        waiting.shutdownNow();
    }

    /** What one thread does: take a request, answer it. */
    private final class Worker {
        private final FuseDevice device;
        private final MemorySegment request;
        private final FuseReply reply;
        private final CallState state;
        private final byte[] name = new byte[62];

        Worker(FuseDevice device, Arena arena) {
            this.device = device;
            this.request = arena.allocate(REQUEST_BYTES, 8);
            this.reply = new FuseReply(arena, MAX_READ);
            this.state = new CallState(arena);
        }

        void run() {
            while (true) {
                long n = device.receive(state, request);
                if (n == -Errno.ENODEV || n == -Errno.EBADF) {
                    return;
                }
                if (n < IN_BODY) {
                    if (n < 0 && n != -Errno.ENOENT && n != -Errno.EINTR && n != -Errno.EAGAIN) {
                        LOG.log(System.Logger.Level.ERROR, "cannot read from /dev/fuse: {0}", Errno.describe((int) -n));
                        return;
                    }
                    continue;
                }
                try {
                    serve(n);
                } catch (RuntimeException e) {
                    LOG.log(System.Logger.Level.ERROR, "a request to the remote tier failed", e);
                    error(Errno.EIO);
                }
            }
        }

        private void serve(long length) {
            long node = request.get(LONG, IN_NODEID);
            switch (request.get(INT, IN_OPCODE)) {
                case INIT -> init();
                case LOOKUP -> lookup(node, length);
                case GETATTR -> getattr(node);
                case OPEN -> open(node);
                case READ -> read();
                case RELEASE -> {
                    files.release(request.get(LONG, RELEASE_IN_FH));
                    ok(0);
                }
                case OPENDIR -> {
                    reply.head().asSlice(OUT_BODY, OPEN_OUT_BYTES).fill((byte) 0);
                    reply.head().set(INT, OUT_BODY + OPEN_OUT_FLAGS, FOPEN_CACHE_DIR);
                    ok(OPEN_OUT_BYTES);
                }
                // Nothing lists objects; an empty directory is the honest cheap answer.
                case READDIR, RELEASEDIR, DESTROY -> ok(0);
                case STATFS -> statfs();
                // No reply is expected, and there is nothing to forget or to interrupt: reads are bounded in time.
                case FORGET, BATCH_FORGET, INTERRUPT -> {}
                default -> error(Errno.ENOSYS);
            }
        }

        private void init() {
            MemorySegment out = reply.head().asSlice(OUT_BODY, INIT_OUT_BYTES);
            out.fill((byte) 0);
            int offered = request.get(INT, INIT_IN_FLAGS);
            out.set(INT, 0, MAJOR);
            out.set(INT, 4, MINOR);
            out.set(INT, INIT_OUT_MAX_READAHEAD, Math.max(MAX_READ, request.get(INT, INIT_IN_MAX_READAHEAD)));
            out.set(INT, INIT_OUT_FLAGS, offered & (INIT_ASYNC_READ | INIT_PARALLEL_DIROPS | INIT_MAX_PAGES));
            out.set(SHORT, INIT_OUT_MAX_BACKGROUND, MAX_BACKGROUND);
            out.set(SHORT, INIT_OUT_CONGESTION, MAX_BACKGROUND);
            out.set(INT, INIT_OUT_MAX_WRITE, MAX_WRITE);
            out.set(INT, INIT_OUT_TIME_GRAN, 1);
            out.set(SHORT, INIT_OUT_MAX_PAGES, (short) MAX_PAGES);
            ok(INIT_OUT_BYTES);
        }

        private void lookup(long parent, long length) {
            int characters = (int) length - IN_BODY - 1;
            if (parent == ROOT && characters == 2) {
                int high = digit(request.get(BYTE, IN_BODY));
                int low = digit(request.get(BYTE, IN_BODY + 1));
                if (high >= 0 && low >= 0) {
                    entry(FIRST_DIRECTORY + 16L * high + low, S_IFDIR | 0555, 0);
                    return;
                }
            } else if (parent >= FIRST_DIRECTORY && parent <= LAST_DIRECTORY && characters == 62) {
                MemorySegment.copy(request, BYTE, IN_BODY, name, 0, name.length);
                ObjectName object = object((int) (parent - FIRST_DIRECTORY));
                KnownLayer layer = object == null ? null : layers.having(object);
                if (object != null && layer != null) {
                    int row = layer.index().find(object);
                    entry(
                            (long) layer.ordinal() << 32 | row,
                            S_IFREG | 0444,
                            layer.index().objectSize(row));
                    return;
                }
            }
            // Not remembered by the kernel: the object may belong to a layer that becomes known.
            error(Errno.ENOENT);
        }

        private @Nullable ObjectName object(int directory) {
            String hex = java.util.HexFormat.of().toHexDigits((byte) directory)
                    + new String(name, StandardCharsets.ISO_8859_1);
            try {
                return ObjectName.parse(hex);
            } catch (IllegalArgumentException e) {
                return null;
            }
        }

        private void entry(long node, int mode, long size) {
            MemorySegment out = reply.head().asSlice(OUT_BODY, ENTRY_BYTES);
            out.fill((byte) 0);
            out.set(LONG, 0, node);
            out.set(LONG, ENTRY_VALID, VALID_SECONDS);
            out.set(LONG, ENTRY_ATTR_VALID, VALID_SECONDS);
            attributes(out.asSlice(ENTRY_ATTR), node, mode, size);
            ok(ENTRY_BYTES);
        }

        private void getattr(long node) {
            KnownLayer layer = layer(node);
            MemorySegment out = reply.head().asSlice(OUT_BODY, ATTR_OUT_BYTES);
            out.fill((byte) 0);
            out.set(LONG, 0, VALID_SECONDS);
            if (node >= ROOT && node <= LAST_DIRECTORY) {
                attributes(out.asSlice(ATTR_OUT_ATTR), node, S_IFDIR | 0555, 0);
            } else if (layer != null) {
                attributes(
                        out.asSlice(ATTR_OUT_ATTR),
                        node,
                        S_IFREG | 0444,
                        layer.index().objectSize(row(node)));
            } else {
                error(Errno.ESTALE);
                return;
            }
            ok(ATTR_OUT_BYTES);
        }

        private void attributes(MemorySegment attr, long node, int mode, long size) {
            attr.set(LONG, ATTR_INO, node);
            attr.set(LONG, ATTR_SIZE, size);
            attr.set(LONG, ATTR_BLOCKS, (size + 511) / 512);
            attr.set(INT, ATTR_MODE, mode);
            attr.set(INT, ATTR_NLINK, (mode & S_IFDIR) == 0 ? 1 : 2);
            attr.set(INT, ATTR_BLKSIZE, PAGE);
        }

        private void open(long node) {
            KnownLayer layer = layer(node);
            if (layer == null) {
                error(Errno.ESTALE);
                return;
            }
            int row = row(node);
            PartialObject object = store.acquire(
                    layer.index().objectName(row), layer.index().objectSize(row), layer.pieces(row), layer.cut());
            long handle = files.add(new OpenFiles.Entry(layer, row, object));
            reply.head().asSlice(OUT_BODY, OPEN_OUT_BYTES).fill((byte) 0);
            reply.head().set(LONG, OUT_BODY, handle);
            reply.head().set(INT, OUT_BODY + OPEN_OUT_FLAGS, FOPEN_KEEP_CACHE);
            ok(OPEN_OUT_BYTES);
            fetcher.opened(layer, row, object);
        }

        private void read() {
            OpenFiles.Entry file = files.get(request.get(LONG, READ_IN_FH));
            if (file == null) {
                error(Errno.EBADF);
                return;
            }
            long offset = request.get(LONG, READ_IN_OFFSET);
            long size = file.layer().index().objectSize(file.row());
            long length =
                    Math.min(Math.min(Integer.toUnsignedLong(request.get(INT, READ_IN_SIZE)), MAX_READ), size - offset);
            if (offset < 0 || length <= 0) {
                ok(0);
                return;
            }
            if (!SpanFetcher.isHere(file.layer(), file.row(), file.object(), offset, length)) {
                long unique = request.get(LONG, IN_UNIQUE);
                waiting.execute(() -> readLater(file, unique, offset, length));
                return;
            }
            long n = file.object().read(state, reply.payload(), length, offset);
            if (n != length) {
                error(n < 0 ? (int) -n : Errno.EIO);
                return;
            }
            finish(reply, request.get(LONG, IN_UNIQUE), 0, 0, length);
            if (!file.object().complete()) {
                fetcher.touched(file.layer(), file.row(), offset);
            }
        }

        private void readLater(OpenFiles.Entry file, long unique, long offset, long length) {
            FuseReply later = replies.take();
            try {
                fetcher.read(file.layer(), file.row(), file.object(), later.state(), later.payload(), length, offset);
                finish(later, unique, 0, 0, length);
            } catch (IOException e) {
                LOG.log(
                        System.Logger.Level.WARNING,
                        "a read of object {0} fails with an input/output error: {1}",
                        file.layer().index().objectName(file.row()),
                        e.getMessage());
                finish(later, unique, Errno.EIO, 0, 0);
            } catch (RuntimeException e) {
                LOG.log(System.Logger.Level.ERROR, "a read of the remote tier failed", e);
                finish(later, unique, Errno.EIO, 0, 0);
            } finally {
                replies.give(later);
            }
        }

        private void statfs() {
            MemorySegment out = reply.head().asSlice(OUT_BODY, STATFS_BYTES);
            out.fill((byte) 0);
            out.set(INT, STATFS_BSIZE, PAGE);
            out.set(INT, STATFS_FRSIZE, PAGE);
            out.set(INT, STATFS_NAMELEN, 255);
            ok(STATFS_BYTES);
        }

        private void ok(int body) {
            finish(reply, request.get(LONG, IN_UNIQUE), 0, body, 0);
        }

        private void error(int errno) {
            finish(reply, request.get(LONG, IN_UNIQUE), errno, 0, 0);
        }

        private void finish(FuseReply out, long unique, int errno, int body, long payload) {
            MemorySegment head = out.head();
            head.set(INT, 0, (int) (OUT_BODY + body + payload));
            head.set(INT, OUT_ERROR, -errno);
            head.set(LONG, OUT_UNIQUE, unique);
            int rc = out.send(device, OUT_BODY + body, payload);
            // ENOENT: nobody waits any more. ENODEV: unmounted meanwhile.
            if (rc != 0 && rc != -Errno.ENOENT && rc != -Errno.ENODEV) {
                LOG.log(System.Logger.Level.ERROR, "cannot answer the kernel: {0}", Errno.describe(-rc));
            }
        }

        private @Nullable KnownLayer layer(long node) {
            KnownLayer layer = layers.get((int) (node >>> 32));
            return layer == null || row(node) >= layer.index().objectCount() || row(node) < 0 ? null : layer;
        }

        private int row(long node) {
            return (int) node;
        }

        private int digit(byte character) {
            return character >= '0' && character <= '9'
                    ? character - '0'
                    : character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
        }
    }

    /** What is open, under small numbers. Looking up a number allocates nothing and waits for nobody. */
    private final class OpenFiles {
        private final List<Integer> free = new ArrayList<>();
        private volatile @Nullable Entry[] entries = new @Nullable Entry[256];
        private int used;

        record Entry(KnownLayer layer, int row, PartialObject object) {}

        synchronized long add(Entry entry) {
            int number = free.isEmpty() ? used++ : free.removeLast();
            @Nullable Entry[] all = entries;
            if (number == all.length) {
                all = java.util.Arrays.copyOf(all, 2 * all.length);
            }
            all[number] = entry;
            // Publishes the element together with the array.
            entries = all;
            return number;
        }

        @Nullable
        Entry get(long number) {
            @Nullable Entry[] all = entries;
            return number < 0 || number >= all.length ? null : all[(int) number];
        }

        void release(long number) {
            Entry entry;
            synchronized (this) {
                entry = get(number);
                if (entry == null) {
                    return;
                }
                entries[(int) number] = null;
                free.add((int) number);
            }
            KnownLayer layer = entry.layer();
            store.release(layer.index().objectName(entry.row()), layer.cut());
        }
    }
}
