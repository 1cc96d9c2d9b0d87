package dev.coldstart.snapshotter.fuse;

import static dev.coldstart.snapshotter.fuse.FuseProtocol.*;

import dev.coldstart.linux.CallState;
import dev.coldstart.linux.Errno;
import dev.coldstart.linux.FuseDevice;
import dev.coldstart.linux.FuseReply;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.Mount;
import dev.coldstart.linux.MountTable;
import dev.coldstart.linux.ServiceManager;
import dev.coldstart.snapshotter.fetch.KnownLayer;
import dev.coldstart.snapshotter.fetch.KnownLayers;
import dev.coldstart.snapshotter.fetch.SpanFetcher;
import dev.coldstart.snapshotter.layer.ObjectName;
import dev.coldstart.snapshotter.object.ObjectStore;
import dev.coldstart.snapshotter.object.PartialObject;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import org.jspecify.annotations.Nullable;

/**
 * Serves the remote tier. Names are looked up in the layers' indexes; a node's number is its layer's ordinal and the
 * object's row, both durable, and there are no handles: the kernel is told that files need not be opened. So nothing that
 * the kernel remembers means anything but what is on disk, and a process that takes over from a dead one can answer every
 * request that it left. Platform threads take requests, each from a queue of its own; a read whose bytes are here is
 * answered by the thread that took it, without allocating; one whose bytes are not waits on a virtual thread, so that it
 * delays nobody else.
 */
public final class RemoteTier implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(RemoteTier.class.getName());
    private static final String NAME = "coldstart";
    /** Under which our descriptors are kept for the next process. */
    private static final String KEPT = "remote";

    /** As many descriptors as our launcher keeps open. */
    private static final int THREADS = 4;

    /** Files that stay open for the next read of them. */
    private static final int OPEN_OBJECTS = 1024;

    private static final int PAGE = 4096;
    private static final int MAX_PAGES = 256;
    private static final int MAX_READ = MAX_PAGES * PAGE;
    /** The kernel wants room for the largest write it was told of and its header, though nothing is ever written. */
    private static final int REQUEST_BYTES = 64 << 10;

    private static final int MAX_WRITE = PAGE;
    /** Reads that the kernel sends ahead of need; also bounds the memory of reads that wait. */
    private static final short MAX_BACKGROUND = 32;

    /**
     * Three times what other file systems have. Who maps a library gets so much around each page that it touches, and a start's
     * trace grows by that; who reads a file through needs it: with 128 KiB at a time it gets 1.3 GB/s of what is on disk.
     */
    private static final int READ_AHEAD_KB = 384;
    /** Objects never change: a year. */
    private static final long VALID_SECONDS = 365L * 24 * 3600;

    private static final int SIGKILL = 9;

    private static final long ROOT = 1;
    /** Nodes 2 to 257 are the directories 00 to ff. */
    private static final long FIRST_DIRECTORY = 2;

    private static final long LAST_DIRECTORY = 257;

    private static final byte[] DIGITS = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

    private final KnownLayers layers;
    private final SpanFetcher fetcher;
    private final Path mountPoint;
    private final boolean kept;
    private final OpenObjects objects;
    private final ConcurrentHashMap<Long, WaitingRead> reads = new ConcurrentHashMap<>();
    private final ReplyPool replies = new ReplyPool(MAX_BACKGROUND, MAX_READ);
    private final ExecutorService waiting = Executors.newThreadPerTaskExecutor(
            Thread.ofVirtual().name("fuse-read-", 0).factory());

    /** A read whose bytes are not here, the thread that waits for them, and the thread that wants them. */
    private record WaitingRead(Thread waits, int pid) {}

    private RemoteTier(KnownLayers layers, ObjectStore store, SpanFetcher fetcher, Path mountPoint, boolean kept) {
        this.layers = layers;
        this.objects = new OpenObjects(store, OPEN_OBJECTS);
        this.fetcher = fetcher;
        this.mountPoint = mountPoint;
        this.kept = kept;
    }

    /**
     * Serves the tier on a directory: goes on with the file system that a dead predecessor served, if its descriptors were
     * kept, or else mounts a new one in its place. All layers that somebody may have mounted must be known.
     */
    public static RemoteTier start(
            KnownLayers layers, ObjectStore store, SpanFetcher fetcher, Path mountPoint, ServiceManager manager)
            throws IOException {
        RemoteTier tier = new RemoteTier(layers, store, fetcher, mountPoint, manager.keepsDescriptors());
        List<FuseDevice> left = manager.inherited(KEPT);
        MountTable.Entry mounted = tier.find();
        if (mounted != null) {
            List<FuseDevice> serving = new ArrayList<>();
            for (FuseDevice device : left) {
                if (device.serves(mounted)) {
                    serving.add(device);
                }
            }
            if (!serving.isEmpty()) {
                left.removeAll(serving);
                tier.takeOver(serving, left);
                return tier;
            }
        }
        tier.detach();
        tier.mount(left, manager);
        return tier;
    }

    private MountTable.@Nullable Entry find() throws IOException {
        for (MountTable.Entry entry : MountTable.read().reversed()) {
            if (entry.mountPoint().equals(mountPoint.toString())) {
                return entry.type().equals("fuse." + NAME) ? entry : null;
            }
        }
        return null;
    }

    private void detach() throws IOException {
        for (MountTable.Entry entry : MountTable.read()) {
            if (entry.mountPoint().equals(mountPoint.toString())) {
                Mount.umount(entry.mountPoint(), Mount.MNT_DETACH);
            }
        }
    }

    private void takeOver(List<FuseDevice> serving, List<FuseDevice> others) throws IOException {
        // A predecessor that died between mount and clone left some that are not part of it yet.
        for (FuseDevice device : others) {
            if (!device.isMounted()) {
                device.join(serving.getFirst());
                serving.add(device);
            }
        }
        try {
            serving.getFirst().resend();
            LOG.log(System.Logger.Level.INFO, "took over {0}; reads that waited go on", mountPoint);
        } catch (LinuxException e) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "took over {0}, but reads that the last process had begun stay without an answer until their processes are killed, because this kernel is older than 6.9: {1}",
                    mountPoint,
                    e.getMessage());
        }
        for (int i = 0; i < serving.size(); i++) {
            startThread(i, serving.get(i));
        }
    }

    private void mount(List<FuseDevice> left, ServiceManager manager) throws IOException {
        Files.createDirectories(mountPoint);
        List<FuseDevice> fresh = new ArrayList<>();
        for (FuseDevice device : left) {
            if (!device.isMounted()) {
                fresh.add(device);
            }
        }
        int inherited = fresh.size();
        if (inherited < left.size()) {
            LOG.log(
                    System.Logger.Level.WARNING,
                    "{0} was unmounted by somebody else; containers that were started before keep what they have",
                    mountPoint);
        }
        while (fresh.size() < THREADS) {
            fresh.add(FuseDevice.open());
        }
        FuseDevice first = fresh.getFirst();
        first.mount(NAME, mountPoint.toString());
        // The first thread must answer INIT before the others are of use; the kernel queues nothing else until then.
        startThread(0, first);
        try {
            // A first operation returns only after INIT was answered.
            Files.exists(mountPoint.resolve("00"));
            for (int i = 1; i < fresh.size(); i++) {
                fresh.get(i).join(first);
                startThread(i, fresh.get(i));
            }
            for (FuseDevice device : fresh.subList(inherited, fresh.size())) {
                manager.keep(KEPT, device);
            }
            setReadAhead();
        } catch (IOException e) {
            close();
            throw e;
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

    /** Leaves it to the next process if somebody keeps its descriptors; unmounts it otherwise. */
    @Override
    public void close() {
        if (!kept) {
            try {
                Mount.umount(mountPoint.toString(), 0);
            } catch (LinuxException e) {
                if (e.errno() != Errno.EBUSY) {
                    LOG.log(System.Logger.Level.WARNING, "cannot unmount the remote tier: {0}", e.getMessage());
                }
            }
        }
        // Their readers get no answer from this process: the next one is asked again.
        reads.clear();
        waiting.shutdownNow();
    }

    /** What one thread does: take a request, answer it. */
    private final class Worker {
        private final FuseDevice device;
        private final MemorySegment request;
        private final FuseReply reply;
        private final CallState state;
        private final byte[] name = new byte[64];

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
                } catch (RejectedExecutionException e) {
                    // This process is about to end; the next one is asked again.
                    LOG.log(System.Logger.Level.DEBUG, "a read is left to the next process", e);
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
                case READ -> read(node);
                // Nothing lists objects; an empty directory is the honest cheap answer.
                case READDIR, DESTROY -> ok(0);
                case STATFS -> statfs();
                case INTERRUPT -> interrupt(request.get(LONG, INTERRUPT_IN_UNIQUE));
                // No reply is expected, and there is nothing to forget.
                case FORGET, BATCH_FORGET -> {}
                // To OPEN and OPENDIR this says once and for all that they need not be asked (since Linux 3.16 and
                // 5.1),
                // and that what was read may be kept.
                default -> error(Errno.ENOSYS);
            }
        }

        private void init() {
            int major = request.get(INT, INIT_IN_MAJOR);
            int minor = request.get(INT, INIT_IN_MINOR);
            if (major != MAJOR || minor < OLDEST_MINOR) {
                LOG.log(
                        System.Logger.Level.ERROR,
                        "the kernel speaks FUSE {0}.{1}; at least {2}.{3} is needed (Linux 5.2)",
                        major,
                        minor,
                        MAJOR,
                        OLDEST_MINOR);
                error(Errno.EPROTO);
                return;
            }
            MemorySegment out = reply.head().asSlice(OUT_BODY, INIT_OUT_BYTES);
            out.fill((byte) 0);
            int offered = request.get(INT, INIT_IN_FLAGS);
            out.set(INT, 0, MAJOR);
            out.set(INT, 4, Math.min(minor, MINOR));
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
                int directory = (int) (parent - FIRST_DIRECTORY);
                name[0] = DIGITS[directory >> 4];
                name[1] = DIGITS[directory & 0xf];
                MemorySegment.copy(request, BYTE, IN_BODY, name, 2, characters);
                ObjectName object = ObjectName.parse(name);
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

        private void read(long node) {
            KnownLayer layer = layer(node);
            if (layer == null) {
                error(Errno.ESTALE);
                return;
            }
            OpenObjects.Held file = objects.hold(layer, row(node));
            long offset = request.get(LONG, READ_IN_OFFSET);
            long size = layer.index().objectSize(file.row());
            long length =
                    Math.min(Math.min(Integer.toUnsignedLong(request.get(INT, READ_IN_SIZE)), MAX_READ), size - offset);
            if (offset < 0 || length <= 0) {
                file.release();
                ok(0);
                return;
            }
            long evictions = file.object().evictions();
            long n = SpanFetcher.isHere(layer, file.row(), file.object(), offset, length)
                    ? file.object().read(state, reply.payload(), length, offset, evictions)
                    : PartialObject.MISSING;
            if (n == PartialObject.MISSING) {
                long unique = request.get(LONG, IN_UNIQUE);
                int pid = request.get(INT, IN_PID);
                long deadline = fetcher.deadline();
                try {
                    waiting.execute(() -> readLater(file, unique, pid, offset, length, deadline));
                } catch (RejectedExecutionException e) {
                    file.release();
                    throw e;
                }
                return;
            }
            file.release();
            if (n != length) {
                error(n < 0 ? (int) -n : Errno.EIO);
                return;
            }
            finish(reply, request.get(LONG, IN_UNIQUE), 0, 0, length);
            fetcher.touched(layer, row(node), offset, length);
        }

        private void readLater(OpenObjects.Held file, long unique, int pid, long offset, long length, long deadline) {
            reads.put(unique, new WaitingRead(Thread.currentThread(), pid));
            FuseReply later = replies.take(deadline);
            int errno = 0;
            try {
                if (later == null) {
                    throw new IOException("too many other reads wait as well");
                }
                fetcher.read(
                        file.layer(),
                        file.row(),
                        file.object(),
                        later.state(),
                        later.payload(),
                        length,
                        offset,
                        deadline);
            } catch (InterruptedIOException e) {
                errno = Errno.EINTR;
            } catch (IOException e) {
                errno = Errno.EIO;
                LOG.log(
                        System.Logger.Level.WARNING,
                        "a read of object {0} fails with an input/output error: {1}",
                        file.layer().index().objectName(file.row()),
                        e.getMessage());
            } catch (RuntimeException e) {
                errno = Errno.EIO;
                LOG.log(System.Logger.Level.ERROR, "a read of the remote tier failed", e);
            }
            file.release();
            // Not there any more: this process is about to end, and the next one will answer.
            if (reads.remove(unique) != null) {
                if (later != null) {
                    finish(later, unique, errno, 0, errno == 0 ? length : 0);
                } else {
                    try (Arena arena = Arena.ofConfined()) {
                        finish(new FuseReply(arena, 0), unique, errno, 0, 0);
                    }
                }
            }
            if (later != null) {
                replies.give(later);
            }
        }

        /**
         * Somebody who waits got a signal. An error would be SIGBUS to a process that only handles a timer's signal while a
         * page comes in; so we answer at once only if the signal is its end, which must not take as long as the registry.
         */
        private void interrupt(long unique) {
            WaitingRead read = reads.get(unique);
            if (read != null) {
                waiting.execute(() -> {
                    if (isBeingKilled(read.pid())) {
                        read.waits().interrupt();
                    }
                });
            }
        }

        private boolean isBeingKilled(int pid) {
            try {
                for (String line : Files.readAllLines(Path.of("/proc", Integer.toString(pid), "status"))) {
                    // A signal that ends a process is pending as SIGKILL in each of its threads.
                    if (line.startsWith("SigPnd:")
                            && (Long.parseUnsignedLong(line.substring(7).strip(), 16) & (1L << (SIGKILL - 1))) != 0) {
                        return true;
                    }
                }
                return false;
            } catch (NoSuchFileException e) {
                return true;
            } catch (IOException e) {
                return false;
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
}
