package dev.coldstart.integration.node;

import dev.coldstart.integration.host.Suite;

/** nerdctl and the CRI on unstable: containerd 2, runc 1.3. */
class Clients2IT extends RuntimeScenarios {
    Clients2IT() {
        super(Suite.SID, "cl2");
    }
}
