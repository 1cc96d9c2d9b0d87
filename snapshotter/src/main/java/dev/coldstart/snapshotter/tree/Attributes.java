package dev.coldstart.snapshotter.tree;

import java.util.List;

/**
 * What {@code stat} tells of a file besides its kind and size.
 *
 * @param permissions mode without the kind, 0 to 07777
 * @param uid owner, unsigned
 * @param gid group, unsigned
 * @param seconds modification time since 1970
 * @param nanos and nanoseconds, 0 to 999999999
 * @param xattrs extended attributes, each name once
 */
public record Attributes(int permissions, int uid, int gid, long seconds, int nanos, List<Xattr> xattrs) {
    /** Of a directory that a layer has no entry for. */
    static final Attributes IMPLIED = new Attributes(0755, 0, 0, 0, 0, List.of());
}
