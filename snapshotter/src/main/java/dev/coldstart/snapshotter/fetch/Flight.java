package dev.coldstart.snapshotter.fetch;

import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** One span on its way. */
final class Flight {
    /** Done when the objects that were open when it landed have their bytes. */
    final CompletableFuture<@Nullable Void> open = new CompletableFuture<>();

    /** Done when every object has. */
    final CompletableFuture<@Nullable Void> all = new CompletableFuture<>();

    /** The span's bytes, if the store had no room for some of them; set before {@link #open} is done. */
    volatile byte @Nullable [] bytes;

    void fail(Throwable cause) {
        open.completeExceptionally(cause);
        all.completeExceptionally(cause);
    }
}
