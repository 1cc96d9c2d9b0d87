/**
 * From a missing byte to a fetched one: which spans of which layer a read needs, single flight for each, adjacent ones in
 * one request, read-ahead behind demand, and every object that a span brings put into the object store.
 */
@NullMarked
package dev.coldstart.snapshotter.fetch;

import org.jspecify.annotations.NullMarked;
