package dev.coldstart.snapshotter.zstd;

/** One of the three tables of sequences, in the form that the last block gave it. */
final class SequenceTable {
    static final int PREDEFINED = 0;
    static final int SINGLE = 1;
    static final int DESCRIBED = 2;
    static final int REPEAT = 3;

    private final FseTable predefined;
    private final FseTable own;
    /** The table to use now; the predefined one if there was none. */
    FseTable table;
    /** How it was given, one of the constants; {@link #REPEAT} if there is none. */
    int mode = REPEAT;

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

    /** Takes the table of the next block, and returns where its description ends. */
    int read(int newMode, byte[] in, int from, int to) throws ZstdException {
        switch (newMode) {
            case PREDEFINED -> table = predefined;
            case SINGLE -> {
                if (from >= to) {
                    throw new ZstdException("a table is cut off");
                }
                own.single(in[from] & 0xff);
                table = own;
                mode = newMode;
                return from + 1;
            }
            case DESCRIBED -> {
                int end = own.read(in, from, to);
                table = own;
                mode = newMode;
                return end;
            }
            default -> {
                if (mode == REPEAT) {
                    throw new ZstdException("a block refers to a table that there was not");
                }
                return from;
            }
        }
        mode = newMode;
        return from;
    }
}
