package dev.coldstart.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;

/** A listening unix stream socket over which a peer hands one descriptor (SCM_RIGHTS), as OCI runtimes hand a console. */
public final class UnixSocket implements AutoCloseable {
    private static final int AF_UNIX = 1;
    private static final int SOCK_STREAM_CLOEXEC = 1 | 0x80000;
    private static final int SOL_SOCKET = 1;
    private static final int SCM_RIGHTS = 1;
    private static final int MSG_CMSG_CLOEXEC = 0x40000000;
    private static final int PATH_MAX_BYTES = 107;
    // Room for the data that comes along: a runtime sends the terminal's name, below 4096 bytes.
    private static final int DATA_BYTES = 4096;

    private static final MethodHandle SOCKET = Words.function("socket");
    private static final MethodHandle BIND = Words.function("bind");
    private static final MethodHandle LISTEN = Words.function("listen");
    private static final MethodHandle ACCEPT4 = Words.function("accept4");
    private static final MethodHandle RECVMSG = Words.function("recvmsg");

    private final Descriptor listener;
    private final String path;

    private UnixSocket(Descriptor listener, String path) {
        this.listener = listener;
        this.path = path;
    }

    /** Listens on a path that does not exist yet, at most 107 bytes long. */
    public static UnixSocket listen(String path) throws LinuxException {
        byte[] name = path.getBytes(StandardCharsets.UTF_8);
        if (name.length > PATH_MAX_BYTES) {
            throw new LinuxException("listen on " + path, Errno.EINVAL);
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            String attempted = "listen on " + path;
            Descriptor listener = Descriptor.adopt(
                    Words.check(Words.call(SOCKET, capture, AF_UNIX, SOCK_STREAM_CLOEXEC, 0), capture, attempted));
            try {
                // struct sockaddr_un { sa_family_t; char sun_path[108]; }
                MemorySegment address = arena.allocate(110, 2);
                address.set(JAVA_SHORT, 0, (short) AF_UNIX);
                MemorySegment.copy(MemorySegment.ofArray(name), 0, address, 2, name.length);
                long length = 2L + name.length + 1;
                Words.check(
                        Words.call(BIND, capture, listener.number(), address.address(), length), capture, attempted);
                Words.check(Words.call(LISTEN, capture, listener.number(), 1, 0), capture, attempted);
                listener.nonBlocking();
                return new UnixSocket(listener, path);
            } catch (LinuxException e) {
                listener.close();
                throw e;
            }
        }
    }

    /**
     * The descriptor in the first message of the first peer.
     *
     * @param timeoutMillis how long to wait for a peer, and then for its message
     * @throws IOException when no peer came in time or its message carries no descriptor
     */
    public Descriptor receiveDescriptor(int timeoutMillis) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment capture = Native.capture(arena);
            awaitReadable(listener, timeoutMillis, "no peer came to " + path);
            long accepted = Words.call(ACCEPT4, capture, listener.number(), 0, 0, 0x80000, 0, 0);
            try (Descriptor peer = Descriptor.adopt(Words.check(accepted, capture, "accept a peer on " + path))) {
                awaitReadable(peer, timeoutMillis, "the peer on " + path + " sent nothing");
                return receive(peer, arena, capture);
            }
        }
    }

    private static void awaitReadable(Descriptor descriptor, int timeoutMillis, String otherwise) throws IOException {
        try (Poll poll = new Poll(1)) {
            poll.watch(0, descriptor, Poll.READABLE);
            if (!poll.await(timeoutMillis)) {
                throw new IOException(otherwise + " within " + timeoutMillis + " ms");
            }
        }
    }

    private Descriptor receive(Descriptor peer, Arena arena, MemorySegment capture) throws IOException {
        // struct iovec { void *base; size_t len; }
        MemorySegment iovec = arena.allocate(16, 8);
        iovec.set(ADDRESS, 0, arena.allocate(DATA_BYTES));
        iovec.set(JAVA_LONG, 8, DATA_BYTES);
        // struct cmsghdr { size_t len; int level; int type; int fd[]; }: room for one descriptor; the kernel closes
        // more.
        MemorySegment control = arena.allocate(24, 8);
        // struct msghdr { name, namelen, iov, iovlen, control, controllen, flags }
        MemorySegment message = arena.allocate(56, 8);
        message.set(ADDRESS, 16, iovec);
        message.set(JAVA_LONG, 24, 1);
        message.set(ADDRESS, 32, control);
        message.set(JAVA_LONG, 40, control.byteSize());
        long received = Words.call(RECVMSG, capture, peer.number(), message.address(), MSG_CMSG_CLOEXEC);
        if (received < 0) {
            throw new LinuxException("receive a descriptor on " + path, Native.errno(capture));
        }
        boolean rights = message.get(JAVA_LONG, 40) >= 20
                && control.get(JAVA_LONG, 0) >= 20
                && control.get(JAVA_INT, 8) == SOL_SOCKET
                && control.get(JAVA_INT, 12) == SCM_RIGHTS;
        if (!rights) {
            throw new IOException("the message on " + path + " carried no descriptor");
        }
        return Descriptor.adopt(control.get(JAVA_INT, 16));
    }

    @Override
    public void close() {
        listener.close();
    }
}
