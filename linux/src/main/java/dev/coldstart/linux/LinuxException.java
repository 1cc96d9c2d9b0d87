package dev.coldstart.linux;

import java.io.IOException;

/** A system call that failed: what was attempted, and the errno it failed with. */
public final class LinuxException extends IOException {
    private static final long serialVersionUID = 1;

    private final int errno;

    /**
     * @param attempted the call and its arguments as a user would write them, such as {@code mount /a on /b}
     * @param errno the kernel's error number, as in {@code errno.h}
     */
    public LinuxException(String attempted, int errno) {
        super(attempted + ": " + Errno.describe(errno));
        this.errno = errno;
    }

    /** The error number, one of {@link Errno}'s constants or another of the kernel's. */
    public int errno() {
        return errno;
    }
}
