package dev.coldstart.linux;

/** Error numbers of Linux on x86-64 and arm64 (include/uapi/asm-generic/errno-base.h and errno.h). */
public final class Errno {
    public static final int EPERM = 1;
    public static final int ENOENT = 2;
    public static final int ESRCH = 3;
    public static final int EINTR = 4;
    public static final int EIO = 5;
    public static final int ENXIO = 6;
    public static final int EBADF = 9;
    public static final int ECHILD = 10;
    public static final int EAGAIN = 11;
    public static final int ENOMEM = 12;
    public static final int EACCES = 13;
    public static final int ENOTBLK = 15;
    public static final int EBUSY = 16;
    public static final int EEXIST = 17;
    public static final int EXDEV = 18;
    public static final int ENODEV = 19;
    public static final int ENOTDIR = 20;
    public static final int EISDIR = 21;
    public static final int EINVAL = 22;
    public static final int EMFILE = 24;
    public static final int ENOSPC = 28;
    public static final int EROFS = 30;
    public static final int EPIPE = 32;
    public static final int ERANGE = 34;
    public static final int ENOSYS = 38;
    public static final int ENODATA = 61;
    public static final int EPROTO = 71;
    public static final int EOPNOTSUPP = 95;
    public static final int ENOTCONN = 107;
    public static final int ETIMEDOUT = 110;
    public static final int ESTALE = 116;
    public static final int EDQUOT = 122;

    private Errno() {}

    /** The number in words with its symbol, such as {@code No such file or directory (ENOENT)}. */
    public static String describe(int errno) {
        return switch (errno) {
            case EPERM -> "Operation not permitted (EPERM)";
            case ENOENT -> "No such file or directory (ENOENT)";
            case ESRCH -> "No such process (ESRCH)";
            case EINTR -> "Interrupted (EINTR)";
            case EIO -> "Input/output error (EIO)";
            case ENXIO -> "No such device or address (ENXIO)";
            case EBADF -> "Bad file descriptor (EBADF)";
            case ECHILD -> "No child processes (ECHILD)";
            case EAGAIN -> "Resource temporarily unavailable (EAGAIN)";
            case ENOMEM -> "Cannot allocate memory (ENOMEM)";
            case EACCES -> "Permission denied (EACCES)";
            case ENOTBLK -> "Block device required (ENOTBLK)";
            case EBUSY -> "Device or resource busy (EBUSY)";
            case EEXIST -> "File exists (EEXIST)";
            case EXDEV -> "Cross-device link (EXDEV)";
            case ENODEV -> "No such device (ENODEV)";
            case ENOTDIR -> "Not a directory (ENOTDIR)";
            case EISDIR -> "Is a directory (EISDIR)";
            case EINVAL -> "Invalid argument (EINVAL)";
            case EMFILE -> "Too many open files (EMFILE)";
            case ENOSPC -> "No space left on device (ENOSPC)";
            case EROFS -> "Read-only file system (EROFS)";
            case EPIPE -> "Broken pipe (EPIPE)";
            case ERANGE -> "Result does not fit (ERANGE)";
            case ENOSYS -> "Function not implemented (ENOSYS)";
            case EPROTO -> "Protocol error (EPROTO)";
            case ENODATA -> "No data available (ENODATA)";
            case EOPNOTSUPP -> "Operation not supported (EOPNOTSUPP)";
            case ENOTCONN -> "Not connected (ENOTCONN)";
            case ETIMEDOUT -> "Timed out (ETIMEDOUT)";
            case ESTALE -> "Stale file handle (ESTALE)";
            case EDQUOT -> "Disk quota exceeded (EDQUOT)";
            default -> "errno " + errno;
        };
    }
}
