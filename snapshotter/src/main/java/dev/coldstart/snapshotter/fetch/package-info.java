/**
 * From a missing byte to a fetched one: which spans of which layer are wanted and how much, each on its way once, neighbours
 * in one request, on as many connections as a host is worth, and every object that a span brings put into the object store.
 */
@NullMarked
package dev.coldstart.snapshotter.fetch;

import org.jspecify.annotations.NullMarked;
