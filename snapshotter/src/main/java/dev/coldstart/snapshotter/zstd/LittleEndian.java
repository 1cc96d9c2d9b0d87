package dev.coldstart.snapshotter.zstd;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/** Numbers in byte arrays, at any place: one machine instruction each. */
final class LittleEndian {
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);

    private LittleEndian() {}

    static long getLong(byte[] bytes, int at) {
        return (long) LONG.get(bytes, at);
    }

    static void putLong(byte[] bytes, int at, long value) {
        LONG.set(bytes, at, value);
    }

    static int getInt(byte[] bytes, int at) {
        return (int) INT.get(bytes, at);
    }

    static int getShort(byte[] bytes, int at) {
        return (bytes[at] & 0xff) | (bytes[at + 1] & 0xff) << 8;
    }

    /** Copies {@code length} bytes or up to 15 more, which both arrays need room for; the places do not overlap. */
    static void copy(byte[] from, int at, byte[] to, int into, int length) {
        putLong(to, into, getLong(from, at));
        putLong(to, into + 8, getLong(from, at + 8));
        for (int i = 16; i < length; i += 16) {
            putLong(to, into + i, getLong(from, at + i));
            putLong(to, into + i + 8, getLong(from, at + i + 8));
        }
    }
}
