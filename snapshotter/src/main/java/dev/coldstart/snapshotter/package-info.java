/** coldstart-snapshotter: lazy root file systems for containerd, the node's object store and its agent. */
@NullMarked
package dev.coldstart.snapshotter;

import org.jspecify.annotations.NullMarked;
