package dev.coldstart.snapshotter.zstd;

/**
 * An array with room for all that is decoded. What matches take from before it, if there is anything, comes in the order of
 * its use: see {@link WindowOutput}.
 */
final class WholeOutput extends Output {
    // More than that is not kept for the next time.
    private static final int KEPT = (4 << 20) + SLACK;

    private int size;
    private byte[] history = {};
    private int historyAt;
    private int historyEnd;

    /** Starts anew, with room for so many bytes. */
    void begin(int room) {
        if (bytes.length < room + SLACK || bytes.length > KEPT) {
            bytes = new byte[room + SLACK];
        }
        size = room;
        at = 0;
        reach = 0;
        historyEnd = 0;
        historyAt = 0;
    }

    /** Says what matches take from before the first byte; {@code SLACK} more bytes have to follow in the array. */
    void history(byte[] noted, int from, int to) {
        history = noted;
        historyAt = from;
        historyEnd = to;
    }

    @Override
    int room(int most) {
        return Math.min(size - at, most) + at;
    }

    @Override
    void startFrame(long windowSize) {
        reach = at;
        historyEnd = historyAt;
    }

    @Override
    void farther(int position, int offset, int length) throws ZstdException {
        int before = Math.min(offset - (position - reach), length);
        if (offset <= 0 || before > historyEnd - historyAt) {
            throw new ZstdException("a match refers to bytes before the start");
        }
        LittleEndian.copy(history, historyAt, bytes, position, before);
        historyAt += before;
        if (before < length) {
            BlockDecoder.copy(bytes, position + before, offset, length - before);
        }
    }
}
