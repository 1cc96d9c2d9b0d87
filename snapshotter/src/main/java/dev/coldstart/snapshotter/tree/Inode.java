package dev.coldstart.snapshotter.tree;

import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A file of a tree under construction. */
final class Inode {
    Attributes attributes;
    Content content;

    /** Entries of a directory by name, without {@code .} and {@code ..}; null for anything else. */
    final @Nullable Map<String, Inode> children;

    /** The same for {@link TreeWriter}: in order, with {@code .} and {@code ..}; null before it was walked. */
    @Nullable
    Listing listing;

    /** A directory that the layer has no entry for. */
    boolean implied;

    /** Directory entries that lead here; for a directory 1. */
    int names;

    /** The layer has a whiteout for this name: nothing of the layers below shows through. */
    boolean opaque;

    /** Where {@link TreeWriter} puts it: number from 1 in the order of the walk, 0 before it was met. */
    int number;

    long offset;
    long block;
    long dataSize;
    boolean tail;

    Inode(Attributes attributes, Content content) {
        this.attributes = attributes;
        this.content = content;
        children = content instanceof Content.Directory ? new HashMap<>() : null;
    }

    boolean isWhiteout() {
        return content instanceof Content.Device device
                && !device.block()
                && device.major() == 0
                && device.minor() == 0;
    }
}
