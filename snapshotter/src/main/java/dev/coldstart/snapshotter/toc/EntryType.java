package dev.coldstart.snapshotter.toc;

import dev.coldstart.snapshotter.layer.LayerException;
import dev.coldstart.snapshotter.tree.Tree;

/** The words that all tables of contents have for kinds of files. */
final class EntryType {
    private static final long MAX_ID = 0xffff_fffeL;

    private EntryType() {}

    /** The type flag of such a file in a tar. */
    static char tar(String type) throws LayerException {
        return switch (type) {
            case "reg" -> '0';
            case "hardlink" -> '1';
            case "symlink" -> '2';
            case "char" -> '3';
            case "block" -> '4';
            case "dir" -> '5';
            case "fifo" -> '6';
            default -> throw new LayerException("a file is of the unknown type " + Tree.printable(type));
        };
    }

    /** Refuses numbers that do not fit into those of Linux: a device's have 12 and 20 bits (new_encode_dev() of the kernel). */
    static void check(long uid, long gid, long major, long minor) throws LayerException {
        if (uid < 0
                || uid > MAX_ID
                || gid < 0
                || gid > MAX_ID
                || major < 0
                || major >= 1 << 12
                || minor < 0
                || minor >= 1 << 20) {
            throw new LayerException("a file has an owner or a device number that Linux has not");
        }
    }
}
