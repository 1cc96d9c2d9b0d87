package dev.coldstart.integration.pull;

/** What a node knows of an image that it starts. The runtime is runc's in every way, so that only images are compared. */
enum Way {
    OVERLAYFS("overlayfs", "overlayfs"),
    /** Nothing is known: the pull makes the index. */
    FIRST_EVER("coldstart, first ever", "coldstart"),
    /** Index and trace are known, and no byte is here. */
    SECOND_NODE("coldstart, second node", "coldstart"),
    /** The same, and the trace is not replayed. */
    NO_TRACE("the same, no replay", "coldstart");

    private final String title;
    private final String snapshotter;

    Way(String title, String snapshotter) {
        this.title = title;
        this.snapshotter = snapshotter;
    }

    String title() {
        return title;
    }

    String snapshotter() {
        return snapshotter;
    }
}
