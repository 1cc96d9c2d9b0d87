package dev.coldstart.snapshotter.fetch;

import dev.coldstart.snapshotter.layer.Digest;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Predicate;

/** Blobs in memory, of which a test says when they answer. */
public final class HeldSource implements BlobSource {
    private final Map<Digest, byte[]> blobs = new HashMap<>();
    private final List<Request> requests = new ArrayList<>();
    private Predicate<Request> held = request -> false;
    private Predicate<Request> failing = request -> false;
    private Random delays = new Random(0);
    private int mostDelay;
    private int abandoned;

    /** What was asked. */
    public record Request(Digest layer, long from, long to, boolean elsewhere) {}

    public synchronized void blob(Digest layer, byte[] bytes) {
        blobs.put(layer, bytes);
    }

    /** From now on these are not answered, until another call says otherwise. */
    public synchronized void hold(Predicate<Request> which) {
        held = which;
        notifyAll();
    }

    public synchronized void fail(Predicate<Request> which) {
        failing = which;
    }

    /** Answers come after 0 to {@code most} milliseconds. */
    public synchronized void delay(long seed, int most) {
        delays = new Random(seed);
        mostDelay = most;
    }

    public synchronized List<Request> requests() {
        return List.copyOf(requests);
    }

    /** Requests that were interrupted while they were held. */
    public synchronized int abandoned() {
        return abandoned;
    }

    /** Waits until so many requests came. */
    public synchronized void await(int count) throws InterruptedException {
        while (requests.size() < count) {
            wait(100);
        }
    }

    @Override
    public InputStream open(Digest layer, long from, long to) throws IOException {
        return open(new Request(layer, from, to, false));
    }

    @Override
    public InputStream openElsewhere(Digest layer, long from, long to) throws IOException {
        return open(new Request(layer, from, to, true));
    }

    private InputStream open(Request request) throws IOException {
        try {
            int delay;
            byte[] blob;
            synchronized (this) {
                requests.add(request);
                notifyAll();
                while (held.test(request)) {
                    wait();
                }
                if (failing.test(request)) {
                    throw new IOException("this source fails");
                }
                delay = mostDelay == 0 ? 0 : delays.nextInt(mostDelay + 1);
                blob = blobs.get(request.layer());
            }
            if (delay > 0) {
                Thread.sleep(delay);
            }
            if (blob == null) {
                throw new IOException("no such blob");
            }
            return new ByteArrayInputStream(Arrays.copyOfRange(blob, (int) request.from(), (int) request.to()));
        } catch (InterruptedException e) {
            synchronized (this) {
                abandoned++;
            }
            Thread.currentThread().interrupt();
            throw (IOException) new InterruptedIOException("interrupted").initCause(e);
        }
    }
}
