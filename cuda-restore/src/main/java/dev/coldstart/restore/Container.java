package dev.coldstart.restore;

import java.nio.file.Path;
import java.util.List;

/**
 * A container as its shim knows it.
 *
 * @param namespace containerd's namespace
 * @param id the id runc knows it by
 * @param bundle its OCI bundle; logs of failed operations are kept there
 * @param lowerdirs the lower layers of its overlay root file system, topmost first, as mounted
 * @param upperdir the writable layer of its overlay root file system
 * @param terminal whether its stdio is a terminal
 */
public record Container(
        String namespace, String id, Path bundle, List<Path> lowerdirs, Path upperdir, boolean terminal) {
    public Container {
        lowerdirs = List.copyOf(lowerdirs);
    }
}
