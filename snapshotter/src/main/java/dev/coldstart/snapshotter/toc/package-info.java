/**
 * Layers that come with a table of contents: eStargz, zstd:chunked, SOCI. Each origin gets the table by few ranged requests,
 * compares it with the digest by which the image (or the registry's list of referrers) names it, and makes of it the index
 * and the tree that a pass over the blob would have made.
 *
 * <p>A table is as trustworthy as who names it; what it can make us hold in memory, fetch or write is bounded. Whatever is
 * wrong with one is an {@link java.io.IOException} with one sentence, after which the layer is read as any other.
 */
@NullMarked
package dev.coldstart.snapshotter.toc;

import org.jspecify.annotations.NullMarked;
