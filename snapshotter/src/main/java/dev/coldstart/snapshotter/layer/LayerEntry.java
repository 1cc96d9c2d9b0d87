package dev.coldstart.snapshotter.layer;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A file of a layer as a table of contents lists it. Strings have one char per byte: names in a layer are bytes.
 *
 * @param type as in a tar: {@code '0'} a regular file, {@code '1'} one more name of a file, {@code '2'} a symbolic link,
 *     {@code '3'} and {@code '4'} a character and a block device, {@code '5'} a directory, {@code '6'} a fifo
 * @param path as it stands in the layer
 * @param link target of a hard or symbolic link
 * @param mode permissions, 0 to 07777
 * @param uid owner, unsigned
 * @param gid group, unsigned
 * @param seconds modification time since 1970
 * @param nanos and its fraction
 * @param major of a device
 * @param minor of a device
 * @param xattrs extended attributes by name
 * @param size bytes of a regular file
 * @param name SHA-256 of a regular file's bytes, or a derived name; null if it has none
 */
public record LayerEntry(
        char type,
        String path,
        String link,
        int mode,
        int uid,
        int gid,
        long seconds,
        int nanos,
        int major,
        int minor,
        Map<String, byte[]> xattrs,
        long size,
        @Nullable ObjectName name) {

    /**
     * A part of a regular file that can be had on its own.
     *
     * @param blobStart offset in the blob of the gzip member or zstd frame in which it lies
     * @param blobEnd offset in the blob where that surely ends; 0 if it is not known: then it is where the next one starts
     * @param inner uncompressed bytes of the member or frame before it
     * @param size uncompressed bytes, more than 0
     * @param sha256 of these; null of zeros
     * @param zeros whether it is zeros, whatever the blob has
     */
    public record Chunk(
            long blobStart,
            long blobEnd,
            long inner,
            long size,
            @Nullable ObjectName sha256,
            boolean zeros) {}
}
