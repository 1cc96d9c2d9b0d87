package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.zip.DataFormatException;

/**
 * A decompressor of raw deflate data by igzip, a part of Intel's ISA-L ({@code libisal.so.2}, Debian's package libisal2),
 * about twice as fast as {@link Zlib}. It reads up to 8 bytes and decompresses up to 64 KiB ahead of what it gave, and so
 * cannot stop at the boundaries of blocks; data that is broken behind the room's end may be refused already.
 *
 * <p>The library says neither its version nor the size of its state. Offsets and constants are those of igzip_lib.h, which
 * are the same in 2.30 (Debian 12), 2.31 (Debian 13) and 2.32, for x86-64 Linux. Before the library is used it is tried:
 * initialising must write exactly the fields that are known, and a stream that starts in the middle of a byte, with a
 * window, must be decompressed. Where one fails, or on another architecture, there is no igzip.
 */
public final class Igzip implements RawInflater {
    /** More than {@code struct inflate_state} has, which are 87,368 bytes. */
    private static final long STATE_SIZE = 128 << 10;

    private static final long NEXT_OUT = 0;
    private static final long AVAIL_OUT = 8;
    private static final long NEXT_IN = 16;
    private static final long READ_IN = 24;
    private static final long AVAIL_IN = 32;
    private static final long READ_IN_LENGTH = 36;
    /** Behind it come the tables of the block's codes. */
    private static final long TABLES = 40;

    private static final long BLOCK_STATE = 21160;
    /** Buffers, up to the end. */
    private static final long BUFFERS = 21216;

    private static final int ISAL_BLOCK_FINISH = 5;
    private static final int ISAL_DECOMP_OK = 0;
    private static final int ISAL_INVALID_BLOCK = -1;
    private static final int ISAL_INVALID_SYMBOL = -2;
    private static final int ISAL_INVALID_LOOKBACK = -3;

    private static final Optional<Functions> LIBRARY = load();

    private final Functions functions;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment state = arena.allocate(STATE_SIZE, 16);
    private final Staging staging = new Staging(arena);

    /** Whether this host has the library, and it is one that is known. */
    public static boolean isAvailable() {
        return LIBRARY.isPresent();
    }

    /**
     * A decompressor at the start of a raw deflate stream.
     *
     * @throws IllegalStateException if there is no igzip, see {@link #isAvailable}
     */
    public Igzip() {
        this(LIBRARY.orElseThrow(
                () -> new IllegalStateException("libisal.so.2 is not installed, or not one that is known")));
    }

    private Igzip(Functions functions) {
        this.functions = functions;
        functions.initialise(state);
    }

    @Override
    public void reset() {
        try {
            functions.reset.invokeExact(state);
        } catch (Throwable e) {
            throw Native.unexpected(e);
        }
    }

    @Override
    public void prime(int bits, int value) {
        state.set(ValueLayout.JAVA_LONG, READ_IN, value);
        state.set(ValueLayout.JAVA_INT, READ_IN_LENGTH, bits);
    }

    @Override
    public void setWindow(ByteBuffer bytes) {
        int length = bytes.remaining();
        int result;
        try {
            result = (int) functions.setDict.invokeExact(state, staging.source(bytes), length);
        } catch (Throwable e) {
            throw Native.unexpected(e);
        }
        if (result != ISAL_DECOMP_OK) {
            throw new IllegalStateException("libisal's isal_inflate_set_dict answered " + result);
        }
        bytes.position(bytes.limit());
    }

    @Override
    public Status inflate(ByteBuffer in, ByteBuffer out) throws DataFormatException {
        MemorySegment source = staging.source(in);
        MemorySegment target = staging.target(out);
        int available = (int) source.byteSize();
        int room = (int) target.byteSize();
        state.set(ValueLayout.ADDRESS, NEXT_IN, source);
        state.set(ValueLayout.JAVA_INT, AVAIL_IN, available);
        state.set(ValueLayout.ADDRESS, NEXT_OUT, target);
        state.set(ValueLayout.JAVA_INT, AVAIL_OUT, room);
        int result;
        try {
            result = (int) functions.inflate.invokeExact(state);
        } catch (Throwable e) {
            throw Native.unexpected(e);
        }
        switch (result) {
            case ISAL_DECOMP_OK -> {}
            case ISAL_INVALID_BLOCK -> throw new DataFormatException("invalid block");
            case ISAL_INVALID_SYMBOL -> throw new DataFormatException("invalid symbol");
            case ISAL_INVALID_LOOKBACK -> throw new DataFormatException("invalid distance");
            default -> throw new DataFormatException("igzip status " + result);
        }
        staging.written(target, room - state.get(ValueLayout.JAVA_INT, AVAIL_OUT), out);
        int left = state.get(ValueLayout.JAVA_INT, AVAIL_IN);
        boolean ended = state.get(ValueLayout.JAVA_INT, BLOCK_STATE) == ISAL_BLOCK_FINISH;
        if (ended) {
            // From 2.32.1 on the library gives these bytes back itself.
            left += state.get(ValueLayout.JAVA_INT, READ_IN_LENGTH) / 8;
            state.set(ValueLayout.JAVA_INT, READ_IN_LENGTH, 0);
        }
        in.position(in.position() + available - left);
        return ended ? Status.END : Status.MORE;
    }

    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }

    private static Optional<Functions> load() {
        if (!System.getProperty("os.arch").equals("amd64")) {
            return Optional.empty();
        }
        Functions functions;
        try {
            SymbolLookup library = SymbolLookup.libraryLookup("libisal.so.2", Arena.global());
            FunctionDescriptor ofState = FunctionDescriptor.ofVoid(ValueLayout.ADDRESS);
            functions = new Functions(
                    Native.library(library, "isal_inflate_init", ofState),
                    Native.library(library, "isal_inflate_reset", ofState),
                    Native.library(
                            library,
                            "isal_inflate_set_dict",
                            FunctionDescriptor.of(
                                    ValueLayout.JAVA_INT,
                                    ValueLayout.ADDRESS,
                                    ValueLayout.ADDRESS,
                                    ValueLayout.JAVA_INT)),
                    Native.library(
                            library, "isal_inflate", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS)));
        } catch (IllegalArgumentException | NoSuchElementException _) {
            return Optional.empty();
        }
        return hasKnownLayout(functions) && decompresses(functions) ? Optional.of(functions) : Optional.empty();
    }

    private static boolean hasKnownLayout(Functions functions) {
        try (Arena arena = Arena.ofConfined()) {
            byte mark = 0x55;
            MemorySegment initialised = arena.allocate(STATE_SIZE, 16).fill(mark);
            functions.initialise(initialised);
            MemorySegment expected = arena.allocate(STATE_SIZE, 16).fill(mark);
            expected.asSlice(0, TABLES).fill((byte) 0);
            expected.asSlice(BLOCK_STATE, BUFFERS - BLOCK_STATE).fill((byte) 0);
            return initialised.mismatch(expected) == -1;
        }
    }

    private static boolean decompresses(Functions functions) {
        // zlib's, with a dictionary and fixed codes, moved by 5 bits; then a trailer that is no part of it.
        byte[] stream = HexFormat.of().parseHex("75685c3003a25207c4ce83cb582930fc5748cc4b415201007472616c");
        byte[] window = "the window before the span".getBytes(StandardCharsets.ISO_8859_1);
        byte[] expected = "before the span the window, then the span: \0\u00ff and the window"
                .getBytes(StandardCharsets.ISO_8859_1);
        byte[] plain = new byte[expected.length];
        ByteBuffer in = ByteBuffer.wrap(stream);
        ByteBuffer out = ByteBuffer.wrap(plain);
        try (Igzip igzip = new Igzip(functions)) {
            igzip.reset();
            igzip.setWindow(ByteBuffer.wrap(window));
            igzip.prime(3, (in.get() & 0xff) >>> 5);
            // In two pieces of input and of room.
            Status first = igzip.inflate(in.limit(12), out.limit(3));
            Status last = igzip.inflate(in.limit(stream.length), out.limit(plain.length));
            return first == Status.MORE && last == Status.END && in.remaining() == 4 && Arrays.equals(plain, expected);
        } catch (DataFormatException | IllegalStateException | IllegalArgumentException _) {
            return false;
        }
    }

    /** {@code isal_inflate} and those named {@code isal_inflate_…}. */
    private record Functions(MethodHandle init, MethodHandle reset, MethodHandle setDict, MethodHandle inflate) {
        /** As {@code isal_inflate_init} does; raw deflate is its default. */
        private void initialise(MemorySegment state) {
            try {
                init.invokeExact(state);
            } catch (Throwable e) {
                throw Native.unexpected(e);
            }
        }
    }
}
