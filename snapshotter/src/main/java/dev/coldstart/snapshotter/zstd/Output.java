package dev.coldstart.snapshotter.zstd;

/**
 * Where decoded bytes go, and where matches take theirs from. What a match most often means lies in the same array, from
 * {@code reach} on; the rest is up to {@link #farther}.
 */
abstract class Output {
    /** Bytes behind {@code limit} that may be written, with anything. */
    static final int SLACK = 32;

    byte[] bytes = {};
    /** Where the next byte goes. */
    int at;
    /** The first byte that a match may refer to without {@link #farther}. */
    int reach;

    /**
     * Makes room for a block.
     *
     * @param most bytes that it can have
     * @return where they have to end: at most that much behind {@code at}, and {@code SLACK} before the end of the array
     */
    abstract int room(int most);

    /** A frame starts: nothing before is referred to any more. */
    abstract void startFrame(long windowSize) throws ZstdException;

    /**
     * Carries out a match that starts before {@code reach}, to {@code position} in the array, where there is room for it.
     *
     * @param offset how far back it starts; anything, 0 and below included
     */
    abstract void farther(int position, int offset, int length) throws ZstdException;
}
