package dev.coldstart.snapshotter.toc;

import dev.coldstart.snapshotter.layer.LayerException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/**
 * A table in a flatbuffer (flatbuffers.dev, "FlatBuffer Internals"): fields by number, each where the table's vtable says,
 * or absent. What leads out of the buffer is a {@link LayerException}. Read here because the library wants classes generated
 * by its compiler, and because it throws whatever a hostile buffer leads it to.
 */
final class FlatTable {
    private static final int MAX_TEXT = 1 << 16;

    private final ByteBuffer buffer;
    private final int at;
    private final int vtable;
    private final int vtableSize;

    /** Elements that are tables or text. */
    record Vector(FlatTable of, int at, int count) {
        FlatTable table(int i) throws LayerException {
            return new FlatTable(of.buffer, of.follow(at + 4L * i));
        }

        String text(int i) throws LayerException {
            return of.textAt(of.follow(at + 4L * i));
        }
    }

    private FlatTable(ByteBuffer buffer, int at) throws LayerException {
        this.buffer = buffer;
        this.at = at;
        long where = at - (long) buffer.getInt(check(at, 4));
        vtable = check(where, 4);
        vtableSize = Short.toUnsignedInt(buffer.getShort(vtable));
        check(where, vtableSize);
    }

    /** The root table of a buffer. */
    static FlatTable root(byte[] bytes) throws LayerException {
        ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        if (bytes.length < 4) {
            throw bad();
        }
        return new FlatTable(buffer, (int) Math.min(Integer.MAX_VALUE, Integer.toUnsignedLong(buffer.getInt(0))));
    }

    /** A number of 8 bits; {@code otherwise} if the field is absent. */
    byte int8(int field, byte otherwise) throws LayerException {
        int where = where(field, 1);
        return where == 0 ? otherwise : buffer.get(where);
    }

    /** A number of 32 bits; 0 if the field is absent. */
    int int32(int field) throws LayerException {
        int where = where(field, 4);
        return where == 0 ? 0 : buffer.getInt(where);
    }

    /** A number of 64 bits; 0 if the field is absent. */
    long int64(int field) throws LayerException {
        int where = where(field, 8);
        return where == 0 ? 0 : buffer.getLong(where);
    }

    /** Text, a byte per char; empty if the field is absent. */
    String text(int field) throws LayerException {
        int where = where(field, 4);
        return where == 0 ? "" : textAt(follow(where));
    }

    /** A table in the table; null if the field is absent. */
    @Nullable
    FlatTable table(int field) throws LayerException {
        int where = where(field, 4);
        return where == 0 ? null : new FlatTable(buffer, follow(where));
    }

    /** Elements of 4 bytes each; none if the field is absent. */
    Vector vector(int field) throws LayerException {
        int where = where(field, 4);
        if (where == 0) {
            return new Vector(this, 0, 0);
        }
        int start = follow(where);
        int count = buffer.getInt(check(start, 4));
        check(start + 4L, 4L * Integer.toUnsignedLong(count));
        return new Vector(this, start + 4, count);
    }

    /** Bytes, little-endian; none if the field is absent. */
    ByteBuffer bytes(int field) throws LayerException {
        int where = where(field, 4);
        if (where == 0) {
            return ByteBuffer.allocate(0);
        }
        int start = follow(where);
        int count = buffer.getInt(check(start, 4));
        return buffer.slice(check(start + 4L, Integer.toUnsignedLong(count)), count)
                .order(ByteOrder.LITTLE_ENDIAN);
    }

    private int where(int field, int size) throws LayerException {
        int entry = 4 + 2 * field;
        if (entry + 2 > vtableSize) {
            return 0;
        }
        int offset = Short.toUnsignedInt(buffer.getShort(vtable + entry));
        return offset == 0 ? 0 : check(at + (long) offset, size);
    }

    private int follow(long where) throws LayerException {
        int from = check(where, 4);
        return check(from + Integer.toUnsignedLong(buffer.getInt(from)), 4);
    }

    private String textAt(int start) throws LayerException {
        int length = buffer.getInt(start);
        if (length < 0 || length > MAX_TEXT) {
            throw bad();
        }
        byte[] bytes = new byte[length];
        buffer.get(check(start + 4L, length), bytes);
        return new String(bytes, StandardCharsets.ISO_8859_1);
    }

    private int check(long from, long size) throws LayerException {
        if (from < 0 || from > buffer.limit() - size) {
            throw bad();
        }
        return (int) from;
    }

    private static LayerException bad() {
        return new LayerException("its zTOC is no sound flatbuffer");
    }
}
