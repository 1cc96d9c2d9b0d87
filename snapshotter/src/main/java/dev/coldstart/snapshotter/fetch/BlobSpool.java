package dev.coldstart.snapshotter.fetch;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.object.Size;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Blobs of registries that send no parts: each is downloaded once, by one request, into a file without a name, and its
 * ranges are read there as soon as they have come. It goes a while after its last reader. One that leaves the file system less
 * than its reserve fails, for those who read it.
 */
final class BlobSpool implements AutoCloseable {
    private static final long IDLE_NANOS = TimeUnit.MINUTES.toNanos(2);
    private static final int BUFFER = 1 << 16;
    /** What is written between two looks at the file system's room. */
    private static final int STRIDE = 16 << 20;

    private final Path directory;
    private final Size reserve;
    private final Map<Digest, Spooled> blobs = new HashMap<>();
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("blob-spool").factory());

    /** Opens a whole blob. */
    @FunctionalInterface
    interface Whole {
        InputStream open() throws IOException;
    }

    /**
     * @param directory where files without names are made; made when it is needed
     * @param reserve what has to stay free on its file system
     */
    BlobSpool(Path directory, Size reserve) {
        this.directory = directory;
        this.reserve = reserve;
    }

    /** A range of a blob that is being downloaded or was lately; null if it is not. */
    @Nullable
    InputStream find(Digest layer, long from, long to) {
        synchronized (blobs) {
            Spooled known = blobs.get(layer);
            return known == null || known.failed() ? null : known.read(from, to);
        }
    }

    /** A range of a blob; downloads it if nobody does. */
    InputStream open(Digest layer, long from, long to, Whole whole) throws IOException {
        synchronized (blobs) {
            InputStream found = find(layer, from, to);
            if (found != null) {
                return found;
            }
            Files.createDirectories(directory);
            Path file = Files.createTempFile(directory, "blob", "");
            FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE);
            Files.delete(file);
            Spooled fresh = new Spooled(channel);
            Spooled old = blobs.put(layer, fresh);
            if (old != null) {
                old.retire();
            }
            if (blobs.size() == 1) {
                dropIdleLater();
            }
            InputStream range = fresh.read(from, to);
            Thread.ofVirtual().name("spool-" + layer.hex().substring(0, 12)).start(() -> fresh.download(whole));
            return range;
        }
    }

    private void requireRoom() throws IOException {
        FileStore fileSystem = Files.getFileStore(directory);
        if (fileSystem.getUsableSpace() - STRIDE < reserve.of(fileSystem.getTotalSpace())) {
            throw new IOException("no room in " + directory
                    + " for a blob that its registry sends as a whole only; free some space, or lower store.free_min");
        }
    }

    /** Downloads a blob anew when it is asked for next. */
    void forget(Digest layer) {
        synchronized (blobs) {
            Spooled known = blobs.remove(layer);
            if (known != null) {
                known.retire();
            }
        }
    }

    private void dropIdleLater() {
        var _ = clock.schedule(this::dropIdle, IDLE_NANOS / 4, TimeUnit.NANOSECONDS);
    }

    private void dropIdle() {
        synchronized (blobs) {
            blobs.values().removeIf(blob -> {
                boolean idle = blob.idle();
                if (idle) {
                    blob.retire();
                }
                return idle;
            });
            if (!blobs.isEmpty()) {
                dropIdleLater();
            }
        }
    }

    @Override
    public void close() {
        clock.shutdownNow();
        synchronized (blobs) {
            blobs.values().forEach(Spooled::retire);
            blobs.clear();
        }
    }

    private final class Spooled {
        private final FileChannel channel;
        private long written;
        private boolean done;
        private @Nullable IOException failure;
        private int readers;
        private long left = System.nanoTime();
        private boolean retired;

        Spooled(FileChannel channel) {
            this.channel = channel;
        }

        void download(Whole whole) {
            try (InputStream in = whole.open()) {
                byte[] buffer = new byte[BUFFER];
                int n = in.read(buffer);
                long unchecked = STRIDE;
                while (n >= 0) {
                    if (unchecked >= STRIDE) {
                        requireRoom();
                        unchecked = 0;
                    }
                    unchecked += n;
                    ByteBuffer bytes = ByteBuffer.wrap(buffer, 0, n);
                    while (bytes.hasRemaining()) {
                        var _ = channel.write(bytes);
                    }
                    synchronized (this) {
                        written += n;
                        notifyAll();
                        if (retired && readers == 0) {
                            return;
                        }
                    }
                    n = in.read(buffer);
                }
                synchronized (this) {
                    done = true;
                    notifyAll();
                }
            } catch (IOException e) {
                fail(e);
            } catch (RuntimeException e) {
                fail(new IOException("downloading a blob failed: " + e, e));
            }
        }

        private synchronized void fail(IOException e) {
            failure = e;
            notifyAll();
        }

        synchronized boolean failed() {
            return failure != null || retired;
        }

        synchronized boolean idle() {
            return readers == 0 && System.nanoTime() - left > IDLE_NANOS;
        }

        /** Nobody new may read; the file goes with the last reader. */
        synchronized void retire() {
            retired = true;
            closeIfUnused();
        }

        private void closeIfUnused() {
            if (retired && readers == 0) {
                try {
                    channel.close();
                } catch (IOException e) {
                    System.getLogger(BlobSpool.class.getName())
                            .log(System.Logger.Level.WARNING, "cannot close a spooled blob: {0}", e.getMessage());
                }
            }
        }

        synchronized InputStream read(long from, long to) {
            readers++;
            return new Range(this, from, to);
        }

        synchronized void leave() {
            readers--;
            left = System.nanoTime();
            closeIfUnused();
        }

        /** Waits for bytes from an offset on; how many are there, 0 behind the blob's end. */
        synchronized long await(long offset) throws IOException {
            while (written <= offset && !done && failure == null) {
                try {
                    wait();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    throw new InterruptedIOException("interrupted");
                }
            }
            if (written <= offset && failure != null) {
                throw new IOException(failure.getMessage(), failure);
            }
            return Math.max(0, written - offset);
        }
    }

    private static final class Range extends InputStream {
        private final Spooled blob;
        private final long to;
        private long position;
        private boolean closed;

        Range(Spooled blob, long from, long to) {
            this.blob = blob;
            this.position = from;
            this.to = to;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] bytes, int offset, int length) throws IOException {
            Objects.checkFromIndexSize(offset, length, bytes.length);
            if (length == 0) {
                return 0;
            }
            if (closed || position >= to) {
                return -1;
            }
            long there = Math.min(blob.await(position), to - position);
            if (there == 0) {
                return -1;
            }
            int n = blob.channel.read(ByteBuffer.wrap(bytes, offset, (int) Math.min(length, there)), position);
            position += Math.max(0, n);
            return n;
        }

        @Override
        public void close() {
            if (!closed) {
                closed = true;
                blob.leave();
            }
        }
    }
}
