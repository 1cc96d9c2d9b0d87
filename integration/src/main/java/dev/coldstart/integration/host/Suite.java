package dev.coldstart.integration.host;

/** The Debian a test host is made of. */
public enum Suite {
    /** Debian 13: containerd 1.7, runc 1.1. */
    TRIXIE("trixie"),
    /** Unstable: containerd 2, runc 1.3. */
    SID("sid");

    private final String codename;

    Suite(String codename) {
        this.codename = codename;
    }

    public String codename() {
        return codename;
    }
}
