/**
 * Layers of container images: one pass over a blob makes an index (which bytes of the blob give which objects) and a
 * tree (names and attributes); with the index any span of the layer is inflated and verified on its own.
 *
 * <p>The pass is two threads. {@code BlobReader}, on the caller's, hashes the blob and decompresses it block by block, by
 * libz or {@link dev.coldstart.snapshotter.zstd}, for such data can be entered only between two blocks; {@code TarStream} and {@code TarReader}, on the other,
 * hash what comes out (the whole, each span, each file) and read it as a tar; a {@code Pipe} of a few buffers lies
 * between. {@code IndexFile} and {@link dev.coldstart.snapshotter.tree.TreeWriter} write the results, which get their
 * names only when both digests are right.
 *
 * <p>Where somebody else has listed a layer's files, {@code ChunkedLayer} and {@code CheckpointedLayer} make index and tree
 * of the list, and no pass is needed.
 *
 * <p>Blobs and index files are untrusted: anything wrong with them is a {@link
 * dev.coldstart.snapshotter.layer.LayerException}, and what they can make us hold in memory is bounded.
 */
@NullMarked
package dev.coldstart.snapshotter.layer;

import org.jspecify.annotations.NullMarked;
