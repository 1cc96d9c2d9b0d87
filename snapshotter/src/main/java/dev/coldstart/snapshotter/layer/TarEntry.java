package dev.coldstart.snapshotter.layer;

import java.util.Map;

/**
 * One entry of a tar. Strings have one char per byte: names in a tar are bytes.
 *
 * @param type the type flag, with {@code '5'} for the old way to write a directory
 * @param path as it stands in the tar
 * @param link target of a hard or symbolic link
 * @param stored bytes that follow in the tar
 * @param size bytes of the file; more than {@code stored} if it is sparse
 * @param mode permissions, 0 to 07777
 * @param uid owner, unsigned
 * @param gid group, unsigned
 * @param seconds modification time
 * @param nanos and its fraction
 * @param major of a device
 * @param minor of a device
 * @param xattrs by name
 * @param pieces of a sparse file the offset and length of each piece that is stored, ascending
 * @param sparse whether {@code pieces} counts
 */
@SuppressWarnings("ArrayRecordComponent") // compared by nobody
record TarEntry(
        char type,
        String path,
        String link,
        long stored,
        long size,
        int mode,
        int uid,
        int gid,
        long seconds,
        int nanos,
        int major,
        int minor,
        Map<String, byte[]> xattrs,
        boolean sparse,
        long[] pieces) {}
