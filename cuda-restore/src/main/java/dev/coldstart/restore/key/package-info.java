/** What a snapshot is of, and where it may be restored: {@link dev.coldstart.restore.key.SnapshotKey}. */
@NullMarked
package dev.coldstart.restore.key;

import org.jspecify.annotations.NullMarked;
