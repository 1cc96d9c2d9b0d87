/** Indexes that one node made, for the others: from node to node, and as artifacts in the image's repository. */
@NullMarked
package dev.coldstart.snapshotter.sharing;

import org.jspecify.annotations.NullMarked;
