package dev.coldstart.restore.criu;

import com.google.protobuf.InvalidProtocolBufferException;
import dev.coldstart.proto.criu.stats_entry;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;

/**
 * CRIU's {@code stats-dump} and {@code stats-restore}: two magic numbers, the length of one message, the message, all
 * little-endian (criu/image.c, criu/include/magic.h).
 */
public final class CriuStats {
    private static final int IMG_SERVICE_MAGIC = 0x55105940;
    private static final int STATS_MAGIC = 0x57093306;
    private static final int HEADER_BYTES = 12;
    private static final int MAX_BYTES = 4096;

    private CriuStats() {}

    /**
     * Reads the figures.
     *
     * @throws IOException if there is no such file, or it is something else
     */
    public static stats_entry read(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file, LinkOption.NOFOLLOW_LINKS)) {
            return parse(in.readNBytes(MAX_BYTES));
        } catch (IllegalArgumentException e) {
            throw new IOException("CRIU's " + file + " cannot be read: " + e.getMessage() + ".", e);
        }
    }

    /**
     * Parses a file's bytes.
     *
     * @throws IllegalArgumentException with what is wrong
     */
    static stats_entry parse(byte[] bytes) {
        if (bytes.length < HEADER_BYTES) {
            throw new IllegalArgumentException("it ends in its header");
        }
        ByteBuffer in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        if (in.getInt() != IMG_SERVICE_MAGIC || in.getInt() != STATS_MAGIC) {
            throw new IllegalArgumentException("it has not the magic numbers of statistics");
        }
        int length = in.getInt();
        if (length < 0 || length > in.remaining()) {
            throw new IllegalArgumentException("its message is cut off");
        }
        try {
            return stats_entry.parseFrom(in.slice(in.position(), length));
        } catch (InvalidProtocolBufferException e) {
            throw new IllegalArgumentException("its message is malformed", e);
        }
    }
}
