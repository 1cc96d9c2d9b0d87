package dev.coldstart.integration.pull;

import dev.coldstart.integration.start.Start;

/**
 * One start of an image and a read of all its files.
 *
 * @param start up to the first answer
 * @param allReadSeconds from the command to the last byte of the last file
 * @param allReadBytes that came from the registry until then
 * @param digest of the names and bytes of all files
 * @param containerdSeconds processor time of containerd until then
 * @param snapshotterSeconds processor time of coldstart-snapshotter
 * @param registrySeconds processor time of the registry
 */
record Measurement(
        Start start,
        double allReadSeconds,
        long allReadBytes,
        String digest,
        double containerdSeconds,
        double snapshotterSeconds,
        double registrySeconds) {
    /** From the command to the first answer. */
    double answerSeconds() {
        return start.seconds();
    }
}
