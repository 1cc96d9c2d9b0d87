/**
 * What snapshots there are: names, parents, labels and kinds, kept in a log that survives a crash at any byte, and the
 * filters that containerd asks with.
 */
@NullMarked
package dev.coldstart.snapshotter.metadata;

import org.jspecify.annotations.NullMarked;
