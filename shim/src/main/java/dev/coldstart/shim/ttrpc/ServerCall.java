package dev.coldstart.shim.ttrpc;

import static java.lang.System.Logger.Level.WARNING;

import com.google.protobuf.InvalidProtocolBufferException;
import dev.coldstart.proto.ttrpc.KeyValue;
import dev.coldstart.proto.ttrpc.Request;
import dev.coldstart.shim.log.LateLogger;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import jdk.net.UnixDomainPrincipal;
import org.jspecify.annotations.Nullable;

/** A request on its own thread, answered once: by its handler, or by what ends it before. */
abstract class ServerCall implements Call, Runnable {
    private static final System.Logger LOG = new LateLogger(ServerCall.class);

    private static final ThreadFactory THREADS =
            Thread.ofVirtual().name("request").factory();

    final int stream;
    final Request request;
    final Thread thread = THREADS.newThread(this);
    private final UnixDomainPrincipal peer;
    private @Nullable Future<?> timer;

    ServerCall(int stream, Request request, UnixDomainPrincipal peer) {
        this.stream = stream;
        this.request = request;
        this.peer = peer;
    }

    /** Has the handler answer; what goes wrong becomes the answer. */
    abstract ByteBuffer respond() throws StatusException, IOException, InterruptedException;

    abstract boolean answered();

    /** Sends the call's only answer; false if it had one. */
    abstract boolean answer(ByteBuffer frame);

    /** The deadline has passed and no answer was sent. */
    abstract void expire(ByteBuffer frame);

    /** Called last. */
    abstract void ended();

    void start() {
        // Before the thread, which must find it to take it away: a timer keeps its call's request.
        long nanos = request.getTimeoutNano();
        if (nanos > 0) {
            timer = ForkJoinPool.commonPool().schedule(this::deadline, nanos, TimeUnit.NANOSECONDS);
        }
        thread.start();
    }

    private void deadline() {
        if (!answered()) {
            // The answer may block, which must not hold up the pool's timer.
            Thread.ofVirtual()
                    .start(() -> expire(Frame.failure(
                            stream, Code.DEADLINE_EXCEEDED, "the deadline of " + request.getMethod() + " passed")));
        }
    }

    void interrupt() {
        thread.interrupt();
    }

    @Override
    public void run() {
        try {
            if (!answered()) {
                answer(frame());
            }
        } finally {
            if (timer != null) {
                timer.cancel(false);
            }
            ended();
        }
    }

    private ByteBuffer frame() {
        String method = request.getMethod();
        try {
            return respond();
        } catch (StatusException e) {
            return Frame.failure(stream, e.code(), String.valueOf(e.getMessage()));
        } catch (InvalidProtocolBufferException e) {
            return Frame.failure(
                    stream, Code.INVALID_ARGUMENT, "the payload of " + method + " cannot be parsed: " + e.getMessage());
        } catch (IOException e) {
            return Frame.failure(stream, Code.UNKNOWN, method + " failed: " + e.getMessage());
        } catch (InterruptedException e) {
            return Frame.failure(stream, Code.DEADLINE_EXCEEDED, method + " was given up");
        } catch (RuntimeException | Error e) {
            LOG.log(WARNING, "A bug in " + method + ":", e);
            return Frame.failure(stream, Code.INTERNAL, method + " failed: " + e);
        } finally {
            // An interrupt that came too late, or that the handler kept, must not meet the write of the answer.
            Thread.interrupted();
        }
    }

    @Override
    public List<String> metadata(String key) {
        List<String> values = new ArrayList<>();
        for (KeyValue pair : request.getMetadataList()) {
            if (pair.getKey().equalsIgnoreCase(key)) {
                values.add(pair.getValue());
            }
        }
        return values;
    }

    @Override
    public UnixDomainPrincipal peer() {
        return peer;
    }
}
