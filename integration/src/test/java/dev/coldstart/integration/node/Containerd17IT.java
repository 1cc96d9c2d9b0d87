package dev.coldstart.integration.node;

import dev.coldstart.integration.host.Suite;

/** Debian 13: containerd 1.7, runc 1.1. */
class Containerd17IT extends ModelServerScenarios {
    Containerd17IT() {
        super(Suite.TRIXIE, "t17");
    }
}
