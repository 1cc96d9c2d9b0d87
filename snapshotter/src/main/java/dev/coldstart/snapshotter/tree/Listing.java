package dev.coldstart.snapshotter.tree;

import java.util.Arrays;
import java.util.Map;
import java.util.Objects;

/**
 * A directory's entries in the order that the kernel searches by (of unsigned bytes), with {@code .} and {@code ..}.
 *
 * @param names names, a byte per char, so that the order of chars is that of bytes
 * @param inodes what each leads to
 */
@SuppressWarnings("ArrayRecordComponent") // compared by nobody
record Listing(String[] names, Inode[] inodes) {
    // Strings of a large directory lie all over the heap: comparing words that begin as they do takes a third of the
    // time.
    private static final int WORDS = 64;
    private static final int KEY = 5;

    static Listing of(Inode directory, Inode parent) {
        Map<String, Inode> children = directory.children;
        if (children == null) {
            throw new IllegalArgumentException("not a directory");
        }
        String[] sorted = sort(children.keySet().toArray(String[]::new));
        String[] names = new String[sorted.length + 2];
        Inode[] inodes = new Inode[names.length];
        int at = 0;
        int next = 0;
        for (String dot : new String[] {".", ".."}) {
            while (next < sorted.length && sorted[next].compareTo(dot) < 0) {
                names[at++] = sorted[next++];
            }
            inodes[at] = dot.length() == 1 ? directory : parent;
            names[at++] = dot;
        }
        System.arraycopy(sorted, next, names, at, sorted.length - next);
        for (int i = 0; i < names.length; i++) {
            if (inodes[i] == null) {
                inodes[i] = Objects.requireNonNull(children.get(names[i]));
            }
        }
        return new Listing(names, inodes);
    }

    private static String[] sort(String[] names) {
        if (names.length < WORDS) {
            Arrays.sort(names);
            return names;
        }
        int shared = names[0].length();
        for (String name : names) {
            int same = 0;
            while (same < Math.min(shared, name.length()) && name.charAt(same) == names[0].charAt(same)) {
                same++;
            }
            shared = same;
        }
        // The next bytes of the name, then its index.
        long[] words = new long[names.length];
        for (int i = 0; i < names.length; i++) {
            long word = 0;
            for (int k = shared; k < shared + KEY; k++) {
                word = (word << 8) | (k < names[i].length() ? names[i].charAt(k) : 0);
            }
            words[i] = (word << TreeWriter.NUMBER_BITS) | i;
        }
        Arrays.sort(words);
        String[] sorted = new String[names.length];
        int first = 0;
        for (int i = 0; i < names.length; i++) {
            sorted[i] = names[(int) words[i] & TreeWriter.NUMBERS];
            if (i + 1 == names.length
                    || words[i] >>> TreeWriter.NUMBER_BITS != words[i + 1] >>> TreeWriter.NUMBER_BITS) {
                if (i > first) {
                    Arrays.sort(sorted, first, i + 1);
                }
                first = i + 1;
            }
        }
        return sorted;
    }
}
