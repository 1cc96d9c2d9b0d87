/**
 * What containerd's content store tells about a snapshot's name: manifests and configurations are fetched before layers,
 * so a chain ID can be traced to the layer's blob and to the registry that has it.
 */
@NullMarked
package dev.coldstart.snapshotter.content;

import org.jspecify.annotations.NullMarked;
