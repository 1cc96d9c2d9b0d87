package dev.coldstart.integration.node;

import dev.coldstart.integration.host.Suite;

/** Unstable: containerd 2, runc 1.3. */
class Containerd2IT extends ModelServerScenarios {
    Containerd2IT() {
        super(Suite.SID, "t2");
    }
}
