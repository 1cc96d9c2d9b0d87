package dev.coldstart.integration.node;

import dev.coldstart.integration.host.Suite;

/** nerdctl and the CRI on Debian 13: containerd 1.7, runc 1.1. */
class Clients17IT extends RuntimeScenarios {
    Clients17IT() {
        super(Suite.TRIXIE, "cl17");
    }
}
