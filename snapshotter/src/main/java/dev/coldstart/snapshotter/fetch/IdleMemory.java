package dev.coldstart.snapshotter.fetch;

import java.time.Duration;

/**
 * Gives memory back that reads have left behind, once they are over: pages of the indexes of layers that nobody reads any
 * more, and buffers of requests.
 */
public final class IdleMemory implements AutoCloseable {
    /** Reading an index again costs page faults only, so this need not be long. */
    private static final Duration REST = Duration.ofSeconds(2);

    private final Thread thread;

    private IdleMemory(KnownLayers layers, SpanFetcher fetcher) {
        thread = Thread.ofVirtual().name("idle-memory").unstarted(() -> {
            try {
                while (true) {
                    Thread.sleep(REST);
                    layers.rest();
                    fetcher.rest();
                }
            } catch (InterruptedException e) {
                // Closed.
                Thread.currentThread().interrupt();
            }
        });
    }

    /** Looks every two seconds until it is closed. */
    public static IdleMemory watch(KnownLayers layers, SpanFetcher fetcher) {
        IdleMemory watch = new IdleMemory(layers, fetcher);
        watch.thread.start();
        return watch;
    }

    @Override
    public void close() {
        thread.interrupt();
    }
}
