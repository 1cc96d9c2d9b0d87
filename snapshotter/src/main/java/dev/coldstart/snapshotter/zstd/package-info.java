/**
 * A decoder of Zstandard data (RFC 8878) in Java, which can do what libraries do not offer: stop between two blocks, tell
 * what it knows there, and go on from that.
 *
 * <p>{@code ZstdDecoder} reads frames and blocks as they arrive; {@code BlockDecoder} turns one block into literals
 * ({@code HuffmanTable}) and sequences ({@code FseTable}) and carries these out on an {@code Output}: an array with room
 * for all, or a window that keeps the last bytes only.
 *
 * <p>Data is untrusted: what is wrong with it is a {@link dev.coldstart.snapshotter.zstd.ZstdException}, nothing is read or
 * written outside of what it may, and memory is bounded by the window. Dictionaries are not supported.
 */
@NullMarked
package dev.coldstart.snapshotter.zstd;

import org.jspecify.annotations.NullMarked;
