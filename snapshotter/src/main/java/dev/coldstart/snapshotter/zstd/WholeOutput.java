package dev.coldstart.snapshotter.zstd;

/** An array with room for all that is decoded. */
final class WholeOutput extends Output {
    // More than that is not kept for the next time.
    private static final int KEPT = 4 << 20;

    private int size;

    /** Starts anew, with room for so many bytes. */
    void begin(int room) {
        if (bytes.length < room + SLACK || bytes.length > KEPT) {
            bytes = new byte[room + SLACK];
        }
        size = room;
        at = 0;
        reach = 0;
    }

    @Override
    int room(int most) {
        return Math.min(size - at, most) + at;
    }

    @Override
    void startFrame(long windowSize) {
        reach = at;
    }

    @Override
    void farther(int position, int offset, int length) throws ZstdException {
        throw new ZstdException("a match refers to bytes before the frame");
    }
}
