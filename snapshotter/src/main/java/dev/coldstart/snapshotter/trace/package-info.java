/**
 * What starts of containers read: recorded by layer, kept beside the layers' indexes, and fetched in that order when a later
 * start needs it.
 */
@NullMarked
package dev.coldstart.snapshotter.trace;

import org.jspecify.annotations.NullMarked;
