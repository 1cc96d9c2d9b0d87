package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.ByteBuffer;
import java.util.zip.DataFormatException;

/**
 * A decompressor of raw deflate data by the system's {@code libz.so.1}. It does what {@link java.util.zip.Inflater}
 * hides: it stops at the boundaries of deflate blocks, tells the bit it stopped at, gives its window away and starts again
 * in the middle of a stream from a bit offset and a window. Field offsets and constants are those of zlib.h for 64-bit
 * Linux.
 */
public final class Zlib implements RawInflater {
    private static final int Z_OK = 0;
    private static final int Z_STREAM_END = 1;
    private static final int Z_BUF_ERROR = -5;
    private static final int Z_NO_FLUSH = 0;
    private static final int Z_BLOCK = 5;
    private static final int RAW = -15;

    private static final long NEXT_IN = 0;
    private static final long AVAIL_IN = 8;
    private static final long NEXT_OUT = 24;
    private static final long AVAIL_OUT = 32;
    private static final long MSG = 48;
    private static final long DATA_TYPE = 88;
    private static final long STREAM_SIZE = 112;

    private static final SymbolLookup LIBZ = SymbolLookup.libraryLookup("libz.so.1", Arena.global());
    private static final MethodHandle INFLATE_INIT2 = Native.library(
            LIBZ,
            "inflateInit2_",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_INT,
                    ValueLayout.ADDRESS,
                    ValueLayout.JAVA_INT,
                    ValueLayout.ADDRESS,
                    ValueLayout.JAVA_INT));
    private static final MethodHandle INFLATE = Native.library(
            LIBZ, "inflate", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT));
    private static final MethodHandle INFLATE_RESET =
            Native.library(LIBZ, "inflateReset", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS));
    private static final MethodHandle INFLATE_END =
            Native.library(LIBZ, "inflateEnd", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS));
    private static final MethodHandle INFLATE_PRIME = Native.library(
            LIBZ,
            "inflatePrime",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));
    private static final MethodHandle INFLATE_SET_DICTIONARY = Native.library(
            LIBZ,
            "inflateSetDictionary",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.ADDRESS, ValueLayout.JAVA_INT));
    private static final MethodHandle INFLATE_GET_DICTIONARY = Native.library(
            LIBZ,
            "inflateGetDictionary",
            FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.ADDRESS, ValueLayout.ADDRESS));

    private final Arena arena = Arena.ofShared();
    private final MemorySegment stream = arena.allocate(STREAM_SIZE, 8);
    private final MemorySegment window = arena.allocate(WINDOW);
    private final MemorySegment windowLength = arena.allocate(ValueLayout.JAVA_INT);
    private final Staging staging = new Staging(arena);

    /** A decompressor at the start of a raw deflate stream. */
    public Zlib() {
        try {
            // zlib compares the first character of the version and the size of the structure with its own.
            check(
                    (int) INFLATE_INIT2.invokeExact(stream, RAW, arena.allocateFrom("1.2.3"), (int) STREAM_SIZE),
                    "inflateInit2");
        } catch (Throwable e) {
            arena.close();
            throw rethrow(e);
        }
    }

    @Override
    public void reset() {
        try {
            check((int) INFLATE_RESET.invokeExact(stream), "inflateReset");
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    @Override
    public void prime(int bits, int value) {
        try {
            check((int) INFLATE_PRIME.invokeExact(stream, bits, value), "inflatePrime");
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    @Override
    public void setWindow(ByteBuffer bytes) {
        int length = bytes.remaining();
        MemorySegment.copy(MemorySegment.ofBuffer(bytes), 0, window, 0, length);
        bytes.position(bytes.limit());
        try {
            check((int) INFLATE_SET_DICTIONARY.invokeExact(stream, window, length), "inflateSetDictionary");
        } catch (Throwable e) {
            throw rethrow(e);
        }
    }

    /**
     * Copies the last bytes decompressed, at most {@link #WINDOW} of them, into {@code bytes}.
     *
     * @return how many there were
     */
    public int window(byte[] bytes) {
        try {
            check((int) INFLATE_GET_DICTIONARY.invokeExact(stream, window, windowLength), "inflateGetDictionary");
        } catch (Throwable e) {
            throw rethrow(e);
        }
        int length = windowLength.get(ValueLayout.JAVA_INT, 0);
        MemorySegment.copy(window, ValueLayout.JAVA_BYTE, 0, bytes, 0, length);
        return length;
    }

    @Override
    public Status inflate(ByteBuffer in, ByteBuffer out) throws DataFormatException {
        return inflate(in, out, false);
    }

    /**
     * As {@link #inflate(ByteBuffer, ByteBuffer)}; takes no input ahead.
     *
     * @param stopAtBlock return at the end of each deflate block
     * @throws DataFormatException if this is not deflate data
     */
    public Status inflate(ByteBuffer in, ByteBuffer out, boolean stopAtBlock) throws DataFormatException {
        MemorySegment source = staging.source(in);
        MemorySegment target = staging.target(out);
        int available = (int) source.byteSize();
        int room = (int) target.byteSize();
        stream.set(ValueLayout.ADDRESS, NEXT_IN, source);
        stream.set(ValueLayout.JAVA_INT, AVAIL_IN, available);
        stream.set(ValueLayout.ADDRESS, NEXT_OUT, target);
        stream.set(ValueLayout.JAVA_INT, AVAIL_OUT, room);
        int result;
        try {
            result = (int) INFLATE.invokeExact(stream, stopAtBlock ? Z_BLOCK : Z_NO_FLUSH);
        } catch (Throwable e) {
            throw Native.unexpected(e);
        }
        in.position(in.position() + available - stream.get(ValueLayout.JAVA_INT, AVAIL_IN));
        staging.written(target, room - stream.get(ValueLayout.JAVA_INT, AVAIL_OUT), out);
        return switch (result) {
            case Z_OK, Z_BUF_ERROR -> Status.MORE;
            case Z_STREAM_END -> Status.END;
            default -> throw new DataFormatException(message(result));
        };
    }

    /** Whether the last call stopped between two deflate blocks, neither inside one nor behind the last one. */
    public boolean betweenBlocks() {
        return (stream.get(ValueLayout.JAVA_INT, DATA_TYPE) & (128 | 64)) == 128;
    }

    /** How many upper bits of the last byte of input taken were not used yet, 0 to 7. */
    public int unusedBits() {
        return stream.get(ValueLayout.JAVA_INT, DATA_TYPE) & 7;
    }

    @Override
    public void close() {
        if (!arena.scope().isAlive()) {
            return;
        }
        try {
            check((int) INFLATE_END.invokeExact(stream), "inflateEnd");
        } catch (Throwable e) {
            throw rethrow(e);
        } finally {
            arena.close();
        }
    }

    private String message(int result) {
        MemorySegment text = stream.get(ValueLayout.ADDRESS, MSG);
        return text.address() == 0
                ? "zlib status " + result
                : text.reinterpret(256).getString(0);
    }

    private static void check(int result, String function) {
        if (result != Z_OK) {
            throw new IllegalStateException("libz's " + function + " answered " + result);
        }
    }

    private static RuntimeException rethrow(Throwable thrown) {
        if (thrown instanceof RuntimeException runtime) {
            return runtime;
        }
        throw Native.unexpected(thrown);
    }
}
