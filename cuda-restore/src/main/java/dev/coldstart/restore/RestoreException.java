package dev.coldstart.restore;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * A restore that failed before the process resumed: one clear sentence. The container can be started normally after
 * {@code runc delete --force}.
 */
public final class RestoreException extends IOException {
    private static final long serialVersionUID = 1;

    public RestoreException(String sentence) {
        super(sentence);
    }

    public RestoreException(String sentence, @Nullable Throwable cause) {
        super(sentence, cause);
    }
}
