package dev.coldstart.integration.start;

/** One start in every way. */
record Run(Start overlayfs, Start lazy, Start restore) {
    Start of(Way way) {
        return switch (way) {
            case OVERLAYFS -> overlayfs;
            case LAZY -> lazy;
            case RESTORE -> restore;
        };
    }
}
