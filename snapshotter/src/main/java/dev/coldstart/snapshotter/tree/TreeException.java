package dev.coldstart.snapshotter.tree;

import java.io.IOException;

/** Something that no tree can hold. The message is one sentence that names the path. */
public final class TreeException extends IOException {
    private static final long serialVersionUID = 1;

    public TreeException(String message) {
        super(message);
    }
}
