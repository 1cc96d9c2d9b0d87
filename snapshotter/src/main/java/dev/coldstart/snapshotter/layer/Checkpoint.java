package dev.coldstart.snapshotter.layer;

/**
 * Where a span starts and what is needed to start there.
 *
 * @param out offset in the uncompressed tar
 * @param in offset in the blob behind the last byte touched before
 * @param bits how many upper bits of that byte are still to be read, 0 to 7
 * @param window the up to 32 KiB before {@code out} that deflate data may refer to
 */
@SuppressWarnings("ArrayRecordComponent") // compared by nobody
record Checkpoint(long out, long in, int bits, byte[] window) {}
