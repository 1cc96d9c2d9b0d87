package dev.coldstart.snapshotter.layer;

import dev.coldstart.linux.Errno;
import dev.coldstart.linux.FileAttributes;
import dev.coldstart.linux.FileTree;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.SpecialFile;
import dev.coldstart.linux.Xattr;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/**
 * A layer in a directory, by the system calls in the order in which containerd's unpacking makes them (pkg/archive/tar.go,
 * with the whiteouts of tar_opts_linux.go). Otherwise than there, a whiteout also counts for a directory that the same
 * layer has under that name, as the image specification has it, and times before 1970 stay.
 */
final class Unpacked {
    private static final String OPAQUE = "trusted.overlay.opaque";

    /**
     * An entry, of which {@code link}, {@code body} and the device number are for some types only.
     *
     * @param size of a sparse file, whose body lies at its begin and its end; else -1
     */
    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    record Entry(
            char type,
            String path,
            String link,
            byte[] body,
            long size,
            int mode,
            int uid,
            int gid,
            Instant time,
            int major,
            int minor,
            Map<String, byte[]> xattrs) {
        /** How many of a sparse file's bytes are at its begin. */
        int head() {
            return body.length / 3;
        }
    }

    private final Path root;
    private final Map<Path, Instant> directories = new LinkedHashMap<>();
    private final Set<Path> hidden = new HashSet<>();

    Unpacked(Path root) throws IOException {
        this.root = root;
        FileAttributes.own(root, 0040755, 0, 0);
    }

    Path root() {
        return root;
    }

    /** Where an entry of this path goes: what is on the way is followed, the last name is not. */
    Path resolve(String path) throws IOException {
        Deque<String> names = new ArrayDeque<>(List.of(path.split("/", -1)));
        String last = names.removeLast();
        Path here = root;
        for (int followed = 0; !names.isEmpty(); ) {
            String name = names.pop();
            if (name.isEmpty() || name.equals(".")) {
                continue;
            }
            if (name.equals("..")) {
                here = here.equals(root) ? root : Objects.requireNonNull(here.getParent());
                continue;
            }
            Path next = here.resolve(name);
            if (!Files.isSymbolicLink(next)) {
                if (!Files.isDirectory(next, LinkOption.NOFOLLOW_LINKS)) {
                    throw new NoSuchFileException(next.toString());
                }
                here = next;
                continue;
            }
            if (++followed > 40) {
                throw new IOException("a loop of symbolic links");
            }
            String target = Files.readSymbolicLink(next).toString();
            here = target.startsWith("/") ? root : here;
            List.of(target.split("/", -1)).reversed().forEach(names::push);
        }
        return here.resolve(last);
    }

    /** Whether something can be put below this path. */
    boolean isDirectory(String path) {
        try {
            resolve(path + "/x");
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    boolean isFree(String path) throws IOException {
        return !Files.exists(resolve(path), LinkOption.NOFOLLOW_LINKS);
    }

    void whiteout(String path) throws IOException {
        Path at = resolve(path);
        SpecialFile.make(at, 0020000, 0);
        hidden.add(at);
    }

    void opaque(String path) throws IOException {
        Path at = Objects.requireNonNull(resolve(path + "/x").getParent());
        Xattr.set(at, OPAQUE, new byte[] {'y'});
        hidden.add(at);
    }

    void put(Entry entry) throws IOException {
        Path at = resolve(entry.path());
        boolean merge = Files.isDirectory(at, LinkOption.NOFOLLOW_LINKS) && entry.type() == '5';
        Path link = entry.type() == '1' ? resolve(entry.link()) : at;
        if (!merge && Files.exists(at, LinkOption.NOFOLLOW_LINKS)) {
            FileTree.delete(at);
            directories.keySet().removeIf(directory -> directory.startsWith(at));
            hidden.removeIf(path -> path.startsWith(at) && !path.equals(at));
        }
        long device = ((long) (entry.minor() & ~0xff) << 12) | ((long) entry.major() << 8) | (entry.minor() & 0xff);
        switch (entry.type()) {
            case '1' -> Files.createLink(at, link);
            case '2' -> Files.createSymbolicLink(at, Path.of(entry.link()));
            case '3' -> SpecialFile.make(at, 0020000, device);
            case '4' -> SpecialFile.make(at, 0060000, device);
            case '5' -> {
                if (!merge) {
                    Files.createDirectory(at);
                    if (hidden.contains(at)) {
                        Xattr.set(at, OPAQUE, new byte[] {'y'});
                    }
                }
                directories.put(at, entry.time());
            }
            case '6' -> SpecialFile.make(at, 0010000, 0);
            default -> {
                try (RandomAccessFile file = new RandomAccessFile(at.toFile(), "rw")) {
                    int head = entry.size() < 0 ? entry.body().length : entry.head();
                    file.write(entry.body(), 0, head);
                    if (entry.size() >= 0) {
                        int tail = entry.body().length - head;
                        file.setLength(entry.size());
                        file.seek(entry.size() - tail);
                        file.write(entry.body(), head, tail);
                    }
                }
            }
        }
        // The type decides whether there are permissions to set.
        int type = (int) Files.getAttribute(at, "unix:mode", LinkOption.NOFOLLOW_LINKS) & 0170000;
        chown(at, type, entry);
        for (Map.Entry<String, byte[]> xattr : entry.xattrs().entrySet()) {
            try {
                Xattr.set(at, xattr.getKey(), xattr.getValue());
            } catch (LinuxException e) {
                boolean plain = type == 0100000 || type == 0040000;
                if (!(e.errno() == Errno.EPERM && !plain && xattr.getKey().startsWith("user."))
                        && e.errno() != Errno.EOPNOTSUPP) {
                    throw e;
                }
            }
        }
        if (type != 0120000) {
            FileAttributes.own(at, type | entry.mode(), entry.uid(), entry.gid());
            for (Map.Entry<String, byte[]> xattr : entry.xattrs().entrySet()) {
                // A change of owner, which comes with that of the permissions here, has taken it away.
                if (xattr.getKey().equals("security.capability")) {
                    Xattr.set(at, xattr.getKey(), xattr.getValue());
                }
            }
        }
        FileAttributes.touch(at, entry.time());
    }

    private static void chown(Path at, int type, Entry entry) throws LinuxException {
        int mode = (type == 0120000) ? type : type | 0600;
        FileAttributes.own(at, mode, entry.uid(), entry.gid());
    }

    /** Directories get their times when nothing is made in them any more. */
    void finish() throws IOException {
        for (Map.Entry<Path, Instant> directory : directories.entrySet()) {
            FileAttributes.touch(directory.getKey(), directory.getValue());
        }
    }
}
