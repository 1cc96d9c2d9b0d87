/**
 * Checkpoint and restore of containers: {@link dev.coldstart.restore.Checkpointer} takes a snapshot of a running
 * container, {@link dev.coldstart.restore.Restorer} starts a new container from one, and
 * {@link dev.coldstart.restore.WritableLayer} puts the files it had written back under its root file system.
 */
@NullMarked
package dev.coldstart.restore;

import org.jspecify.annotations.NullMarked;
