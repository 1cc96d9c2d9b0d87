package dev.coldstart.shim.runc;

import dev.coldstart.linux.SealedFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The OCI runtime as a sealed file in memory. runc and crun copy themselves whenever they enter a container, so that it cannot
 * overwrite their binary (CVE-2019-5736), unless they are executed from such a file (runc: libcontainer/nsenter/cloned_binary.c,
 * from 1.2 on libcontainer/exeseal): of some 10 MiB that is a third of an exec. One is enough for a node: a shim that waits in
 * the pool makes it, and the pool's keeper holds it. Thread-safe.
 */
public final class SealedRuntime {
    private static final String LINK = "runtime";

    private final Path link;
    private @Nullable Copy open;
    private @Nullable Located located;
    private boolean forbidden;

    /** @param name says of which file, in which state */
    private record Copy(String name, SealedFile file) {}

    /** Where a runtime was found. */
    private record Located(String runtime, String path, Path file) {}

    /** @param pool directory of the pool, which may not be there */
    public SealedRuntime(Path pool) {
        link = pool.resolve(LINK);
    }

    /**
     * What to execute for a runtime: the sealed copy, if the pool has one of this very file, or else the file.
     *
     * @param runtime a path, or a name to look up in PATH
     * @param path directories with colons between them
     */
    public synchronized String find(String runtime, String path) {
        Path file = locate(runtime, path);
        if (file == null) {
            return runtime;
        }
        if (!forbidden && (open != null || Files.exists(link))) {
            try {
                Copy copy = copy(name(file));
                return copy == null ? file.toString() : copy.file().path().toString();
            } catch (IOException e) {
                // It has just gone: looked for anew, and missed by whoever executes it.
                located = null;
            }
        }
        return file.toString();
    }

    /**
     * Makes the copy, if the pool has none.
     *
     * @throws IOException if that goes wrong; runtimes are executed from their own files then
     */
    public synchronized void provide(String runtime, String path) throws IOException {
        Path file = locate(runtime, path);
        if (file == null) {
            return;
        }
        String name = name(file);
        if (copy(name) != null) {
            return;
        }
        Copy made = new Copy(name, SealedFile.copyOf(file, name));
        open = made;
        Path fresh = link.resolveSibling(ProcessHandle.current().pid() + "." + LINK);
        Files.deleteIfExists(fresh);
        Files.createSymbolicLink(fresh, made.file().path());
        Files.move(fresh, link, StandardCopyOption.ATOMIC_MOVE);
    }

    /** Says that this system does not execute files in memory (sysctl vm.memfd_noexec, or a security module). */
    public synchronized void forbid() {
        forbidden = true;
    }

    private @Nullable Copy copy(String name) {
        Copy known = open;
        if (known == null || !known.name().equals(name)) {
            known = SealedFile.open(link, name)
                    .map(file -> new Copy(name, file))
                    .orElse(null);
            // What was open before stays so: a command may be on its way to execute it.
            open = known == null ? open : known;
        }
        return known;
    }

    private @Nullable Path locate(String runtime, String path) {
        Located known = located;
        if (known != null && known.runtime().equals(runtime) && known.path().equals(path)) {
            return known.file();
        }
        // What is relative is so to the directory of the command.
        Path file = runtime.startsWith("/") ? Path.of(runtime) : null;
        for (String directory : runtime.contains("/") ? new String[0] : path.split(":", -1)) {
            Path candidate = Path.of(directory).resolve(runtime);
            if (candidate.isAbsolute() && Files.isExecutable(candidate) && !Files.isDirectory(candidate)) {
                file = candidate;
                break;
            }
        }
        if (file != null) {
            located = new Located(runtime, path, file);
        }
        return file;
    }

    /** The same name means the same bytes: ctime changes with whatever happens to a file, and nobody can set it. */
    private static String name(Path file) throws IOException {
        Map<String, Object> status = Files.readAttributes(file, "unix:dev,ino,size,ctime");
        return file.getFileName() + " " + status.get("dev") + " " + status.get("ino") + " " + status.get("size") + " "
                + ((FileTime) Objects.requireNonNull(status.get("ctime"))).to(TimeUnit.NANOSECONDS);
    }
}
