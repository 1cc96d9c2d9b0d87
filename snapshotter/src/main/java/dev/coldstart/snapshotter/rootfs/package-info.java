/**
 * Root file systems: directories of ordinary snapshots, mounted trees of lazy ones, and the overlay mounts that put them
 * together with the tiers.
 */
@NullMarked
package dev.coldstart.snapshotter.rootfs;

import org.jspecify.annotations.NullMarked;
