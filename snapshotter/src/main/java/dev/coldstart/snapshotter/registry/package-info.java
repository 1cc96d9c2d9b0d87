/** Image registries (OCI distribution API): manifests, and ranges of blobs, with the errors a user can act on. */
@NullMarked
package dev.coldstart.snapshotter.registry;

import org.jspecify.annotations.NullMarked;
