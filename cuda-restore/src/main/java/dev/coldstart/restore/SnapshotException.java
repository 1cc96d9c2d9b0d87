package dev.coldstart.restore;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** A snapshot that could not be taken: one clear sentence. The container runs on. */
public final class SnapshotException extends IOException {
    private static final long serialVersionUID = 1;

    private final boolean passing;

    public SnapshotException(String sentence) {
        this(sentence, false);
    }

    /** @param passing whether what was in the way passes by itself, so that it is worth to try again in a moment */
    public SnapshotException(String sentence, boolean passing) {
        super(sentence);
        this.passing = passing;
    }

    public SnapshotException(String sentence, @Nullable Throwable cause) {
        super(sentence, cause);
        this.passing = false;
    }

    /** Whether what was in the way passes by itself, such as a connection that was just being made. */
    public boolean passing() {
        return passing;
    }
}
