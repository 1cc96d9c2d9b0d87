package dev.coldstart.snapshotter.trace;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.layer.NewFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Traces in files, {@code HEX.trace}, and places of prefetch blobs, {@code HEX.prefetch}; each is replaced as a whole. A damaged
 * trace counts as none.
 */
public final class TraceFiles implements Traces {
    private static final System.Logger LOG = System.getLogger(TraceFiles.class.getName());

    private final Path directory;

    /** @param directory which exists */
    public TraceFiles(Path directory) {
        this.directory = directory;
    }

    @Override
    public byte @Nullable [] read(Digest layer) throws IOException {
        LayerTrace trace = find(layer);
        return trace == null ? null : trace.bytes();
    }

    @Override
    public void add(Digest layer, byte[] trace) throws IOException {
        LayerTrace given = LayerTrace.parse(trace);
        if (!given.layer().equals(layer)) {
            throw new TraceException("not a sound trace of layer " + layer + ": it is one of " + given.layer());
        }
        add(layer, given.ranges());
    }

    /** Adds what a start read; writes nothing if nothing is new. */
    synchronized void add(Digest layer, List<LayerTrace.Range> ranges) throws IOException {
        LayerTrace known = find(layer);
        LayerTrace all = (known == null ? new LayerTrace(layer, List.of()) : known).with(ranges);
        if (all.ranges().isEmpty() || all.equals(known)) {
            return;
        }
        write(file(layer), all.bytes());
    }

    private static void write(Path to, byte[] bytes) throws IOException {
        try (NewFile file = new NewFile(to)) {
            FileChannel channel = file.channel();
            ByteBuffer left = ByteBuffer.wrap(bytes);
            while (left.hasRemaining()) {
                channel.write(left);
            }
            file.commit();
        }
    }

    @Override
    public @Nullable String prefetch(Digest layer) throws IOException {
        try {
            return Files.readString(prefetchFile(layer));
        } catch (NoSuchFileException e) {
            return null;
        }
    }

    @Override
    public synchronized void addPrefetch(Digest layer, String place) throws IOException {
        if (!place.equals(prefetch(layer))) {
            write(prefetchFile(layer), place.getBytes(StandardCharsets.UTF_8));
        }
    }

    private Path prefetchFile(Digest layer) {
        return directory.resolve(layer.hex() + ".prefetch");
    }

    /** A layer's trace; null if there is none. */
    @Nullable
    LayerTrace find(Digest layer) throws IOException {
        try {
            LayerTrace trace = LayerTrace.parse(Files.readAllBytes(file(layer)));
            return trace.layer().equals(layer) ? trace : null;
        } catch (NoSuchFileException e) {
            return null;
        } catch (TraceException e) {
            LOG.log(System.Logger.Level.WARNING, "{0} is ignored: {1}", file(layer), e.getMessage());
            return null;
        }
    }

    private Path file(Digest layer) {
        return directory.resolve(layer.hex() + ".trace");
    }
}
