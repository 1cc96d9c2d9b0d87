/** When a container is restored or snapshotted: its annotations, its readiness, the node's configuration. */
@NullMarked
package dev.coldstart.shim.snapshot;

import org.jspecify.annotations.NullMarked;
