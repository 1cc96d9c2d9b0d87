package dev.coldstart.snapshotter.fetch;

import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** One span on its way, or waiting for it. */
final class Flight {
    final KnownLayer layer;
    final int span;
    /** When it was first wanted, by {@link System#nanoTime}. */
    final long since = System.nanoTime();

    /** Done when the objects that were open when it landed have their bytes. */
    final CompletableFuture<@Nullable Void> open = new CompletableFuture<>();

    /** Done when every object has. */
    final CompletableFuture<@Nullable Void> all = new CompletableFuture<>();

    /** The span's bytes, if the store had no room for some of them; set before {@link #open} is done. */
    volatile byte @Nullable [] bytes;

    /** Guarded by the scheduler's lock, as is what follows. */
    Priority priority;

    final HostQueue host;
    /** Null while it is queued. */
    @Nullable
    Transfer transfer;

    Flight(KnownLayer layer, int span, Priority priority, HostQueue host) {
        this.layer = layer;
        this.span = span;
        this.priority = priority;
        this.host = host;
    }

    void fail(Throwable cause) {
        open.completeExceptionally(cause);
        all.completeExceptionally(cause);
    }
}
