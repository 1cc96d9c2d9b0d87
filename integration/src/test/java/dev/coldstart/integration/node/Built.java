package dev.coldstart.integration.node;

import dev.coldstart.integration.host.HostException;
import dev.coldstart.integration.host.Repository;
import dev.coldstart.integration.host.TestHost;
import org.opentest4j.TestAbortedException;

/** Clients, where they can be built. */
final class Built {
    private Built() {}

    /** Their programs for a host; skips the test, with the reason, where they cannot be had. */
    static TestHost.Bind orSkip(Clients clients, Repository repository) {
        try {
            return clients.bind(repository);
        } catch (HostException e) {
            throw new TestAbortedException(e.getMessage(), e);
        }
    }
}
