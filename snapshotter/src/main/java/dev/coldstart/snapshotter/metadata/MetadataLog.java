package dev.coldstart.snapshotter.metadata;

import dev.coldstart.snapshotter.layer.Digest;
import dev.coldstart.snapshotter.metadata.Catalog.Change;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * The log under a {@link MetadataStore}. A file of frames: u32 length, u32 CRC-32C of the payload, payload; big-endian.
 * The first frame's payload is the file's magic. A frame is one transaction: all of its changes count, or none. Reading
 * stops at the first frame that is cut or does not match its sum, and what follows is cut off: it was never
 * acknowledged.
 */
final class MetadataLog implements AutoCloseable {
    private static final byte[] MAGIC = "coldstart metadata 1".getBytes(StandardCharsets.US_ASCII);
    private static final int MAX_FRAME = 64 << 20;

    private static final byte PUT = 1;
    private static final byte DROP = 2;
    private static final byte ADD_SOURCE = 3;
    private static final byte RESERVE = 4;

    private static final byte VIEW = 0;
    private static final byte ACTIVE = 1;
    private static final byte COMMITTED = 2;

    private final Path path;
    private FileChannel channel;
    private long length;

    private MetadataLog(Path path, FileChannel channel, long length) {
        this.path = path;
        this.channel = channel;
        this.length = length;
    }

    /**
     * What a log said.
     *
     * @param cut bytes at its end that were not whole frames
     */
    record Replayed(MetadataLog log, Catalog catalog, long cut) {}

    /** Opens or creates the log and reads it. */
    static Replayed open(Path path) throws IOException {
        if (!Files.exists(path)) {
            return new Replayed(write(path, Catalog.empty()), Catalog.empty(), 0);
        }
        byte[] bytes = Files.readAllBytes(path);
        ByteBuffer file = ByteBuffer.wrap(bytes);
        byte[] magic = next(file);
        if (magic == null) {
            if (bytes.length >= 8 + MAGIC.length) {
                throw new IOException(path + " is not a metadata log of this version; move it away to start anew");
            }
            return new Replayed(write(path, Catalog.empty()), Catalog.empty(), bytes.length);
        }
        if (!java.util.Arrays.equals(magic, MAGIC)) {
            throw new IOException(path + " is not a metadata log of this version; move it away to start anew");
        }
        Catalog.Draft draft = Catalog.empty().draft();
        long good = file.position();
        for (byte[] frame = next(file); frame != null; frame = next(file)) {
            for (Change change : decode(frame)) {
                draft.apply(change);
            }
            good = file.position();
        }
        FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE);
        if (good < bytes.length) {
            channel.truncate(good);
            channel.force(true);
        }
        return new Replayed(new MetadataLog(path, channel, good), draft.finish(), bytes.length - good);
    }

    /** Writes a new log that says just this, durably, in the place of what is there. */
    static MetadataLog write(Path path, Catalog catalog) throws IOException {
        Path temporary = path.resolveSibling(path.getFileName() + ".new");
        FileChannel channel = FileChannel.open(
                temporary, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE);
        try {
            List<Change> all = new ArrayList<>();
            all.add(new Change.Reserve(catalog.nextId()));
            for (Digest layer : catalog.layersWithSources()) {
                catalog.sources(layer).forEach(source -> all.add(new Change.AddSource(source)));
            }
            catalog.snapshots().forEach(snapshot -> all.add(new Change.Put(snapshot)));
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            frame(out, MAGIC);
            // Small frames, so that a large catalog never meets the limit of one.
            for (int i = 0; i < all.size(); i += 256) {
                frame(out, encode(all.subList(i, Math.min(all.size(), i + 256))));
            }
            writeFully(channel, ByteBuffer.wrap(out.toByteArray()), 0);
            channel.force(true);
            Files.move(temporary, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            syncDirectory(path);
            return new MetadataLog(path, channel, out.size());
        } catch (IOException e) {
            channel.close();
            throw e;
        }
    }

    private static void syncDirectory(Path path) throws IOException {
        Path directory = path.toAbsolutePath().getParent();
        if (directory != null) {
            try (FileChannel handle = FileChannel.open(directory, StandardOpenOption.READ)) {
                handle.force(true);
            }
        }
    }

    /** Appends transactions and returns when they are on the device. After a failure the log is as it was before. */
    void append(List<List<Change>> transactions) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (List<Change> transaction : transactions) {
            frame(out, encode(transaction));
        }
        try {
            writeFully(channel, ByteBuffer.wrap(out.toByteArray()), length);
            channel.force(false);
        } catch (IOException e) {
            try {
                channel.truncate(length);
            } catch (IOException second) {
                e.addSuppressed(second);
            }
            throw e;
        }
        length += out.size();
    }

    /** Rewrites the log to say just this. */
    void compact(Catalog catalog) throws IOException {
        MetadataLog fresh = write(path, catalog);
        channel.close();
        channel = fresh.channel;
        length = fresh.length;
    }

    long length() {
        return length;
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }

    private static void writeFully(FileChannel channel, ByteBuffer bytes, long at) throws IOException {
        long position = at;
        while (bytes.hasRemaining()) {
            position += channel.write(bytes, position);
        }
    }

    private static void frame(ByteArrayOutputStream out, byte[] payload) {
        CRC32C crc = new CRC32C();
        crc.update(payload);
        out.writeBytes(ByteBuffer.allocate(8)
                .putInt(payload.length)
                .putInt((int) crc.getValue())
                .array());
        out.writeBytes(payload);
    }

    private static byte @Nullable [] next(ByteBuffer file) {
        if (file.remaining() < 8) {
            return null;
        }
        int size = file.getInt(file.position());
        int sum = file.getInt(file.position() + 4);
        if (size <= 0 || size > MAX_FRAME || size > file.remaining() - 8) {
            return null;
        }
        byte[] payload = new byte[size];
        file.get(file.position() + 8, payload);
        CRC32C crc = new CRC32C();
        crc.update(payload);
        if ((int) crc.getValue() != sum) {
            return null;
        }
        file.position(file.position() + 8 + size);
        return payload;
    }

    private static byte[] encode(List<Change> changes) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (DataOutputStream out = new DataOutputStream(bytes)) {
            for (Change change : changes) {
                switch (change) {
                    case Change.Put(Snapshot snapshot) -> {
                        out.writeByte(PUT);
                        put(out, snapshot);
                    }
                    case Change.Drop(String name) -> {
                        out.writeByte(DROP);
                        text(out, name);
                    }
                    case Change.AddSource(LayerSource source) -> {
                        out.writeByte(ADD_SOURCE);
                        text(out, source.layer().toString());
                        text(out, source.host());
                        text(out, source.repository());
                    }
                    case Change.Reserve(long id) -> {
                        out.writeByte(RESERVE);
                        out.writeLong(id);
                    }
                }
            }
        }
        return bytes.toByteArray();
    }

    private static void put(DataOutputStream out, Snapshot snapshot) throws IOException {
        out.writeLong(snapshot.id());
        text(out, snapshot.name());
        text(out, snapshot.parent());
        out.writeByte(
                switch (snapshot.kind()) {
                    case VIEW -> VIEW;
                    case ACTIVE -> ACTIVE;
                    case COMMITTED -> COMMITTED;
                });
        instant(out, snapshot.created());
        instant(out, snapshot.updated());
        out.writeInt(snapshot.labels().size());
        for (Map.Entry<String, String> label : snapshot.labels().entrySet()) {
            text(out, label.getKey());
            text(out, label.getValue());
        }
        Digest layer = snapshot.layer();
        text(out, layer == null ? "" : layer.toString());
        out.writeLong(snapshot.size());
        out.writeLong(snapshot.inodes());
    }

    private static List<Change> decode(byte[] payload) throws IOException {
        List<Change> changes = new ArrayList<>();
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(payload))) {
            while (in.available() > 0) {
                byte type = in.readByte();
                changes.add(
                        switch (type) {
                            case PUT -> new Change.Put(snapshot(in));
                            case DROP -> new Change.Drop(text(in));
                            case ADD_SOURCE ->
                                new Change.AddSource(new LayerSource(Digest.parse(text(in)), text(in), text(in)));
                            case RESERVE -> new Change.Reserve(in.readLong());
                            default -> throw new IOException("the metadata log has a change of unknown type " + type);
                        });
            }
        } catch (IllegalArgumentException e) {
            throw new IOException("the metadata log has a change that makes no sense: " + e.getMessage(), e);
        }
        return changes;
    }

    private static Snapshot snapshot(DataInputStream in) throws IOException {
        long id = in.readLong();
        String name = text(in);
        String parent = text(in);
        byte number = in.readByte();
        Snapshot.Kind kind = switch (number) {
            case VIEW -> Snapshot.Kind.VIEW;
            case ACTIVE -> Snapshot.Kind.ACTIVE;
            case COMMITTED -> Snapshot.Kind.COMMITTED;
            default -> throw new IllegalArgumentException("snapshot kind " + number);
        };
        Instant created = instant(in);
        Instant updated = instant(in);
        int count = in.readInt();
        Map<String, String> labels = new HashMap<>();
        for (int i = 0; i < count; i++) {
            labels.put(text(in), text(in));
        }
        String layer = text(in);
        return new Snapshot(
                id,
                name,
                parent,
                kind,
                created,
                updated,
                labels,
                layer.isEmpty() ? null : Digest.parse(layer),
                in.readLong(),
                in.readLong());
    }

    private static void instant(DataOutputStream out, Instant instant) throws IOException {
        out.writeLong(instant.getEpochSecond());
        out.writeInt(instant.getNano());
    }

    private static Instant instant(DataInputStream in) throws IOException {
        return Instant.ofEpochSecond(in.readLong(), in.readInt());
    }

    private static void text(DataOutputStream out, String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        out.writeInt(bytes.length);
        out.write(bytes);
    }

    private static String text(DataInputStream in) throws IOException {
        int length = in.readInt();
        if (length < 0 || length > in.available()) {
            throw new IllegalArgumentException("a text of " + length + " bytes");
        }
        return new String(in.readNBytes(length), StandardCharsets.UTF_8);
    }
}
