/**
 * A generated image that comes over TLS from this process to itself: what a fresh daemon compiles its code with, and what its
 * AOT cache is recorded with.
 */
@NullMarked
package dev.coldstart.snapshotter.rehearsal;

import org.jspecify.annotations.NullMarked;
