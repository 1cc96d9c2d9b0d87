package dev.coldstart.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** A file in memory that nobody can write to any more (memfd_create(2), F_ADD_SEALS of fcntl(2)). */
public final class SealedFile implements AutoCloseable {
    private static final int MFD_CLOEXEC = 1;
    private static final int MFD_ALLOW_SEALING = 2;
    /** From Linux 6.3 on a program says whether such a file may be executed; older ones refuse the flag. */
    private static final int MFD_EXEC = 0x10;

    private static final int F_ADD_SEALS = 1033;
    private static final int F_GET_SEALS = 1034;
    /** F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE. */
    private static final int ALL = 15;

    private static final MethodHandle MEMFD_CREATE = Words.function("memfd_create");
    private static final MethodHandle SENDFILE = Words.function("sendfile");
    private static final MethodHandle FCNTL = Words.function("fcntl");

    private final Descriptor descriptor;

    private SealedFile(Descriptor descriptor) {
        this.descriptor = descriptor;
    }

    /**
     * Copies a file.
     *
     * @param name of the copy, at most 249 bytes; need not be its own
     */
    public static SealedFile copyOf(Path file, String name) throws LinuxException {
        String attempted = "copy " + file + " into memory";
        try (Arena arena = Arena.ofConfined();
                Descriptor source = Descriptor.open(file.toString(), Descriptor.O_RDONLY, 0)) {
            MemorySegment capture = Native.capture(arena);
            long text = Words.string(arena, name);
            int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
            long fd = Words.call(MEMFD_CREATE, capture, text, flags | MFD_EXEC);
            if ((int) fd < 0 && Native.errno(capture) == Errno.EINVAL) {
                fd = Words.call(MEMFD_CREATE, capture, text, flags);
            }
            Descriptor copy = Descriptor.adopt(Words.check(fd, capture, attempted));
            try {
                long sent;
                do {
                    sent = Words.call(SENDFILE, capture, copy.number(), source.number(), 0, Integer.MAX_VALUE, 0, 0);
                    Words.check(Math.min(sent, 1), capture, attempted);
                } while (sent > 0);
                Words.check(Words.call(FCNTL, capture, copy.number(), F_ADD_SEALS, ALL), capture, attempted);
                return new SealedFile(copy);
            } catch (LinuxException e) {
                copy.close();
                throw e;
            }
        }
    }

    /**
     * Opens one by the path that it has in a process that has it open ({@link #path}), or a link to that.
     *
     * @return empty if there is none, or if what is there has another name or can be written to
     */
    public static Optional<SealedFile> open(Path path, String name) {
        Descriptor found;
        try {
            found = Descriptor.open(path.toString(), Descriptor.O_RDONLY | Descriptor.O_NONBLOCK, 0);
        } catch (LinuxException e) {
            return Optional.empty();
        }
        SealedFile file = new SealedFile(found);
        try (Arena arena = Arena.ofConfined()) {
            if (Words.call(FCNTL, Native.capture(arena), found.number(), F_GET_SEALS) == ALL
                    && Files.readSymbolicLink(file.path()).toString().equals("/memfd:" + name + " (deleted)")) {
                return Optional.of(file);
            }
        } catch (IOException e) {
            // As good as another name.
        }
        file.close();
        return Optional.empty();
    }

    /** Where it is found, also to execute it, as long as this process has it open. */
    public Path path() {
        return Path.of("/proc/" + ProcessHandle.current().pid() + "/fd/" + descriptor.number());
    }

    @Override
    public void close() {
        descriptor.close();
    }
}
