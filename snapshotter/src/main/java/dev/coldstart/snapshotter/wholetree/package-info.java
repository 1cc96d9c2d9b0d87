/**
 * The other way to serve a layer, for kernels whose overlayfs has no data-only lower layers: a FUSE file system of the
 * whole tree, over jnr-fuse and libfuse 2, whose files are read from the tree and from the object store. A stack of them
 * is lower layers of a plain overlay.
 */
@NullMarked
package dev.coldstart.snapshotter.wholetree;

import org.jspecify.annotations.NullMarked;
