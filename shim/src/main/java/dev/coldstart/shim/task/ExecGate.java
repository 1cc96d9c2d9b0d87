package dev.coldstart.shim.task;

import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Lets starts of execs in until the container's first process has ended. Those that are under way then go on; one that comes
 * later is refused at once, and does not wait for the others.
 */
final class ExecGate {
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition left = lock.newCondition();
    // Guarded by lock.
    private int inside;
    private volatile boolean closed;

    boolean closed() {
        return closed;
    }

    /** False once the gate is closed; otherwise {@link #leave} must follow. */
    boolean enter() {
        lock.lock();
        try {
            if (closed) {
                return false;
            }
            inside++;
            return true;
        } finally {
            lock.unlock();
        }
    }

    void leave() {
        lock.lock();
        try {
            inside--;
            left.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Closes the gate and waits until nobody is inside. */
    void close() {
        lock.lock();
        try {
            closed = true;
            while (inside > 0) {
                left.awaitUninterruptibly();
            }
        } finally {
            lock.unlock();
        }
    }
}
