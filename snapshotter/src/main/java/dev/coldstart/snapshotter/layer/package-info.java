/**
 * Layers of container images: one pass over a blob makes an index (which bytes of the blob give which objects) and a
 * tree (names and attributes); with the index any span of the layer is inflated and verified on its own.
 */
@NullMarked
package dev.coldstart.snapshotter.layer;

import org.jspecify.annotations.NullMarked;
