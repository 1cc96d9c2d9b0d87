/**
 * The disk tier: objects by the SHA-256 of their bytes, complete ones as plain files where overlayfs finds them, partial
 * ones as sparse files with a map of what is there.
 */
@NullMarked
package dev.coldstart.snapshotter.object;

import org.jspecify.annotations.NullMarked;
