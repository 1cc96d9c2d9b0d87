/**
 * The remote tier: a flat FUSE file system in which every object of every known layer exists as {@code ab/cdef…} and is
 * fetched when it is read.
 */
@NullMarked
package dev.coldstart.snapshotter.fuse;

import org.jspecify.annotations.NullMarked;
