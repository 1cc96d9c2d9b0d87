package dev.coldstart.snapshotter.zstd;

/** One of the three tables of sequences, in the form that the last block gave it. */
final class SequenceTable {
    /** The table that the format itself names. */
    static final int PREDEFINED = 0;
    /** A table of one symbol, which is its description. */
    static final int SINGLE = 1;
    /** A table with a description. */
    static final int DESCRIBED = 2;
    /** The table of the block before. */
    static final int REPEAT = 3;

    private final FseTable predefined;
    private final FseTable own;
    /** The table to use now. */
    FseTable table;
    /** Whether the table is the one that there was at the last mark. */
    boolean inherited;
    /** Whether that one was used since. */
    boolean needed;

    /** How the table was given; {@link #REPEAT} if there is none. */
    private int mode = REPEAT;

    SequenceTable(FseTable.Code code) {
        predefined = new FseTable(code);
        predefined.predefined();
        own = new FseTable(code);
        table = predefined;
    }

    /** A frame starts. */
    void forget() {
        mode = REPEAT;
    }

    /** Writes down the table. */
    void save(SavedState state, int which) {
        state.table(which, mode, table.description, table.descriptionLength);
        inherited = true;
        needed = false;
    }

    /** Takes the table of the next block, and returns where its description ends. */
    int read(int newMode, byte[] in, int from, int to) throws ZstdException {
        int end = from;
        switch (newMode) {
            case PREDEFINED -> table = predefined;
            case SINGLE -> {
                if (from >= to) {
                    throw new ZstdException("a table is cut off");
                }
                own.single(in[from] & 0xff);
                table = own;
                end++;
            }
            case DESCRIBED -> {
                end = own.read(in, from, to);
                table = own;
            }
            default -> {
                if (newMode != REPEAT || mode == REPEAT) {
                    throw new ZstdException("a block refers to a table that there was not");
                }
                needed |= inherited;
                return from;
            }
        }
        mode = newMode;
        inherited = false;
        return end;
    }
}
