package dev.coldstart.snapshotter.registry;

import java.util.List;

/** Knows credentials. Waits for a bounded time only; what goes wrong is in the log, without the secrets. */
@FunctionalInterface
interface Keychain {
    /**
     * What may open a repository, the likeliest first.
     *
     * @param host HOST[:PORT]; docker.io for that
     */
    List<Credential> find(String host, String repository);
}
