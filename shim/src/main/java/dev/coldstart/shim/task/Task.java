package dev.coldstart.shim.task;

import dev.coldstart.proto.containerd.v1.types.Status;
import dev.coldstart.shim.process.Child;
import dev.coldstart.shim.process.Exit;
import dev.coldstart.shim.stdio.Stdio;
import dev.coldstart.shim.stdio.Streams;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** One process of a container, its first or one that Exec added. State can be read at any time without waiting. */
final class Task {
    private final String id;
    private final Streams streams;
    private volatile Status status = Status.CREATED;
    private volatile @Nullable Stdio stdio;
    private volatile boolean stdinClosed;
    private volatile @Nullable Child child;
    private final CompletableFuture<Exit> ended = new CompletableFuture<>();
    private final CompletableFuture<@Nullable Void> told = new CompletableFuture<>();

    /** @param id the exec's id; the container's for its first process */
    Task(String id, Streams streams) {
        this.id = id;
        this.streams = streams;
    }

    String id() {
        return id;
    }

    Streams streams() {
        return streams;
    }

    Status status() {
        return status;
    }

    void status(Status now) {
        status = now;
    }

    /** The process id on the host; 0 before there is one. */
    int pid() {
        Child running = child;
        return running == null ? 0 : running.pid();
    }

    Optional<Child> child() {
        return Optional.ofNullable(child);
    }

    void child(Child now) {
        child = now;
    }

    Optional<Stdio> stdio() {
        return Optional.ofNullable(stdio);
    }

    void stdio(@Nullable Stdio now) {
        stdio = now;
        if (now != null && stdinClosed) {
            now.closeStdin();
        }
    }

    /** The client has no more input, which it may say before there is any stdio. */
    void closeStdin() {
        stdinClosed = true;
        Stdio open = stdio;
        if (open != null) {
            open.closeStdin();
        }
    }

    /** Done when the end may be told to clients, which is later than the end itself. */
    CompletableFuture<Exit> ended() {
        return ended;
    }

    /** Done when the event of the end is queued. */
    CompletableFuture<@Nullable Void> told() {
        return told;
    }

    void end(Exit exit) {
        status = Status.STOPPED;
        ended.complete(exit);
    }
}
