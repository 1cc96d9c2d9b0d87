package dev.coldstart.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A regular file read and written at offsets from native memory, without a copy through the heap and without
 * allocating. Thread-safe but for {@link #close}, which must come after the last call.
 */
public final class OpenFile implements AutoCloseable {
    private static final int AT_FDCWD = -100;
    private static final int O_RDONLY = 0;
    private static final int O_RDWR = 2;
    private static final int O_CREAT = 0100;
    private static final int O_EXCL = 0200;
    private static final int O_CLOEXEC = 02000000;
    private static final int O_TMPFILE = 020000000 | 0200000;
    private static final int AT_SYMLINK_FOLLOW = 0x400;
    /** include/uapi/linux/falloc.h: FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE, which must go together. */
    private static final int PUNCH_HOLE = 1 | 2;

    private static final MethodHandle OPEN = Native.libc(
            "open",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT, ValueLayout.JAVA_INT),
            Linker.Option.firstVariadicArg(2));
    private static final MethodHandle PREAD = Native.libc(
            "pread",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_INT,
                    ValueLayout.ADDRESS,
                    ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_LONG));
    private static final MethodHandle PWRITE = Native.libc(
            "pwrite",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_INT,
                    ValueLayout.ADDRESS,
                    ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_LONG));
    private static final MethodHandle FTRUNCATE = Native.libc(
            "ftruncate", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.JAVA_LONG));
    private static final MethodHandle FALLOCATE = Native.libc(
            "fallocate",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_LONG,
                    ValueLayout.JAVA_LONG));
    private static final MethodHandle FSYNC =
            Native.libc("fsync", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));
    private static final MethodHandle LINKAT = Native.libc(
            "linkat",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_INT,
                    ValueLayout.JAVA_INT,
                    ValueLayout.ADDRESS,
                    ValueLayout.JAVA_INT,
                    ValueLayout.ADDRESS,
                    ValueLayout.JAVA_INT));
    private static final int POSIX_FADV_WILLNEED = 3;
    private static final MethodHandle FADVISE = Words.function("posix_fadvise");
    private static final MethodHandle SYNCFS =
            Native.libc("syncfs", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));
    private static final MethodHandle CLOSE =
            Native.libc("close", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));

    private final int fd;
    private final String name;
    private final AtomicBoolean closed = new AtomicBoolean();

    private OpenFile(int fd, String name) {
        this.fd = fd;
        this.name = name;
    }

    /** Opens an existing file, or a directory, for reading. */
    public static OpenFile forReading(Path path) throws LinuxException {
        return open(path, O_RDONLY, 0);
    }

    /** Opens a file for reading and writing, and creates it (mode 0600 less umask) if it is not there. */
    public static OpenFile forWriting(Path path) throws LinuxException {
        return open(path, O_RDWR | O_CREAT, 0600);
    }

    /** Opens an existing file for reading and writing. */
    public static OpenFile forUpdate(Path path) throws LinuxException {
        return open(path, O_RDWR, 0);
    }

    /** Creates a file that must not be there yet, for reading and writing. */
    public static OpenFile create(Path path, int mode) throws LinuxException {
        return open(path, O_RDWR | O_CREAT | O_EXCL, mode);
    }

    /** A file without a name in the file system of a directory; gone when closed unless {@link #link} named it. */
    public static OpenFile unnamed(Path directory, int mode) throws LinuxException {
        return open(directory, O_RDWR | O_TMPFILE, mode);
    }

    private static OpenFile open(Path path, int flags, int mode) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            int fd = (int) OPEN.invokeExact(capture, arena.allocateFrom(path.toString()), flags | O_CLOEXEC, mode);
            if (fd < 0) {
                throw new LinuxException("open " + path, Native.errno(capture));
            }
            return new OpenFile(fd, path.toString());
        } catch (LinuxException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Reads up to {@code length} bytes at {@code offset} of the file into the start of {@code into}.
     *
     * @return bytes read, fewer only at the end of the file; or a negated errno
     */
    public long read(CallState state, MemorySegment into, long length, long offset) {
        if (length > into.byteSize()) {
            throw new IndexOutOfBoundsException("the read is longer than its buffer");
        }
        long done = 0;
        while (done < length) {
            MemorySegment rest = done == 0 ? into : into.asSlice(done);
            long n;
            try {
                n = (long) PREAD.invokeExact(state.capture(), fd, rest, length - done, offset + done);
            } catch (Throwable t) {
                throw Native.unexpected(t);
            }
            if (n < 0) {
                if (state.errno() == Errno.EINTR) {
                    continue;
                }
                return -state.errno();
            }
            if (n == 0) {
                break;
            }
            done += n;
        }
        return done;
    }

    /** Writes the segment's bytes at {@code offset} of the file, all of them. */
    public void write(CallState state, MemorySegment bytes, long offset) throws LinuxException {
        long done = 0;
        while (done < bytes.byteSize()) {
            MemorySegment rest = done == 0 ? bytes : bytes.asSlice(done);
            long n;
            try {
                n = (long) PWRITE.invokeExact(state.capture(), fd, rest, rest.byteSize(), offset + done);
            } catch (Throwable t) {
                throw Native.unexpected(t);
            }
            if (n < 0) {
                if (state.errno() == Errno.EINTR) {
                    continue;
                }
                throw new LinuxException(
                        "write " + bytes.byteSize() + " bytes at " + offset + " of " + name, state.errno());
            }
            done += n;
        }
    }

    /** Sets the file's length. */
    public void truncate(CallState state, long length) throws LinuxException {
        try {
            if ((int) FTRUNCATE.invokeExact(state.capture(), fd, length) != 0) {
                throw new LinuxException("truncate " + name + " to " + length, state.errno());
            }
        } catch (LinuxException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** Gives the blocks of a range back to the file system; the range then reads as zeros, and the length stays. */
    public void punchHole(CallState state, long offset, long length) throws LinuxException {
        try {
            if ((int) FALLOCATE.invokeExact(state.capture(), fd, PUNCH_HOLE, offset, length) != 0) {
                throw new LinuxException(
                        "punch a hole of " + length + " bytes at " + offset + " into " + name, state.errno());
            }
        } catch (LinuxException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** Brings the file's bytes and attributes to its device (fsync(2)). */
    public void sync(CallState state) throws LinuxException {
        try {
            if ((int) FSYNC.invokeExact(state.capture(), fd) != 0) {
                throw new LinuxException("fsync " + name, state.errno());
            }
        } catch (LinuxException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Gives the file a (further) name.
     *
     * @return false if that name is taken
     */
    public boolean link(CallState state, Path target) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            int rc = (int) LINKAT.invokeExact(
                    state.capture(),
                    AT_FDCWD,
                    arena.allocateFrom("/proc/self/fd/" + fd),
                    AT_FDCWD,
                    arena.allocateFrom(target.toString()),
                    AT_SYMLINK_FOLLOW);
            if (rc != 0) {
                if (state.errno() == Errno.EEXIST) {
                    return false;
                }
                throw new LinuxException("link " + name + " as " + target, state.errno());
            }
            return true;
        } catch (LinuxException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** Has the file's first bytes read into the page cache, and does not wait for them. */
    public void expect(long length) {
        try (Arena arena = Arena.ofConfined()) {
            // Advice: without it they are read one page after the other when they are needed.
            var _ = Words.call(FADVISE, Native.capture(arena), fd, 0, length, POSIX_FADV_WILLNEED, 0, 0);
        }
    }

    /** Brings all of the file's file system to its device (syncfs(2)). */
    public void syncFileSystem(CallState state) throws LinuxException {
        try {
            if ((int) SYNCFS.invokeExact(state.capture(), fd) != 0) {
                throw new LinuxException("syncfs " + name, state.errno());
            }
        } catch (LinuxException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    @Override
    public void close() {
        if (closed.compareAndSet(false, true)) {
            close(fd);
        }
    }

    static void close(int fd) {
        try (Arena arena = Arena.ofConfined()) {
            // Linux frees the descriptor whatever close(2) answers, so there is nothing to do about an error.
            var _ = (int) CLOSE.invokeExact(Native.capture(arena), fd);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }
}
