package dev.coldstart.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A descriptor of /dev/fuse: requests of one mounted file system come out of it, replies go into it. A reply must be
 * written to the very descriptor that its request was read from.
 */
public final class FuseDevice implements AutoCloseable {
    private static final int O_RDWR = 2;
    private static final int O_CLOEXEC = 02000000;
    /** FUSE_DEV_IOC_CLONE: _IOR(229, 0, uint32_t) in include/uapi/linux/fuse.h. */
    private static final long CLONE = 0x8004E500L;

    /** fuse_notify_code FUSE_NOTIFY_RESEND, in the same header. */
    private static final int NOTIFY_RESEND = 7;

    private static final int OUT_HEADER = 16;

    private static final MethodHandle OPEN = Native.libc(
            "open",
            FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT),
            Linker.Option.firstVariadicArg(2));
    private static final MethodHandle READ = Native.libc(
            "read",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_LONG));
    private static final MethodHandle WRITE = Native.libc(
            "write",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_LONG));
    private static final MethodHandle IOCTL = Native.libc(
            "ioctl",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.JAVA_LONG, ValueLayout.ADDRESS),
            Linker.Option.firstVariadicArg(2));

    private final int fd;

    private FuseDevice(int fd) {
        this.fd = fd;
    }

    /** Opens /dev/fuse; not yet a file system until a mount names this descriptor. */
    public static FuseDevice open() throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            int fd = (int) OPEN.invokeExact(capture, arena.allocateFrom("/dev/fuse"), O_RDWR | O_CLOEXEC);
            if (fd < 0) {
                throw new LinuxException("open /dev/fuse", Native.errno(capture));
            }
            return new FuseDevice(fd);
        } catch (LinuxException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** Takes over a descriptor of /dev/fuse that a predecessor left. */
    static FuseDevice adopt(int fd) {
        return new FuseDevice(fd);
    }

    /** A further descriptor of the same, mounted, file system, with a queue of its own. */
    public FuseDevice cloned() throws LinuxException {
        FuseDevice clone = open();
        try {
            clone.join(this);
            return clone;
        } catch (LinuxException e) {
            clone.close();
            throw e;
        }
    }

    /** Makes this descriptor, which belongs to no file system yet, one more of a mounted file system. */
    public void join(FuseDevice mounted) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            MemorySegment of = arena.allocateFrom(ValueLayout.JAVA_INT, mounted.fd);
            int rc = (int) IOCTL.invokeExact(capture, fd, CLONE, of);
            if (rc != 0) {
                throw new LinuxException("ioctl FUSE_DEV_IOC_CLONE", Native.errno(capture));
            }
        } catch (LinuxException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /** Whether a file system was mounted with this descriptor, or {@link #join} made it part of one. */
    public boolean isMounted() {
        try (FuseDevice _ = cloned()) {
            return true;
        } catch (LinuxException e) {
            return false;
        }
    }

    /**
     * Whether this is a descriptor of the file system mounted there. A kernel that does not show a descriptor's
     * connection (/proc/PID/fdinfo, {@code fuse_connection}) is believed to have but this one.
     *
     * @param mount of type fuse
     */
    public boolean serves(MountTable.Entry mount) throws IOException {
        String line = "fuse_connection:";
        for (String info : Files.readAllLines(Path.of("/proc/self/fdinfo", Integer.toString(fd)))) {
            if (info.startsWith(line)) {
                return mount.device()
                        .equals("0:" + info.substring(line.length()).strip());
            }
        }
        return isMounted();
    }

    /**
     * Asks the kernel for all requests again that were taken and not answered, on whatever descriptor (Linux 6.9).
     *
     * @throws LinuxException EINVAL if the kernel cannot
     */
    public void resend() throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            // struct fuse_out_header: a notification has the code in place of the error, and no request's number.
            MemorySegment message = arena.allocate(OUT_HEADER, 8);
            message.set(ValueLayout.JAVA_INT, 0, OUT_HEADER);
            message.set(ValueLayout.JAVA_INT, 4, NOTIFY_RESEND);
            long n = (long) WRITE.invokeExact(capture, fd, message, message.byteSize());
            if (n < 0) {
                throw new LinuxException("ask the kernel for unanswered FUSE requests", Native.errno(capture));
            }
        } catch (LinuxException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Mounts the file system that this descriptor will serve, read-only and for all users.
     *
     * @param name what /proc/mounts shows as its source
     */
    public void mount(String name, String target) throws LinuxException {
        Mount.mount(
                name,
                target,
                "fuse." + name,
                Mount.MS_RDONLY | Mount.MS_NOSUID | Mount.MS_NODEV | Mount.MS_NOATIME,
                "fd=" + fd + ",rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions");
    }

    /**
     * Waits for a request.
     *
     * @param into at least 8 KiB and large enough for any request; the kernel never splits one
     * @return bytes of the request; or a negated errno, of which {@code -ENODEV} says that the file system is gone,
     *     {@code -ENOENT}, {@code -EINTR} and {@code -EAGAIN} that one should ask again
     */
    public long receive(CallState state, MemorySegment into) {
        try {
            long n = (long) READ.invokeExact(state.capture(), fd, into, into.byteSize());
            return n < 0 ? -state.errno() : n;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    int fd() {
        return fd;
    }

    @Override
    public void close() {
        OpenFile.close(fd);
    }
}
