package dev.coldstart.snapshotter.zstd;

import java.util.Arrays;

/**
 * The last bytes decoded, as many as matches may refer to, in an array that is used round about. A block's bytes lie in one
 * piece; behind them, until the next turn, is what is left of the turn before.
 *
 * <p>Notes, in the order of their use, the bytes that matches take from before a mark: whoever has these can carry out the
 * matches behind the mark without the window.
 */
final class WindowOutput extends Output {
    /** The most a frame's window may have: what the reference program takes without being asked for more. */
    static final int MAX_WINDOW = 128 << 20;

    private static final int BLOCK = BlockDecoder.MAX_BLOCK + SLACK;

    private int window;
    /** Where the array has to end a turn, or as long as that it cannot: before the first turn it grows. */
    private int wanted;
    /** Offset in all that was decoded of the first byte of the array, as the turn now is. */
    private long base;
    /** The same for the turn before. */
    private long oldBase;
    /** Where the frame starts. */
    private long frameStart;

    private long mark;
    private byte[] noted = new byte[1 << 16];
    private int notedLength;

    /** Offset of the next byte in all that was decoded. */
    long position() {
        return base + at;
    }

    /** From now on notes what matches take from before here. */
    void mark() {
        mark = position();
        notedLength = 0;
        noted = noted.length > 4 << 20 ? new byte[1 << 16] : noted;
        reach = at;
    }

    /** How many bytes matches took from before the mark, the same one as often as it was taken. */
    int notedLength() {
        return notedLength;
    }

    /** Copies what was noted. */
    void noted(byte[] into, int from) {
        System.arraycopy(noted, 0, into, from, notedLength);
    }

    @Override
    void startFrame(long windowSize) throws ZstdException {
        if (windowSize > MAX_WINDOW) {
            throw new ZstdException("a frame needs a window of " + windowSize + " bytes, and more than "
                    + (MAX_WINDOW >> 20) + " MiB are not supported");
        }
        base += at;
        at = 0;
        reach = 0;
        frameStart = base;
        window = (int) windowSize;
        wanted = window + 2 * BLOCK;
    }

    @Override
    int room(int most) {
        if (at > bytes.length - BLOCK) {
            if (bytes.length < wanted) {
                bytes = Arrays.copyOf(bytes, (int) Math.min(wanted, Math.max(2L * bytes.length, 8 * BLOCK)));
            } else {
                oldBase = base;
                base += at;
                at = 0;
            }
        }
        reach = (int) Math.max(0, Math.max(mark - base, at - window));
        return at + most;
    }

    @Override
    void farther(int position, int offset, int length) throws ZstdException {
        long to = base + position;
        if (offset <= 0 || offset > window || offset > to - frameStart) {
            throw new ZstdException("a match refers to bytes that are not in the window");
        }
        long from = to - offset;
        int old = 0;
        if (from < base) {
            // Still there from the turn before: the array has room for the window and this block.
            old = (int) Math.min(length, base - from);
            System.arraycopy(bytes, (int) (from - oldBase), bytes, position, old);
        }
        if (old < length) {
            BlockDecoder.copy(bytes, position + old, offset, length - old);
        }
        if (from < mark) {
            note(position, (int) Math.min(length, mark - from));
        }
    }

    private void note(int position, int length) {
        if (noted.length - notedLength < length) {
            noted = Arrays.copyOf(noted, Math.max(2 * noted.length, notedLength + length));
        }
        System.arraycopy(bytes, position, noted, notedLength, length);
        notedLength += length;
    }
}
