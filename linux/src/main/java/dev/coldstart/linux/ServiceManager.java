package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What started this process and outlives it: systemd, or our launcher, which does as systemd does. It leaves open
 * descriptors to this process (sd_listen_fds(3)), is told when this process serves, and keeps descriptors for the next
 * one (sd_notify(3), FDSTORE).
 */
public final class ServiceManager {
    private static final int FIRST_DESCRIPTOR = 3;
    private static final int MOST_DESCRIPTORS = 1024;
    private static final int F_SETFD = 2;
    private static final int FD_CLOEXEC = 1;
    private static final int AF_UNIX = 1;
    private static final int SOCK_DGRAM_CLOEXEC = 2 | 0x80000;
    private static final int SOL_SOCKET = 1;
    private static final int SCM_RIGHTS = 1;
    private static final int MSG_NOSIGNAL = 0x4000;
    private static final int PATH_MAX_BYTES = 107;

    private static final MethodHandle FCNTL = Words.function("fcntl");
    private static final MethodHandle SOCKET = Words.function("socket");
    private static final MethodHandle SENDMSG = Words.function("sendmsg");

    private final Map<String, String> environment;

    /** @param environment of this process */
    public ServiceManager(Map<String, String> environment) {
        this.environment = Map.copyOf(environment);
    }

    /** The descriptors of /dev/fuse that were left for this process under a name; call it once. */
    public List<FuseDevice> inherited(String name) throws LinuxException {
        List<FuseDevice> devices = new ArrayList<>();
        int count = number("LISTEN_FDS");
        if (!isForUs()) {
            return devices;
        }
        List<String> names =
                List.of(environment.getOrDefault("LISTEN_FDNAMES", "").split(":", -1));
        for (int i = 0; i < Math.min(count, names.size()); i++) {
            int fd = FIRST_DESCRIPTOR + i;
            closeOnExec(fd);
            if (names.get(i).equals(name)) {
                devices.add(FuseDevice.adopt(fd));
            }
        }
        return devices;
    }

    /** Whether descriptors outlive this process: those that it inherited, and those that it gives into keeping. */
    public boolean keepsDescriptors() {
        // FDSTORE tells how many systemd keeps, since its version 254.
        return isForUs() || number("FDSTORE") > 0;
    }

    /** Says that this process serves now. Does nothing where nobody asked to be told. */
    public void ready() throws LinuxException {
        send("READY=1", null);
    }

    /** Gives a copy of the descriptor into keeping, for the next process. Does nothing where nobody keeps any. */
    public void keep(String name, FuseDevice device) throws LinuxException {
        // A descriptor whose file system is gone is of no use, but systemd is not to judge that by polling it.
        send("FDSTORE=1\nFDNAME=" + name + "\nFDPOLL=0", device);
    }

    private boolean isForUs() {
        return number("LISTEN_PID") == ProcessHandle.current().pid();
    }

    private int number(String variable) {
        String value = environment.getOrDefault(variable, "");
        int number = value.matches("\\d{1,9}") ? Integer.parseInt(value) : 0;
        return variable.equals("LISTEN_FDS") ? Math.min(number, MOST_DESCRIPTORS) : number;
    }

    private static void closeOnExec(int fd) throws LinuxException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            Words.check(
                    Words.call(FCNTL, capture, fd, F_SETFD, FD_CLOEXEC),
                    capture,
                    "take over inherited descriptor " + fd);
        }
    }

    private void send(String text, @Nullable FuseDevice device) throws LinuxException {
        String path = environment.getOrDefault("NOTIFY_SOCKET", "");
        byte[] name = path.getBytes(StandardCharsets.UTF_8);
        if (name.length == 0) {
            return;
        }
        String attempted = "notify the service manager at " + path;
        if (name.length > PATH_MAX_BYTES) {
            throw new LinuxException(attempted, Errno.EINVAL);
        }
        if (name[0] == '@') {
            // The abstract namespace, as everybody writes it.
            name[0] = 0;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            // struct sockaddr_un { sa_family_t; char sun_path[108]; }
            MemorySegment address = arena.allocate(2 + PATH_MAX_BYTES + 1, 2);
            address.set(JAVA_SHORT, 0, (short) AF_UNIX);
            MemorySegment.copy(MemorySegment.ofArray(name), 0, address, 2, name.length);
            // struct iovec { void *base; size_t len; }
            byte[] content = text.getBytes(StandardCharsets.US_ASCII);
            MemorySegment iovec = arena.allocate(16, 8);
            iovec.set(ADDRESS, 0, arena.allocateFrom(text, StandardCharsets.US_ASCII));
            iovec.set(JAVA_LONG, 8, content.length);
            // struct msghdr { name, namelen, iov, iovlen, control, controllen, flags }
            MemorySegment message = arena.allocate(56, 8);
            message.set(ADDRESS, 0, address);
            message.set(JAVA_INT, 8, 2 + name.length);
            message.set(ADDRESS, 16, iovec);
            message.set(JAVA_LONG, 24, 1);
            if (device != null) {
                // struct cmsghdr { size_t len; int level; int type; int fd[]; }
                MemorySegment control = arena.allocate(24, 8);
                control.set(JAVA_LONG, 0, 20);
                control.set(JAVA_INT, 8, SOL_SOCKET);
                control.set(JAVA_INT, 12, SCM_RIGHTS);
                control.set(JAVA_INT, 16, device.fd());
                message.set(ADDRESS, 32, control);
                message.set(JAVA_LONG, 40, control.byteSize());
            }
            try (Descriptor socket = Descriptor.adopt(
                    Words.check(Words.call(SOCKET, capture, AF_UNIX, SOCK_DGRAM_CLOEXEC, 0), capture, attempted))) {
                Words.check(
                        Words.call(SENDMSG, capture, socket.number(), message.address(), MSG_NOSIGNAL),
                        capture,
                        attempted);
            }
        }
    }
}
