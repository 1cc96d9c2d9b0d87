/** Snapshots on a node's disk: {@link dev.coldstart.restore.store.SnapshotStore}. */
@NullMarked
package dev.coldstart.restore.store;

import org.jspecify.annotations.NullMarked;
