package dev.coldstart.snapshotter.layer;

import java.nio.file.Path;

/**
 * What {@link LayerIndexer} made of a blob.
 *
 * @param layer digest of the blob, as verified
 * @param diffId digest of the uncompressed tar, as computed
 * @param blobSize bytes of the blob
 * @param uncompressedSize bytes of the tar
 * @param inodes files, directories and so on in the tree, the root included
 * @param objects distinct objects the layer's files refer to
 * @param spans independently inflatable pieces
 * @param index the index file
 * @param tree the EROFS file
 */
public record IndexedLayer(
        Digest layer,
        Digest diffId,
        long blobSize,
        long uncompressedSize,
        int inodes,
        int objects,
        int spans,
        Path index,
        Path tree) {}
