package dev.coldstart.snapshotter.layer;

import dev.coldstart.linux.FileAttributes;
import dev.coldstart.linux.LinuxException;
import dev.coldstart.linux.SpecialFile;
import dev.coldstart.linux.Xattr;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/**
 * Something that a program does to a file system.
 *
 * @param path to what, relative to the root
 * @param other a second path, for those that need one
 * @param number whatever else counts
 */
record Change(Kind kind, String path, String other, int number) {
    enum Kind {
        APPEND,
        OVERWRITE,
        TRUNCATE,
        READ,
        RENAME,
        REPLACE,
        LINK,
        DELETE,
        MAKE_DIRECTORY,
        MAKE_SYMLINK,
        MAKE_PIPE,
        OWN,
        TOUCH,
        SET_XATTR,
        SET_CAPABILITY
    }

    /** A change to one of these paths, which are as they were at the beginning. */
    static Change random(Random random, List<String> paths) {
        Kind kind = Kind.values()[random.nextInt(Kind.values().length)];
        String path = paths.get(random.nextInt(paths.size()));
        String other = paths.get(random.nextInt(paths.size()));
        if (random.nextInt(3) > 0) {
            other = other + (other.isEmpty() ? "" : "/") + "made" + random.nextInt(5);
        }
        return new Change(kind, path, other, random.nextInt(100_000));
    }

    /** Does it, and says what came of it. */
    String apply(Path root) {
        Path at = root.resolve(path);
        Path to = root.resolve(other);
        try {
            // An absolute symbolic link leads out of what is a root for neither of us.
            if (path.isEmpty() || !isInside(root, at) || !isInside(root, to)) {
                return "nothing";
            }
            switch (kind) {
                case APPEND -> write(at, StandardOpenOption.APPEND, -1);
                case OVERWRITE -> write(at, StandardOpenOption.WRITE, number);
                case TRUNCATE -> {
                    try (FileChannel file = open(at, StandardOpenOption.WRITE)) {
                        file.truncate(number);
                    }
                }
                case READ -> {
                    try (FileChannel file = open(at, StandardOpenOption.READ)) {
                        ByteBuffer bytes = ByteBuffer.allocate(1000);
                        int length = file.read(bytes, number % 10_000);
                        return length + " " + Arrays.hashCode(bytes.array());
                    }
                }
                case RENAME -> Files.move(at, to, StandardCopyOption.ATOMIC_MOVE);
                case REPLACE -> {
                    Files.deleteIfExists(at);
                    Files.write(at, new byte[number % 9000]);
                }
                case LINK -> Files.createLink(to, at);
                case DELETE -> Files.delete(at);
                case MAKE_DIRECTORY -> Files.createDirectory(to);
                case MAKE_SYMLINK -> Files.createSymbolicLink(to, Path.of(path));
                case MAKE_PIPE -> SpecialFile.make(to, 0010644, 0);
                case OWN -> {
                    int type = (int) Files.getAttribute(at, "unix:mode", LinkOption.NOFOLLOW_LINKS) & 0170000;
                    FileAttributes.own(at, type | (number & 0777), number % 7, number % 11);
                }
                case TOUCH -> FileAttributes.touch(at, Instant.ofEpochSecond(number, number));
                case SET_XATTR -> Xattr.set(at, "user.set", new byte[number % 300]);
                case SET_CAPABILITY -> {
                    byte[] capability = new byte[20];
                    capability[3] = 2;
                    capability[4] = (byte) number;
                    Xattr.set(at, "security.capability", capability);
                }
            }
            return "done";
        } catch (LinuxException e) {
            return "errno " + e.errno();
        } catch (FileSystemException e) {
            return e.getClass().getSimpleName() + " " + e.getReason();
        } catch (IOException e) {
            return e.getClass().getSimpleName();
        }
    }

    private static boolean isInside(Path root, Path path) throws IOException {
        Path parent = path.equals(root) ? root : path.getParent();
        return parent != null && parent.toRealPath().startsWith(root.toRealPath());
    }

    private static FileChannel open(Path at, StandardOpenOption how) throws IOException {
        if (!Files.isRegularFile(at, LinkOption.NOFOLLOW_LINKS)) {
            throw new IOException("no regular file");
        }
        return FileChannel.open(at, how);
    }

    private void write(Path at, StandardOpenOption how, long position) throws IOException {
        try (FileChannel file = open(at, how)) {
            byte[] bytes = new byte[1 + number % 6000];
            Arrays.fill(bytes, (byte) number);
            if (position < 0) {
                file.write(ByteBuffer.wrap(bytes));
            } else {
                file.write(ByteBuffer.wrap(bytes), position);
            }
        }
    }
}
