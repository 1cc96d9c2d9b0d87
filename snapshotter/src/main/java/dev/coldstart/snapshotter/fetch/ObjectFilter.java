package dev.coldstart.snapshotter.fetch;

import dev.coldstart.snapshotter.layer.LayerIndex;
import dev.coldstart.snapshotter.layer.ObjectName;

/**
 * Says of most objects that a layer does not have them, without a look at its index: a look-up that asks all layers would
 * otherwise bring a part of every index into memory. A Bloom filter of 16 bits for each object, in blocks of one cache line
 * (Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters"); a name is a hash already. About one of a
 * thousand absent objects may be there, as far as it can tell.
 */
final class ObjectFilter {
    private static final int BITS_PER_OBJECT = 16;
    private static final int BLOCK_WORDS = 8;
    /** As many as words of nine bits, which say a bit's place in a block, can be had from one word of the name. */
    private static final int BITS_SET = 7;

    private final long[] words;
    private final int blocks;

    ObjectFilter(LayerIndex index) {
        long bits = (long) index.objectCount() * BITS_PER_OBJECT;
        blocks = (int) (bits / (64 * BLOCK_WORDS)) + 1;
        words = new long[blocks * BLOCK_WORDS];
        for (int row = 0; row < index.objectCount(); row++) {
            ObjectName name = index.objectName(row);
            int block = block(name);
            long places = name.d();
            for (int i = 0; i < BITS_SET; i++) {
                words[block + word(places)] |= 1L << places;
                places >>>= 9;
            }
        }
    }

    /** False if the layer does not have the object. Does not allocate. */
    boolean mayHave(ObjectName name) {
        int block = block(name);
        long places = name.d();
        for (int i = 0; i < BITS_SET; i++) {
            if ((words[block + word(places)] & (1L << places)) == 0) {
                return false;
            }
            places >>>= 9;
        }
        return true;
    }

    private int block(ObjectName name) {
        return (int) (((name.c() >>> 32) * blocks) >>> 32) * BLOCK_WORDS;
    }

    /** A shift takes the lowest six bits; the three above them choose the word. */
    private static int word(long places) {
        return (int) (places >>> 6) & (BLOCK_WORDS - 1);
    }
}
