package dev.coldstart.snapshotter.zstd;

/**
 * What a decoder knows between two blocks of a frame, but for the bytes before them: in memory in pieces, because it turns
 * out later which tables are needed, and as bytes:
 *
 * <pre>
 *  0   1  1 if a checksum follows the frame's last block
 *  1  12  the last three offsets, newest first, little-endian
 * 13      the tables of literals, lengths of literals, offsets and lengths of matches; each
 *           0  1  how it is given: 0 predefined, 1 one symbol, 2 described, 3 not at all
 *           1  1  n
 *           2  n  its description, as in a block
 * </pre>
 */
final class SavedState {
    /** More than a state ever takes. */
    static final int MAX = 640;

    private static final int TABLES = 4;

    private boolean checksum;
    private final byte[] offsets = new byte[16];
    private final int[] modes = new int[TABLES];
    private final int[] lengths = new int[TABLES];
    private final byte[][] descriptions = new byte[TABLES][128];

    void checksum(boolean follows) {
        checksum = follows;
    }

    void offsets(int last1, int last2, int last3) {
        LittleEndian.putLong(offsets, 0, (last1 & 0xffff_ffffL) | (long) last2 << 32);
        LittleEndian.putLong(offsets, 8, last3 & 0xffff_ffffL);
    }

    void table(int which, int mode, byte[] description, int length) {
        modes[which] = mode;
        lengths[which] = mode == SequenceTable.REPEAT ? 0 : length;
        System.arraycopy(description, 0, descriptions[which], 0, lengths[which]);
    }

    /** Drops a table that was not needed. */
    void need(int which, boolean needed) {
        if (!needed) {
            modes[which] = SequenceTable.REPEAT;
            lengths[which] = 0;
        }
    }

    /** Writes it all and returns where it ends, {@link #MAX} bytes further at most. */
    int write(byte[] into, int from) {
        into[from] = (byte) (checksum ? 1 : 0);
        System.arraycopy(offsets, 0, into, from + 1, 12);
        int at = from + 13;
        for (int i = 0; i < TABLES; i++) {
            into[at++] = (byte) modes[i];
            into[at++] = (byte) lengths[i];
            System.arraycopy(descriptions[i], 0, into, at, lengths[i]);
            at += lengths[i];
        }
        return at;
    }
}
