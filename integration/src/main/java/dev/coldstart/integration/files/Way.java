package dev.coldstart.integration.files;

/** A way to serve the same files as a container's root. */
enum Way {
    /** containerd's own snapshotter. */
    NATIVE("overlayfs on ext4"),
    /** All objects on disk. */
    LOCAL("ours, local"),
    /** Nothing here but indexes and trees. */
    REMOTE("ours, from the registry"),
    /** All bytes on disk, all reads through the remote tier, as for inodes that were looked up before the bytes came. */
    PARTIAL("ours, remote tier"),
    /** Whole trees through jnr-fuse, all objects on disk. */
    JNR("ours, jnr-fuse"),
    /** An uncompressed image of the same files under an overlay, served by a FUSE daemon written in C. */
    SQUASHFUSE("squashfuse_ll");

    private final String title;

    Way(String title) {
        this.title = title;
    }

    String title() {
        return title;
    }

    /** Where its root is mounted in the node. */
    String root() {
        return "/mnt/" + name().toLowerCase(java.util.Locale.ROOT);
    }
}
