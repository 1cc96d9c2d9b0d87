package dev.coldstart.restore;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** A snapshot that could not be taken: one clear sentence. The container runs on. */
public final class SnapshotException extends IOException {
    private static final long serialVersionUID = 1;

    public SnapshotException(String sentence) {
        super(sentence);
    }

    public SnapshotException(String sentence, @Nullable Throwable cause) {
        super(sentence, cause);
    }
}
